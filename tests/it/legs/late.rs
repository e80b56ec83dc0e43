//! What a device hears that speaks after the end: little, at once, and precisely.

use std::time::Duration;

use bellwire::domain::UserId;
use serde_json::{Value, json};

use super::until;
use crate::support::people::path;
use crate::support::{Device, Stage, bearer};

/// The most bytes of such an answer.
const SMALL: usize = 512;

/// Waits until the record says when the phone came.
async fn noted(stage: &Stage, phone: &Device, call: &Value) {
    until("noted", async || stage.kept_leg(phone, call).await.late_at.is_some()).await;
}

/// Asks to alert and to answer, and gives what is said to both.
async fn late(stage: &Stage, ticket: &str, call: &Value) -> Value {
    let mut answers = Vec::new();
    for verb in ["alerting", "answer", "alerting"] {
        let answer = stage.http.post(&path(call, verb), ticket, json!({})).await;
        assert!(answer.text.len() <= SMALL, "{} bytes", answer.text.len());
        answers.push(answer.json);
    }
    for answer in &answers {
        for field in ["code", "status", "end_reason", "stop_reason"] {
            assert_eq!(answer[field], answers[0][field]);
        }
    }
    answers.swap_remove(0)
}

async fn two_phones(stage: &Stage) -> [Device; 2] {
    [stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await]
}

#[tokio::test]
async fn a_phone_that_was_answered_elsewhere_is_told_so_during_the_talk_and_after_it() {
    let stage = Stage::new().await;
    let [iphone, pixel] = two_phones(&stage).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    let winner = stage.ticket(&iphone, &call).await;
    stage.answer(&iphone, &call).await;
    let told = late(&stage, &ticket, &call).await;
    assert_eq!((&told["code"], &told["stop_reason"]), (&json!("answered-elsewhere"), &json!("answered_elsewhere")));
    noted(&stage, &pixel, &call).await;
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let told = late(&stage, &ticket, &call).await;
    assert_eq!((&told["code"], &told["end_reason"]), (&json!("call-ended"), &json!("completed")));
    assert_eq!(told["stop_reason"], "answered_elsewhere");
    assert_eq!(late(&stage, &winner, &call).await["stop_reason"], "ended", "the one that talked");
}

#[tokio::test]
async fn a_phone_is_told_who_ended_the_ring() {
    let stage = Stage::new().await;
    let [iphone, pixel] = two_phones(&stage).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let (ticket, decliner) = (stage.ticket(&pixel, &call).await, stage.ticket(&iphone, &call).await);
    stage.http.post(&path(&call, "decline"), &decliner, json!({})).await.expect(200);
    let told = late(&stage, &ticket, &call).await;
    assert_eq!((&told["end_reason"], &told["stop_reason"]), (&json!("declined"), &json!("declined_elsewhere")));
    // Its own decline, once more: a success, as the first one was.
    stage.http.post(&path(&call, "decline"), &decliner, json!({})).await.expect(200);

    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    stage.cancel("alice", &call).await;
    let told = late(&stage, &ticket, &call).await;
    assert_eq!((&told["end_reason"], &told["stop_reason"]), (&json!("cancelled"), &json!("cancelled")));
    noted(&stage, &pixel, &call).await;
    let spoke = stage.kept_leg(&iphone, &call).await;
    assert_eq!((spoke.late_at, spoke.acked_at), (None, None), "this one has said nothing");

    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    stage.clock.advance(Duration::from_secs(46));
    stage.event("alice", "call.ended", &call).await;
    let told = late(&stage, &ticket, &call).await;
    assert_eq!((&told["end_reason"], &told["stop_reason"]), (&json!("timed_out"), &json!("timed_out")));
}

#[tokio::test]
async fn late_requests_write_nothing_once_the_first_one_is_noted() {
    const REQUESTS: usize = 100;
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&phone, &call).await;
    stage.cancel("alice", &call).await;
    stage.push("missed", &phone.notice_token, &call).await;
    late(&stage, &ticket, &call).await;
    noted(&stage, &phone, &call).await;
    until("at rest", async || stage.kept(&call).await.tasks.is_empty()).await;
    let before = stage.kept(&call).await.version;
    for verb in ["alerting", "answer", "decline"] {
        for _ in 0..REQUESTS {
            let answer = stage.http.post(&path(&call, verb), &ticket, json!({})).await;
            assert!(answer.text.len() <= SMALL, "{verb}: {} bytes", answer.text.len());
        }
    }
    assert_eq!(stage.kept(&call).await.version, before);
}

/// Its app acknowledges rings, which decides whether silent ones are pushed again.
#[tokio::test]
async fn a_first_word_that_comes_after_the_answer_elsewhere_is_a_word_of_the_app() {
    let stage = Stage::new().await;
    let [iphone, pixel] = two_phones(&stage).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    stage.answer(&iphone, &call).await;
    stage.http.post(&path(&call, "alerting"), &ticket, json!({})).await.expect_problem(409, "answered-elsewhere");
    let bob = UserId::new("bob").expect("a user");
    let acks = async || {
        let devices = stage.gateway.engine.devices(&bob).await.expect("devices");
        devices.into_iter().find(|device| device.id.as_str() == pixel.id).expect("the phone").acks.since
    };
    until("noted", async || acks().await.is_some()).await;
}
