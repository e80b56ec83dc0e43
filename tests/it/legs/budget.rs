//! The VoIP budget: an alert beside the VoIP push for an app that is awake and never says that it rings.

use bellwire::domain::leg::WORD_WITHIN;
use serde_json::{Value, json};

use super::until;
use crate::support::people::path;
use crate::support::{Device, Stage};

const BUDGET: &str = "[push]\nvoip_budget = 2";

/// A call to bob that nobody answers; what the phone does meanwhile is the test's. Whether an alert went beside the ring.
async fn call(stage: &Stage, phone: &Device, doing: impl AsyncFnOnce(&str, &Value)) -> bool {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(phone, &call).await;
    doing(&ticket, &call).await;
    // It had the time to say that it rings.
    stage.clock.advance(WORD_WITHIN);
    stage.cancel("alice", &call).await;
    // The silent ring is counted before this goes out.
    stage.push("cancel", &phone.notice_token, &call).await;
    stage.pass().await;
    let alerts = stage.pushes_of("ring", &phone.notice_token, &call);
    assert_eq!(stage.pushes_of("ring", &phone.ring_token, &call).len(), 1, "never instead of it");
    assert!(alerts.iter().all(|alert| alert.header("apns-push-type") == Some("alert")), "{alerts:?}");
    assert!(alerts.len() <= 1);
    !alerts.is_empty()
}

/// The app was woken, reads the call, and says nothing.
async fn in_touch(stage: &Stage, ticket: &str, call: &Value) {
    stage.http.get(&path(call, ""), ticket).await.expect(200);
    noted(stage, call).await;
}

async fn noted(stage: &Stage, call: &Value) {
    let id = bellwire::domain::CallId::parse(call.as_str().expect("an id")).expect("an id");
    let noted = async || {
        let call = stage.gateway.engine.call(id, &bellwire::engine::Asker::Service).await.expect("a call");
        call.legs.iter().any(|leg| leg.contacted_at.is_some())
    };
    until("noted", noted).await;
}

#[tokio::test]
async fn an_app_that_is_in_touch_and_never_acks_gets_an_alert_beside() {
    let stage = Stage::with(BUDGET).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..2 {
        assert!(!call(&stage, &phone, async |ticket, call| in_touch(&stage, ticket, call).await).await);
    }
    assert!(call(&stage, &phone, async |ticket, call| in_touch(&stage, ticket, call).await).await);
    // Once it has said that it rings, it is trusted again.
    let acks = async |ticket: &str, call: &Value| {
        stage.http.post(&path(call, "alerting"), ticket, json!({})).await.expect(200);
    };
    assert!(call(&stage, &phone, acks).await);
    assert!(!call(&stage, &phone, acks).await);
}

#[tokio::test]
async fn a_phone_that_was_merely_off_is_not_counted() {
    let stage = Stage::with(BUDGET).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..4 {
        assert!(!call(&stage, &phone, async |_, _| ()).await);
    }
}

#[tokio::test]
async fn an_open_event_stream_is_touch_enough() {
    let stage = Stage::with(BUDGET).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..2 {
        let listens = async |ticket: &str, call: &Value| {
            let (_stream, _) = stage.events(ticket, "").await;
            noted(&stage, call).await;
        };
        assert!(!call(&stage, &phone, listens).await);
    }
    assert!(call(&stage, &phone, async |_, _| ()).await);
}

#[tokio::test]
async fn without_a_budget_nothing_is_counted() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..3 {
        let reads = async |ticket: &str, call: &Value| {
            stage.http.get(&path(call, ""), ticket).await.expect(200);
        };
        assert!(!call(&stage, &phone, reads).await);
    }
}

#[tokio::test]
async fn an_app_that_had_no_time_to_speak_is_not_counted() {
    let stage = Stage::with(BUDGET).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for _ in 0..4 {
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        let ticket = stage.ticket(&phone, &call).await;
        in_touch(&stage, &ticket, &call).await;
        stage.cancel("alice", &call).await;
        stage.push("cancel", &phone.notice_token, &call).await;
        assert!(stage.pushes_of("ring", &phone.notice_token, &call).is_empty());
    }
}
