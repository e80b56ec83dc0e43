//! Every route against every kind of caller, each with a fresh call: who is let in, and what the others hear.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::callers::Kind;
use super::scene::{CONFIG, Scene};
use super::table::{Row, rows};
use crate::support::{Stage, bearer, service_bearer};

/// How many cells are tried at a time.
const AT_ONCE: usize = 8;

fn described() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(&bellwire::http::openapi_json()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().expect("operations").keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    operations.collect()
}

#[test]
fn the_table_has_every_route_that_is_described_and_no_other() {
    let rows = rows();
    let routes: BTreeSet<String> = rows.iter().map(|row| row.route.clone()).collect();
    assert_eq!(routes, described());
    assert_eq!(routes.len(), rows.len(), "each once");
}

/// What a route answers to a kind of caller: the status.
async fn answer(stage: &Arc<Stage>, number: usize, row: &Row, kind: Kind) -> String {
    let scene = Scene::new(stage, number, &row.state).await;
    if kind == Kind::Banned {
        stage.http.put(&format!("/v1/bans/{}", scene.bob), service_bearer(), json!({})).await.expect(200);
    }
    let before = scene.state().await;
    // A stream has no end, so of what is good no more than the head is read.
    let response = scene.request(&row.route, kind).send().await.expect("an answer");
    let status = response.status().as_u16();
    let here = format!("{} by {}", row.route, kind.name());
    if status >= 300 {
        let text = response.text().await.expect("a body");
        let problem: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{here}: {status} {text}"));
        assert_eq!(problem["status"], status, "{here}");
        assert!(status < 500, "{here}: {problem}");
        assert_eq!(scene.state().await, before, "{here}: {problem}");
    }
    status.to_string()
}

#[tokio::test]
async fn each_route_answers_each_kind_of_caller_as_the_table_says() {
    let stage = Arc::new(Stage::with(CONFIG).await);
    let rows = rows();
    let cells = rows.iter().flat_map(|row| Kind::ALL.map(|kind| (row, kind))).enumerate();
    let answers = cells.map(|(number, (row, kind))| answer(&stage, number, row, kind));
    let answers: Vec<String> = stream::iter(answers).buffered(AT_ONCE).collect().await;
    let found = answers.chunks(Kind::ALL.len()).zip(&rows);
    let found: Vec<Row> = found.map(|(statuses, row)| Row { statuses: statuses.to_vec(), ..row.clone() }).collect();
    let wrong: Vec<String> =
        found.iter().zip(&rows).filter(|(found, row)| found != row).map(|(found, _)| found.to_string()).collect();
    assert!(wrong.is_empty(), "the gateway answers otherwise than the table says:\n{}", wrong.join("\n"));
}

/// What the other listener has is for operators, and not here, whoever asks.
#[tokio::test]
async fn metrics_are_not_on_the_listener_of_the_api() {
    let stage = Stage::new().await;
    for token in [bearer("alice"), service_bearer().to_owned()] {
        stage.http.get("/metrics", &token).await.expect_problem(404, "not-found");
    }
}
