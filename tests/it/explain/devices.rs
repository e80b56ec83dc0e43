//! What devices did and said, as the explanation tells it.

use std::time::Duration;

use serde_json::{Value, json};

use super::{of, text};
use crate::support::people::path;
use crate::support::{APP, Device, Stage, bearer, rfc3339, service_bearer};

const WHOLE_RING: Duration = Duration::from_secs(46);

/// The ring is over, and nobody has answered.
async fn ring_out(stage: &Stage, call: &Value) {
    stage.clock.advance(WHOLE_RING);
    assert_eq!(stage.ended("alice", call).await, "timed_out");
}

/// The phone says once that it rings, so that its app is known to.
async fn acks_once(stage: &Stage, phone: &Device) {
    let call = stage.call_to(&phone.user).await;
    stage.ring(phone, &call).await;
    stage.give_up(&call).await;
}

#[tokio::test]
async fn a_call_is_told_from_the_push_to_the_answer() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.call_to("bob").await;
    stage.taken(&call, "iphone-1").await;
    assert_eq!(stage.explain(&call).await["summary"], "No device of bob has said yet that it rings.");
    stage.ring(&iphone, &call).await;
    let rings = stage.explained(&call, "iphone-1", "rings").await;
    assert_eq!((&rings["state"], &rings["ack"]["kind"]), (&json!("alerting"), &json!("alerting")));
    assert_eq!(stage.explain(&call).await["summary"], "iphone-1 rings for alice's call; nobody has answered yet.");
    stage.answer(&pixel, &call).await;
    let push = stage.push("cancel", &iphone.notice_token, &call).await;

    stage.explained(&call, "pixel-1", "answered").await;
    let document = stage.explained_once(&call, "iphone-1", |found| found["stop"]["told"].is_object()).await;
    assert_eq!((&document["call"]["id"], &document["call"]["state"]), (&call, &json!("active")));
    assert!(text(&document["summary"]).starts_with("bob answered on pixel-1 at +"), "{}", document["summary"]);
    let iphone = of(&document, "iphone-1");
    assert_eq!((&iphone["cause"], &iphone["state"]), (&json!("rang_answered_elsewhere"), &json!("stopped")));
    assert_eq!((&iphone["stop"]["reason"], &iphone["stop"]["told_by"]), (&json!("answered_elsewhere"), &json!("stop")));
    let [ring, stop] = &iphone["pushes"].as_array().expect("pushes")[..] else { panic!("{iphone:#}") };
    for (field, value) in [
        ("push", json!("ring")),
        ("number", json!(1)),
        ("attempt", json!(1)),
        ("provider", json!("apns")),
        ("environment", json!("production")),
        ("status", json!(200)),
        ("reason", json!("")),
        ("outcome", json!("accepted")),
        ("times", json!(1)),
    ] {
        assert_eq!(ring[field], value, "{field}");
    }
    assert_eq!(stop["id"], json!(push.header("apns-id")));
    // Times are told twice, and agree.
    for moment in [&ring["first"], &ring["sent"], &iphone["ack"], &iphone["stop"], &iphone["sent"]] {
        let after = rfc3339(&moment["at"]).since(rfc3339(&document["call"]["created_at"]));
        assert_eq!(after.as_millis(), u128::from(moment["after_ms"].as_u64().expect("a number")));
    }
    let pixel = of(&document, "pixel-1");
    assert_eq!((&pixel["ack"]["kind"], pixel["closed"]["after_ms"].is_u64()), (&json!("answered"), true));
    assert!(text(&pixel["pushes"][0]["id"]).starts_with("projects/"), "{pixel:#}");
    assert_eq!((pixel.get("environment"), pixel.get("stop")), (None, None));
}

#[tokio::test]
async fn what_a_device_says_is_why() {
    let stage = Stage::with("[call]\ndecline = \"device\"").await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("bob", "pixel-1").await;
    let says = [
        ("decline", json!({}), "declined"),
        ("decline", json!({"reason": "busy"}), "busy_on_device"),
        ("alerting", json!({"rung": false, "reason": "do_not_disturb"}), "do_not_disturb"),
        ("alerting", json!({"rung": false, "reason": "block_list"}), "blocked_on_device"),
        ("alerting", json!({"rung": false, "reason": "no_permission"}), "no_permission"),
        ("alerting", json!({"rung": false, "reason": "in_a_tunnel"}), "could_not_ring"),
        ("alerting", json!({"rung": false}), "could_not_ring"),
    ];
    for (verb, body, cause) in says {
        let call = stage.call_to("bob").await;
        let ticket = stage.ticket(&phone, &call).await;
        stage.http.post(&path(&call, verb), &ticket, body).await.expect(200);
        let device = stage.explained(&call, "iphone-1", cause).await;
        assert!(device["ack"]["after_ms"].is_u64(), "{device:#}");
        stage.give_up(&call).await;
    }
}

