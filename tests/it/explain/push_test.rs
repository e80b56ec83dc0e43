//! `bellwire push-test`: a real ring through the gateway, followed until it is known whether the phone rings.

use std::sync::Arc;

use bellwire::simulator::Received;
use serde_json::{Value, json};

use crate::support::command::{Ended, Running};
use crate::support::people::{path, push_data};
use crate::support::{Device, SERVICE_KEY, SOON, Stage};

fn start(stage: &Stage, args: &[&str]) -> Running {
    Running::start(SERVICE_KEY, &[&["push-test", "--url", stage.http.base()], args].concat())
}

/// The ring of the test on this phone.
async fn ring(stage: &Stage, phone: &Device) -> Arc<Received> {
    let is_it =
        |push: &Received| push.target.as_deref() == Some(&phone.ring_token) && push_data(push)["type"] == "ring";
    stage.pushes().wait_for(SOON, is_it).await.expect("a ring")
}

/// The phone does this with its ticket.
async fn says(stage: &Stage, phone: &Device, verb: &str, body: Value) -> Value {
    let push = ring(stage, phone).await;
    let (call, ticket) = (&push_data(&push)["call_id"], push_data(&push)["ticket"].as_str().expect("a ticket"));
    stage.http.post(&path(call, verb), ticket, body).await.expect(200);
    call.clone()
}

async fn expect_over(stage: &Stage, call: &Value) {
    assert_eq!(stage.call(call).await["state"], "ended");
    assert_eq!(stage.pushed("missed", call), 0, "a test is no missed call");
}

fn expect(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for part in parts {
        assert!(ended.stdout.contains(part), "{part:?} is not in {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_phone_that_rings_is_a_success_and_the_others_are_left_alone() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let test = start(&stage, &["--user", "bob", "--device", "iphone-1", "--caller-name", "The tester"]);
    let push = ring(&stage, &iphone).await;
    assert_eq!(push_data(&push)["caller_name"], "The tester");
    let call = &push_data(&push)["call_id"];
    stage.explained_once(call, "iphone-1", |found| found["state"] == "sent").await;
    let call = says(&stage, &iphone, "alerting", json!({})).await;
    let ended = test.end().await;
    expect(
        &ended,
        0,
        &[
            "iphone-1: ring by apns production: 200 (accepted, ",
            "iphone-1: the device said alerting\n",
            "iphone-1: stopped: cancelled\n",
            "rang_cancelled: iPhone of bob: it rang from +",
            "not_addressed: Android phone of bob",
        ],
    );
    assert_eq!((ended.stderr.as_str(), stage.pushed("ring", &call)), ("", 1));
    stage.push("cancel", &iphone.notice_token, &call).await;
    assert!(stage.pushes().all().iter().all(|push| push.target.as_deref() != Some(&pixel.ring_token)));
    expect_over(&stage, &call).await;
}

#[tokio::test]
async fn an_answer_is_a_success_and_the_call_is_hung_up() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let test = start(&stage, &["--user", "bob"]);
    let call = says(&stage, &pixel, "answer", json!({})).await;
    expect(
        &test.end().await,
        0,
        &["pixel-1: the device said answered\n", "answered: Android phone of bob: it answered at +"],
    );
    expect_over(&stage, &call).await;
}

#[tokio::test]
async fn a_phone_that_could_not_ring_and_one_that_no_provider_takes_are_failures() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    stage.simulator.unregister(&pixel.ring_token, stage.clock.now());
    let test = start(&stage, &["--user", "bob"]);
    let call = says(&stage, &iphone, "alerting", json!({"rung": false, "reason": "do_not_disturb"})).await;
    let ended = test.end().await;
    expect(
        &ended,
        1,
        &[
            "iphone-1: the device said not_rung do_not_disturb\n",
            "pixel-1: ring by fcm: 404 UNREGISTERED (drop_token, ",
            "do_not_disturb: iPhone of bob",
            "token_dead: Android phone of bob",
        ],
    );
    assert!(ended.stderr.contains("no device said that it rings"), "{ended:?}");
    expect_over(&stage, &call).await;
}

#[tokio::test]
async fn a_phone_that_stays_silent_is_a_failure_when_its_time_is_over() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let ended = start(&stage, &["--user", "bob", "--device", "pixel-1", "--ring-seconds", "5"]).end().await;
    expect(&ended, 1, &["Android phone of bob: FCM accepted at +", "ended timed_out\nNobody answered within 5 s"]);
    let push = ring(&stage, &pixel).await;
    let call = push_data(&push)["call_id"].clone();
    expect_over(&stage, &call).await;
}

#[tokio::test]
async fn who_cannot_be_rung_at_all_is_said() {
    let stage = Stage::new().await;
    let ended = start(&stage, &["--user", "bob"]).end().await;
    expect(&ended, 1, &["bob had no registered device that could be rung."]);
    stage.pixel("bob", "pixel-1").await;
    let ended = start(&stage, &["--user", "bob", "--device", "iphone-1"]).end().await;
    expect(&ended, 1, &[]);
    assert!(ended.stderr.contains("knows no such device of this user"), "{ended:?}");
    assert_eq!(stage.pushes().all().iter().filter(|push| push.target.is_some()).count(), 0);
    for args in [&["--user", "bob", "--ring-seconds", "4"][..], &["--device", "x"], &["--user", ""]] {
        assert_eq!(start(&stage, args).end().await.code, Some(2), "{args:?}");
    }
}
