//! A phone that stays silent is pushed to again, as far as page and configuration allow.

use std::time::Duration;

use serde_json::json;

use super::until;
use crate::support::people::path;
use crate::support::{BUSY, Device, Stage, bearer};

/// So long that no step of these tests takes as long, also on a busy machine.
const AFTER: Duration = Duration::from_secs(12);
const SILENT: &str = "[push]\nrepush_after = \"12s\"";

/// The phone says once that it rings, so that its app is known to; its registration is refreshed after that.
async fn acks_once<G>(stage: &Stage<G>, phone: &Device) {
    let call = stage.invite("carol", &phone.user).await["call"]["id"].take();
    stage.ring(phone, &call).await;
    stage.cancel("carol", &call).await;
    if phone.ring_token.starts_with("fcm") {
        stage.pixel(&phone.user, &phone.id).await;
    } else {
        stage.iphone(&phone.user, &phone.id).await;
    }
}

/// Calls bob, whose phones take the push and say nothing.
async fn silent_call<G>(stage: &Stage<G>, phone: &Device) -> serde_json::Value {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.push("ring", &phone.ring_token, &call).await;
    until("sent", async || stage.leg(&phone.id, &call).await == "sent").await;
    call
}

#[tokio::test]
async fn a_pixel_that_has_acked_before_is_pushed_to_twice_more() {
    let stage = Stage::with(SILENT).await;
    let phone = stage.pixel("bob", "pixel-1").await;
    acks_once(&stage, &phone).await;
    let call = silent_call(&stage, &phone).await;
    let first = stage.nth_push(1, "ring", &phone.ring_token, &call).await;
    for n in 2..=3 {
        stage.clock.advance(AFTER / 6);
        stage.pass().await;
        assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), n - 1, "before its time");
        stage.clock.advance(AFTER * 5 / 6);
        let again = stage.nth_push(n, "ring", &phone.ring_token, &call).await;
        assert!(again.at.since(first.at) >= AFTER * u32::try_from(n - 1).expect("a few"));
        // The next one counts from when this one was taken.
        stage.pass().await;
    }
    stage.clock.advance(AFTER);
    stage.pass().await;
    assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 3, "no more than that");
    stage.cancel("alice", &call).await;
}

#[tokio::test]
async fn a_pixel_that_was_never_heard_of_and_an_iphone_are_pushed_to_once() {
    let stage = Stage::with(SILENT).await;
    let (pixel, iphone) = (stage.pixel("bob", "pixel-1").await, stage.iphone("bob", "iphone-1").await);
    acks_once(&stage, &iphone).await;
    let call = silent_call(&stage, &pixel).await;
    silent(&stage, &iphone, &call).await;
    for _ in 0..3 {
        stage.clock.advance(AFTER);
        stage.pass().await;
    }
    for phone in [&pixel, &iphone] {
        assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 1, "{}", phone.id);
    }
}

async fn silent(stage: &Stage, phone: &Device, call: &serde_json::Value) {
    until("sent", async || stage.leg(&phone.id, call).await == "sent").await;
}

#[tokio::test]
async fn an_iphone_is_pushed_to_again_once_after_apple_has_given_up_the_first_push() {
    let stage = Stage::with("[push]\nrepush_ios = true\nrepush_after = \"1s\"").await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = silent_call(&stage, &phone).await;
    let first = stage.nth_push(1, "ring", &phone.ring_token, &call).await;
    stage.clock.advance(Duration::from_secs(2));
    stage.pass().await;
    assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 1, "Apple may still deliver the first");
    stage.clock.advance(Duration::from_secs(9));
    let again = stage.nth_push(2, "ring", &phone.ring_token, &call).await;
    let expired: u64 = first.header("apns-expiration").expect("a time").parse().expect("seconds");
    assert!(again.at.as_millis() >= expired * 1000);
    assert_ne!(first.header("apns-id"), again.header("apns-id"), "another push");
    stage.pass().await;
    stage.clock.advance(Duration::from_secs(20));
    stage.pass().await;
    assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 2);
}

#[tokio::test]
async fn nobody_is_pushed_to_again_who_has_said_anything() {
    let stage = Stage::with(SILENT).await;
    let verbs = [
        ("alerting", json!({})),
        ("alerting", json!({"rung": false, "reason": "do_not_disturb"})),
        ("decline", json!({"reason": "busy"})),
        ("answer", json!({})),
    ];
    // So that a busy phone does not end the call.
    stage.pixel("bob", "pixel-2").await;
    let phone = stage.pixel("bob", "pixel-1").await;
    acks_once(&stage, &phone).await;
    for (verb, body) in verbs {
        let call = silent_call(&stage, &phone).await;
        let ticket = stage.ticket(&phone, &call).await;
        stage.http.post(&path(&call, verb), &ticket, body.clone()).await.expect(200);
        stage.clock.advance(AFTER * 2);
        stage.pass().await;
        assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 1, "{verb} {body}");
        stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_push_again_survives_a_crash() {
    let mut stage = Stage::of_process("[push]\nrepush_after = \"3s\"").await;
    let phone = stage.pixel("bob", "pixel-1").await;
    acks_once(&stage, &phone).await;
    let call = silent_call(&stage, &phone).await;
    stage.gateway.kill().await;
    let ready = stage.start_again().await;
    let first = stage.nth_push(1, "ring", &phone.ring_token, &call).await;
    let again = stage.nth_push(2, "ring", &phone.ring_token, &call).await;
    let due = (first.at + Duration::from_secs(3)).max(ready);
    assert!(again.at.since(due) <= BUSY, "{:?} late", again.at.since(due));
    assert!(again.at.since(first.at) >= Duration::from_secs(3));
}
