//! Who sees which call: the parties' history, the backend's legs, and nothing for anybody else.

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Reply, Stage, bearer, service_bearer};

async fn page(stage: &Stage, user: &str, query: &str) -> (Vec<Value>, Value) {
    let answer = stage.http.get(&format!("/v1/calls{query}"), &bearer(user)).await.expect(200);
    let calls = answer["calls"].as_array().expect("calls");
    (calls.iter().map(|call| call["id"].clone()).collect(), answer["next_cursor"].clone())
}

#[tokio::test]
async fn the_history_comes_newest_first_page_by_page() {
    let stage = Stage::new().await;
    let mut made = Vec::new();
    for number in 0..7 {
        let (caller, callee) = if number % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        made.insert(0, stage.invite(caller, callee).await["call"]["id"].clone());
        stage.clock.advance(std::time::Duration::from_millis(5));
    }
    for user in ["alice", "bob"] {
        assert_eq!(page(&stage, user, "").await, (made.clone(), Value::Null));
        let (first, cursor) = page(&stage, user, "?limit=3").await;
        let (second, next) =
            page(&stage, user, &format!("?limit=3&cursor={}", cursor.as_str().expect("a cursor"))).await;
        let (third, end) = page(&stage, user, &format!("?limit=3&cursor={}", next.as_str().expect("a cursor"))).await;
        assert_eq!([first, second, third].concat(), made);
        assert_eq!(end, Value::Null);
        assert_eq!(page(&stage, user, "?limit=7").await.1, Value::Null, "the last page is known to be");
    }
    assert_eq!(page(&stage, "carol", "").await, (Vec::new(), Value::Null));
}

#[tokio::test]
async fn a_bad_query_is_refused() {
    let stage = Stage::new().await;
    for query in ["?limit=0", "?limit=101", "?limit=x", "?cursor=x", "?page=2"] {
        let refused = stage.http.get(&format!("/v1/calls{query}"), &bearer("alice")).await;
        refused.expect_problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn legs_are_for_the_backend_only() {
    let stage = Stage::new().await;
    let (iphone, _pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let answer = stage.invite("alice", "bob").await;
    let call = answer["call"]["id"].clone();
    let ticket = stage.ring(&iphone, &call).await;
    let legs = stage.call(&call).await["legs"].clone();
    let legs = legs.as_array().expect("legs");
    assert_eq!(legs.len(), 2);
    assert_eq!(legs[0], json!({"device_id": "iphone-1", "platform": "ios", "state": "alerting"}));
    assert_eq!((&legs[1]["device_id"], &legs[1]["platform"]), (&json!("pixel-1"), &json!("android")));

    let mut shown = vec![answer.to_string()];
    for token in [bearer("alice"), bearer("bob"), ticket.clone()] {
        shown.push(stage.http.get(&path(&call, ""), &token).await.expect(200).to_string());
    }
    shown.push(stage.http.get("/v1/calls", &bearer("alice")).await.text);
    shown.push(stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.text);
    shown.push(stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.text);
    for text in shown {
        assert!(!text.contains("legs") && !text.contains("pixel-1"), "{text}");
    }
}

/// A reply without what may differ between two that mean the same.
fn essence(reply: Reply) -> (u16, Value) {
    (reply.status, reply.json)
}

#[tokio::test]
async fn a_third_party_cannot_tell_that_a_call_exists() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    stage.iphone("mallory", "mallory-1").await;
    let live = stage.invite("alice", "bob").await["call"]["id"].clone();
    let none = json!(stage.clock.call_id().to_string());
    let mallory = bearer("mallory");
    for answered in [false, true] {
        if answered {
            stage.answer(&iphone, &live).await;
        }
        for verb in ["alerting", "answer", "decline", "cancel", "hangup", "token"] {
            for body in [json!({}), json!({"device_id": "mallory-1"}), json!({"device_id": "iphone-1"})] {
                let real = essence(stage.http.post(&path(&live, verb), &mallory, body.clone()).await);
                let unreal = essence(stage.http.post(&path(&none, verb), &mallory, body.clone()).await);
                assert_eq!(real, unreal, "{verb} {body}");
                assert!([400, 404].contains(&real.0), "{verb} {body}: {real:?}");
            }
        }
        let real = stage.http.get(&path(&live, ""), &mallory).await.expect_problem(404, "call-not-found");
        assert_eq!(real, stage.http.get(&path(&none, ""), &mallory).await.expect_problem(404, "call-not-found"));
        let (_, snapshot) = stage.events(&mallory, &format!("?since={}:0", live.as_str().expect("an id"))).await;
        assert_eq!(snapshot["calls"], json!([]));
    }
    assert_eq!(stage.seen_by("alice", &live).await["state"], "active");
}

#[tokio::test]
async fn an_id_that_is_none_is_a_bad_path() {
    let stage = Stage::new().await;
    for id in ["42", "%00", "0192f3d17c3a7c3a8c3a0192f3d17c3a"] {
        stage.http.get(&format!("/v1/calls/{id}"), &bearer("alice")).await.expect_problem(400, "invalid-path");
        stage.http.get(&format!("/v1/calls/{id}"), service_bearer()).await.expect_problem(400, "invalid-path");
    }
}

#[tokio::test]
async fn the_backend_sees_every_call_and_has_no_history_of_its_own() {
    let stage = Stage::new().await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    assert_eq!(stage.call(&call).await["id"], call);
    stage.http.get("/v1/calls", service_bearer()).await.expect_problem(403, "users-only");
    let unknown = json!(stage.clock.call_id().to_string());
    stage.http.get(&path(&unknown, ""), service_bearer()).await.expect_problem(404, "call-not-found");
}
