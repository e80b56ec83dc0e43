//! A user's line: busy, call waiting, redial, and the caller's own calls.

use serde_json::json;

use crate::support::people::path;
use crate::support::{Stage, bearer, expect_ended};

const CALL_WAITING: &str = "[call]\ncall_waiting = true";

#[tokio::test]
async fn a_callee_on_another_call_is_busy_and_misses_the_second_one() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let first = stage.invite("alice", "bob").await["call"]["id"].clone();
    for while_active in [false, true] {
        if while_active {
            stage.answer(&iphone, &first).await;
        }
        let second = expect_ended(&stage.invite("carol", "bob").await, "busy");
        stage.push("missed", &iphone.notice_token, &second).await;
        stage.push("missed", &pixel.notice_token, &second).await;
        assert_eq!(stage.ended("carol", &second).await, "busy");
        assert_eq!(stage.pushed("ring", &second) + stage.pushed("cancel", &second), 0);
        let seen = stage.seen_by("bob", &second).await;
        assert_eq!(seen["end_reason"], "busy", "it is in the callee's history");
    }
    assert_ne!(stage.seen_by("alice", &first).await["state"], "ended");
}

#[tokio::test]
async fn a_callee_who_is_calling_somebody_is_busy_too() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    stage.pixel("carol", "pixel-2").await;
    let calling = stage.invite("bob", "carol").await["call"]["id"].clone();
    expect_ended(&stage.invite("alice", "bob").await, "busy");
    assert_eq!(stage.seen_by("bob", &calling).await["state"], "calling");
}

#[tokio::test]
async fn a_line_is_free_as_soon_as_its_call_is_over() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    for _ in 0..20 {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
        let next = stage.invite("carol", "bob").await;
        assert_eq!(next["call"]["state"], "calling");
        stage.http.post(&path(&next["call"]["id"], "hangup"), &bearer("bob"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn call_waiting_rings_a_second_call_and_no_third() {
    let stage = Stage::with(CALL_WAITING).await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let first = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &first).await;
    let second = stage.invite("carol", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &second).await;
    expect_ended(&stage.invite("dave", "bob").await, "busy");
    stage.http.post(&path(&first, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let third = stage.invite("dave", "bob").await;
    assert_eq!(third["call"]["state"], "calling");
    assert_eq!(stage.seen_by("carol", &second).await["state"], "active");
}

#[tokio::test]
async fn a_redial_cancels_the_call_that_nobody_has_answered() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let first = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.ring(&iphone, &first).await;
    let again = stage.invite("alice", "bob").await;
    assert_eq!(again["call"]["state"], "calling");
    assert_ne!(again["call"]["id"], first);
    assert_eq!(stage.ended("alice", &first).await, "cancelled");
    stage.push("cancel", &iphone.notice_token, &first).await;
    stage.push("missed", &pixel.notice_token, &first).await;
    stage.push("ring", &iphone.ring_token, &again["call"]["id"]).await;
    stage.push("ring", &pixel.ring_token, &again["call"]["id"]).await;

    stage.pixel("carol", "pixel-2").await;
    let elsewhere = stage.invite("alice", "carol").await;
    assert_eq!(elsewhere["call"]["state"], "calling");
    assert_eq!(stage.ended("alice", &again["call"]["id"]).await, "cancelled", "whoever the new one is to");
}

#[tokio::test]
async fn of_many_redials_at_once_one_call_is_left() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    for _ in 0..10 {
        let answers = futures_util::future::join_all((0..6).map(|_| stage.invite_for("alice", "bob", 45))).await;
        let mut live = 0;
        for answer in answers {
            if answer.status == 409 {
                // It was held up for longer than others wait for it, and a later one is what alice wants.
                answer.expect_problem(409, "caller-busy");
                continue;
            }
            let call = answer.expect(201)["call"]["id"].take();
            live += usize::from(stage.seen_by("alice", &call).await["state"] != "ended");
        }
        assert_eq!(live, 1);
    }
}

#[tokio::test]
async fn a_caller_who_is_talking_starts_no_second_call() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("carol", "pixel-1").await;
    let first = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &first).await;
    let body = json!({"callee": "carol", "media": "audio"});
    for party in ["alice", "bob"] {
        let refused = stage.http.post("/v1/calls", &bearer(party), body.clone()).await;
        refused.expect_problem(409, "caller-busy");
        assert_eq!(stage.seen_by(party, &first).await["state"], "active");
    }
    assert_eq!(stage.http.get("/v1/calls", &bearer("carol")).await.expect(200)["calls"], json!([]));
    stage.http.post(&path(&first, "hangup"), &bearer("bob"), json!({})).await.expect(200);
    assert_eq!(stage.invite("alice", "carol").await["call"]["state"], "calling");
}

#[tokio::test]
async fn nobody_calls_themselves() {
    let stage = Stage::new().await;
    stage.pixel("alice", "pixel-1").await;
    let body = json!({"callee": "alice", "media": "audio"});
    let problem = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect_problem(400, "invalid-field");
    assert_eq!(problem["errors"][0]["pointer"], "/callee");
    assert_eq!(stage.pushes().all().iter().filter(|push| push.target.is_some()).count(), 0);
}