#[tokio::test]
async fn a_ring_that_nobody_takes_and_one_that_another_device_declines() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.call_to("bob").await;
    stage.ring(&iphone, &call).await;
    ring_out(&stage, &call).await;
    stage.explained(&call, "iphone-1", "rang_unanswered").await;
    assert_eq!(stage.explain(&call).await["summary"], "Nobody answered within 45 s; it rang on iphone-1.");

    let call = stage.call_to("bob").await;
    let ticket = stage.ring(&pixel, &call).await;
    stage.ring(&iphone, &call).await;
    stage.http.post(&path(&call, "decline"), &ticket, json!({})).await.expect(200);
    stage.explained(&call, "iphone-1", "rang_declined_elsewhere").await;
    stage.explained(&call, "pixel-1", "declined").await;
}

#[tokio::test]
async fn silence_means_another_thing_for_each_phone() {
    let stage = Stage::with("[push]\nrepush_max = 0").await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    for [of_iphone, of_pixel] in [["unacked_iphone", "unacked_android"], ["silent_iphone", "silent_android"]] {
        let call = stage.call_to("bob").await;
        stage.taken(&call, "iphone-1").await;
        stage.taken(&call, "pixel-1").await;
        ring_out(&stage, &call).await;
        let said = stage.explained(&call, "iphone-1", of_iphone).await;
        let verdict = text(&said["verdict"]);
        let start =
            format!("iPhone of bob: APNs accepted at +{} ms, no alerting ack", said["pushes"][0]["first"]["after_ms"]);
        assert!(
            verdict.starts_with(&start) && verdict.contains("the app may be deleted, offline or force-quit"),
            "{verdict}"
        );
        stage.explained(&call, "pixel-1", of_pixel).await;
        acks_once(&stage, &iphone).await;
        acks_once(&stage, &pixel).await;
    }
}

#[tokio::test]
async fn a_phone_in_alert_mode_says_nothing_and_that_is_said() {
    let stage = Stage::new().await;
    let body = json!({"platform": "ios", "app": APP, "alert_token": "a1e270", "ios_push_mode": "alert"});
    stage.http.put("/v1/devices/iphone-1", &bearer("bob"), body).await.expect(200);
    let call = stage.call_to("bob").await;
    stage.taken(&call, "iphone-1").await;
    ring_out(&stage, &call).await;
    stage.explained(&call, "iphone-1", "alert_mode").await;
}

#[tokio::test]
async fn a_phone_that_was_pushed_to_again_and_is_still_silent() {
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    acks_once(&stage, &phone).await;
    let call = stage.call_to("bob").await;
    stage.taken(&call, "pixel-1").await;
    stage.clock.advance(Duration::from_millis(6100));
    let said = stage.explained(&call, "pixel-1", "pushed_again").await;
    let numbers: Vec<_> =
        said["pushes"].as_array().expect("pushes").iter().map(|push| push["number"].clone()).collect();
    assert_eq!(numbers, [1, 2]);
    assert!(
        text(&said["verdict"]).starts_with("Android phone of bob: FCM accepted 2 pushes (+"),
        "{}",
        said["verdict"]
    );
    stage.give_up(&call).await;
}

#[tokio::test]
async fn an_app_that_is_awake_and_says_nothing_gets_an_alert_beside() {
    let stage = Stage::with("[push]\nvoip_budget = 1").await;
    let phone = stage.iphone("bob", "iphone-1").await;
    for cause in ["silent_in_touch", "silent_beside_alert"] {
        let call = stage.call_to("bob").await;
        let ticket = stage.ticket(&phone, &call).await;
        stage.taken(&call, "iphone-1").await;
        stage.http.get(&path(&call, ""), &ticket).await.expect(200);
        stage.explained_once(&call, "iphone-1", |found| found["contacted"].is_object()).await;
        ring_out(&stage, &call).await;
        let said = stage.explained(&call, "iphone-1", cause).await;
        let kinds: Vec<_> = said["pushes"].as_array().expect("pushes").iter().map(|push| text(&push["push"])).collect();
        assert_eq!(kinds.contains(&"ring_alert"), cause == "silent_beside_alert", "{kinds:?}");
        // The silent ring is counted before this goes out.
        stage.push("cancel", &phone.notice_token, &call).await;
    }
}

