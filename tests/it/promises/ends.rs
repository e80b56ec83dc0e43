//! Promise 1: every acknowledged call ends, at the right time.

use std::time::Duration;

use serde_json::json;

use crate::support::people::{path, time};
use crate::support::{Stage, bearer};

#[tokio::test]
async fn promise_1_an_unanswered_call_ends_when_its_ring_does_and_not_before() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite_for("alice", "bob", 30).await.expect(201)["call"]["id"].take();
    stage.ring(&phone, &call).await;
    let ring_until = time(&stage.call(&call).await["ring_until"]);

    stage.clock.advance(ring_until.since(stage.clock.now()) - Duration::from_secs(2));
    // The next invite goes through the same store, so whatever the move of the clock set off is done.
    stage.invite("carol", "nobody").await;
    assert_eq!(stage.call(&call).await["state"], "ringing");

    stage.clock.advance(Duration::from_secs(2));
    let event = stage.event("alice", "call.ended", &call).await;
    assert_eq!(event["data"]["reason"], "timed_out");
    let late = time(&event["at"]).since(ring_until);
    println!("ring timeout: {late:?} late");
    assert!(time(&event["at"]) >= ring_until && late <= Duration::from_secs(2), "{late:?}");
    stage.push("missed", &phone.notice_token, &call).await;
}

#[tokio::test]
async fn promise_1_an_answered_call_ends_when_it_has_lasted_as_long_as_it_may() {
    let stage = Stage::with("[call]\nmax_duration = \"2h\"").await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ring(&phone, &call).await;
    let answered = stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    let due = time(&answered["call"]["answered_at"]) + Duration::from_hours(2);

    stage.clock.advance(due.since(stage.clock.now()) - Duration::from_secs(2));
    stage.invite("carol", "nobody").await;
    assert_eq!(stage.call(&call).await["state"], "active");
    stage.http.post(&path(&call, "token"), &bearer("alice"), json!({})).await.expect(200);

    stage.clock.advance(Duration::from_secs(2));
    let event = stage.event("alice", "call.ended", &call).await;
    assert_eq!(event["data"]["reason"], "max_duration");
    let late = time(&event["at"]).since(due);
    println!("longest call: {late:?} late");
    assert!(time(&event["at"]) >= due && late <= Duration::from_secs(2), "{late:?}");
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
    let last = calls.iter().map(|call| time(&call["ring_until"])).max().expect("calls");
    stage.clock.advance(last.since(stage.clock.now()));
    let mut late = Vec::new();
    for (n, call) in calls.iter().enumerate() {
        let event = stage.event(&format!("caller-{n}"), "call.ended", &call["id"]).await;
        assert_eq!(event["data"]["reason"], "timed_out");
        late.push(time(&event["at"]).since(last));
    }
    late.sort();
    println!("500 at once: median {:?} late, the last {:?}", late[250], late[499]);
    assert!(late[499] <= Duration::from_secs(2), "{:?}", late[499]);
}
