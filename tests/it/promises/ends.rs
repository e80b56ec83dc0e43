//! Promise 1: every acknowledged call ends, at the right time.

use std::time::Duration;

use serde_json::json;

use crate::support::people::path;
use crate::support::{BUSY, SOON, Stage, bearer, rfc3339};

#[tokio::test]
async fn promise_1_an_unanswered_call_ends_when_its_ring_does_and_not_before() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite_for("alice", "bob", 30).await.expect(201)["call"]["id"].take();
    stage.ring(&phone, &call).await;
    let ring_until = rfc3339(&stage.call(&call).await["ring_until"]);

    stage.clock.advance((ring_until - BUSY).since(stage.clock.now()));
    // The next invite goes through the same store, so whatever the move of the clock set off is done.
    stage.invite("carol", "nobody").await;
    assert_eq!(stage.call(&call).await["state"], "ringing");

    stage.clock.advance(BUSY);
    let event = stage.event("alice", "call.ended", &call).await;
    assert_eq!(event["data"]["reason"], "timed_out");
    let late = rfc3339(&event["at"]).since(ring_until);
    println!("ring timeout: {late:?} late");
    assert!(rfc3339(&event["at"]) >= ring_until && late <= BUSY, "{late:?}");
    stage.push("missed", &phone.notice_token, &call).await;
}

#[tokio::test]
async fn promise_1_an_answered_call_ends_when_it_has_lasted_as_long_as_it_may() {
    let stage = Stage::with("[call]\nmax_duration = \"2h\"").await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&phone, &call).await;
    let answered = stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    let due = rfc3339(&answered["call"]["answered_at"]) + Duration::from_hours(2);

    stage.clock.advance((due - BUSY).since(stage.clock.now()));
    stage.invite("carol", "nobody").await;
    assert_eq!(stage.call(&call).await["state"], "active");
    stage.http.post(&path(&call, "token"), &bearer("alice"), json!({})).await.expect(200);

    stage.clock.advance(BUSY);
    let event = stage.event("alice", "call.ended", &call).await;
    assert_eq!(event["data"]["reason"], "max_duration");
    let late = rfc3339(&event["at"]).since(due);
    println!("longest call: {late:?} late");
    assert!(rfc3339(&event["at"]) >= due && late <= BUSY, "{late:?}");
}

#[tokio::test]
async fn promise_1_five_hundred_calls_that_are_due_at_once_end_in_time() {
    let stage = Stage::new().await;
    let calls = futures_util::future::join_all((0..500).map(|n| {
        let stage = &stage;
        async move {
            stage.pixel(&format!("callee-{n}"), "pixel-1").await;
            stage.invite(&format!("caller-{n}"), &format!("callee-{n}")).await["call"].take()
        }
    }))
    .await;
    let last = calls.iter().map(|call| rfc3339(&call["ring_until"])).max().expect("calls");
    stage.clock.advance(last.since(stage.clock.now()));
    let mut late = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let event = stage.event(&format!("caller-{n}"), "call.ended", &call["id"]).await;
        assert_eq!(event["data"]["reason"], "timed_out");
        late.push(rfc3339(&event["at"]).since(last));
    }
    late.sort();
    println!("500 at once: median {:?} late, the last {:?}", late[250], late[499]);
    assert!(late[499] <= SOON, "{:?}", late[499]);
}