#[tokio::test]
async fn a_call_that_was_over_too_soon_tells_nothing_of_a_phone() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.call_to("bob").await;
    stage.taken(&call, "iphone-1").await;
    stage.give_up(&call).await;
    stage.explained(&call, "iphone-1", "stopped_soon").await;
    let ticket = stage.ticket(&phone, &call).await;
    stage.http.post(&path(&call, "alerting"), &ticket, json!({})).await.expect_problem(409, "call-ended");
    let late = stage.explained(&call, "iphone-1", "came_late").await;
    assert!(late["late"]["after_ms"].is_u64(), "{late:#}");

    stage.simulator.add_rule("apns delay 1500ms".parse().expect("a rule"));
    let call = stage.call_to("bob").await;
    stage.push("ring", &phone.ring_token, &call).await;
    assert_eq!(of(&stage.explain(&call).await, "iphone-1")["cause"], "on_its_way");
    stage.give_up(&call).await;
    stage.explained(&call, "iphone-1", "ended_before_push").await;
}

#[tokio::test]
async fn whoever_called_at_the_same_moment_has_answered_from_elsewhere() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    let call = stage.call_to("bob").await;
    stage.taken(&call, "iphone-1").await;
    assert_eq!(stage.invite("bob", "alice").await["call"]["id"], call);
    stage.explained(&call, "iphone-1", "called_elsewhere").await;
    let summary = stage.explain(&call).await["summary"].take();
    assert!(text(&summary).starts_with("bob called alice at the same moment, which answered at +"), "{summary}");
}

#[tokio::test]
async fn a_browser_rings_while_it_is_connected() {
    let stage = Stage::new().await;
    stage.browser("bob", "firefox").await;
    stage.browser("bob", "chrome").await;
    let (_stream, _) = stage.events(&bearer("bob"), "?device_id=firefox").await;
    let call = stage.call_to("bob").await;
    stage.explained(&call, "firefox", "waiting_for_word").await;
    stage.explained(&call, "chrome", "browser_not_connected").await;
    ring_out(&stage, &call).await;
    stage.explained(&call, "firefox", "browser_silent").await;
    let chrome = stage.explained(&call, "chrome", "browser_not_connected").await;
    assert_eq!((chrome.get("state"), &chrome["pushes"]), (None, &json!([])));
}

#[tokio::test]
async fn a_phone_that_takes_no_part_is_told_too() {
    let stage = Stage::new().await;
    let call = stage.call_to("bob").await;
    assert_eq!(stage.explain(&call).await["summary"], "bob had no registered device that could be rung.");
    stage.clock.advance(Duration::from_secs(1));
    stage.iphone("bob", "iphone-1").await;
    stage.explained(&call, "iphone-1", "registered_later").await;
    stage.clock.advance(Duration::from_secs(1));

    // On another call.
    let first = stage.invite("carol", "bob").await["call"]["id"].take();
    stage.taken(&first, "iphone-1").await;
    let call = stage.call_to("bob").await;
    let busy = stage.explained(&call, "iphone-1", "callee_busy").await;
    assert!(busy["pushes"].as_array().expect("pushes").iter().all(|push| push["push"] == "missed"), "{busy:#}");
    assert_eq!(stage.explain(&call).await["summary"], "bob was on another call, so no device was rung.");
    stage.http.post(&path(&first, "cancel"), &bearer("carol"), json!({})).await.expect(200);

    // Blocked.
    assert_eq!(stage.http.put("/v1/blocks/alice", &bearer("bob"), json!({})).await.status, 204);
    let call = stage.call_to("bob").await;
    stage.explained(&call, "iphone-1", "blocked_caller").await;
    stage.give_up(&call).await;

    // Banned, before the call and during it.
    let call = stage.invite("carol", "bob").await["call"]["id"].take();
    stage.ring(&Device { user: "bob".into(), ..stage.iphone("bob", "iphone-1").await }, &call).await;
    stage.clock.advance(Duration::from_secs(1));
    stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "spam"})).await.expect(200);
    stage.explained(&call, "iphone-1", "rang_until_end").await;
    stage.clock.advance(Duration::from_secs(1));
    let call = stage.invite("carol", "bob").await["call"]["id"].take();
    stage.explained(&call, "iphone-1", "callee_banned").await;
    assert_eq!(stage.explain(&call).await["summary"], "bob is banned, so no device was rung.");
}
