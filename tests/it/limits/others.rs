//! Tokens and registrations, and that what was refused is counted.

use std::time::Duration;

use serde_json::{Value, json};

use super::expect_limited;
use crate::support::people::path;
use crate::support::{APP, Http, Stage, bearer};

async fn token(stage: &Stage, call: &Value, bearer: &str) -> crate::support::Reply {
    stage.http.post(&path(call, "token"), bearer, json!({})).await
}

#[tokio::test]
async fn tokens_of_a_user_are_limited_and_those_by_tickets_apart_from_them() {
    let stage = Stage::with("[limits]\ntokens_per_user = \"2/min\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&pixel, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    for _ in 0..2 {
        token(&stage, &call, &bearer("alice")).await.expect(200);
        token(&stage, &call, &ticket).await.expect(200);
    }
    let wait = expect_limited(token(&stage, &call, &bearer("alice")).await, "tokens_per_user", "q=2;w=60");
    expect_limited(token(&stage, &call, &ticket).await, "tokens_per_device", "q=2;w=60");
    let by_user = stage.http.post(&path(&call, "token"), &bearer("bob"), json!({"device_id": "pixel-1"})).await;
    by_user.expect(200);
    stage.clock.advance(Duration::from_secs(wait));
    token(&stage, &call, &bearer("alice")).await.expect(200);
}

#[tokio::test]
async fn registrations_of_a_user_are_limited_and_what_stands_stays() {
    let stage = Stage::with("[limits]\nregistrations_per_user = \"2/min\"").await;
    let register = async |id: &str| {
        let body = json!({"platform": "android", "app": APP, "fcm_token": format!("fcm-{id}")});
        stage.http.put(&format!("/v1/devices/{id}"), &bearer("bob"), body).await
    };
    register("pixel-1").await.expect(200);
    register("pixel-1").await.expect(200);
    let wait = expect_limited(register("pixel-2").await, "registrations_per_user", "q=2;w=60");
    let devices = stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1), "{devices}");
    stage.clock.advance(Duration::from_secs(wait));
    register("pixel-2").await.expect(200);
}

#[tokio::test]
async fn what_was_refused_is_counted_by_limit() {
    let stage = Stage::with("[limits]\ninvites_per_user = \"1/h\"").await;
    stage.invite("alice", "bob").await;
    for _ in 0..3 {
        let refused = stage.invite_for("alice", "bob", 30).await;
        expect_limited(refused, "invites_per_user", "q=1;w=3600");
    }
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let text = Http::send(ops.request(http::Method::GET, "/metrics")).await.text;
    assert!(text.contains("bellwire_limited_total{limit=\"invites_per_user\"} 3\n"), "{text}");
    assert!(!text.contains("alice"), "{text}");
}
