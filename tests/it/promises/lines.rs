//! Promise 5: a user is busy only while a live call of theirs is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Stage, bearer, service_bearer};

/// Calls a party of an ended call, and the other, from somebody new: both must be rung.
async fn both_can_be_called(stage: &Stage, ended: &Value, after: &str) {
    assert_eq!(stage.call(ended).await["end_reason"], after);
    for (caller, callee) in [("dave", "bob"), ("erin", "alice")] {
        let again = stage.invite(caller, callee).await["call"].take();
        assert_eq!(again["state"], "calling", "{callee} after {after}");
        stage.http.post(&path(&again["id"], "cancel"), &bearer(caller), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn promise_5_after_every_end_both_can_be_called_again_at_once() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.iphone("alice", "iphone-2").await;
    let post = async |call: &Value, verb: &str, token: &str| {
        stage.http.post(&path(call, verb), token, json!({})).await.expect(200);
    };
    let invite = async || stage.invite("alice", "bob").await["call"]["id"].take();

    let call = invite().await;
    post(&call, "cancel", &bearer("alice")).await;
    both_can_be_called(&stage, &call, "cancelled").await;

    let call = invite().await;
    post(&call, "decline", &stage.ring(&phone, &call).await).await;
    both_can_be_called(&stage, &call, "declined").await;

    let call = invite().await;
    post(&call, "answer", &stage.ticket(&phone, &call).await).await;
    assert_eq!(stage.invite("dave", "bob").await["call"]["end_reason"], "busy", "while it lives");
    post(&call, "hangup", &bearer("bob")).await;
    both_can_be_called(&stage, &call, "completed").await;

    let call = invite().await;
    stage.clock.advance(Duration::from_secs(46));
    stage.event("alice", "call.ended", &call).await;
    both_can_be_called(&stage, &call, "timed_out").await;

    let call = invite().await;
    post(&call, "answer", &stage.ticket(&phone, &call).await).await;
    stage.clock.advance(Duration::from_hours(5));
    stage.event("alice", "call.ended", &call).await;
    both_can_be_called(&stage, &call, "max_duration").await;

    let call = invite().await;
    stage.http.put("/v1/bans/alice", service_bearer(), json!({})).await.expect(200);
    assert_eq!(stage.call(&call).await["end_reason"], "banned");
    let again = stage.invite("dave", "bob").await["call"].take();
    assert_eq!(again["state"], "calling");
    stage.http.delete("/v1/bans/alice", service_bearer()).await;
    post(&again["id"], "cancel", &bearer("dave")).await;

    // A call that never rang: nobody is there, or they are on another call.
    let nobody = stage.invite("bob", "nobody").await["call"]["id"].take();
    assert_eq!(stage.call(&nobody).await["end_reason"], "unreachable");
    let call = invite().await;
    let busy = stage.invite("carol", "bob").await["call"].take();
    assert_eq!(busy["end_reason"], "busy");
    post(&call, "cancel", &bearer("alice")).await;
    both_can_be_called(&stage, &call, "cancelled").await;
    stage.pixel("carol", "pixel-1").await;
    assert_eq!(stage.invite("dave", "carol").await["call"]["state"], "calling");
}

#[tokio::test]
async fn promise_5_a_phone_is_called_by_many_at_once_and_is_free_after_each() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    for round in 0..5 {
        let callers: Vec<String> = (0..12).map(|n| format!("caller-{round}-{n}")).collect();
        let calls = futures_util::future::join_all(callers.iter().map(|caller| stage.invite(caller, "bob"))).await;
        let ringing: Vec<usize> = (0..12).filter(|n| calls[*n]["call"]["state"] == "calling").collect();
        let [rung] = ringing[..] else { panic!("{} of them ring", ringing.len()) };
        for (n, call) in calls.iter().enumerate().filter(|(n, _)| *n != rung) {
            assert_eq!(call["call"]["end_reason"], "busy", "{n}");
        }
        let call = &calls[rung]["call"]["id"];
        stage.http.post(&path(call, "cancel"), &bearer(&callers[rung]), json!({})).await.expect(200);
    }
}
