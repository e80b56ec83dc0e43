//! What Apple gets, and what its answers come to.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::{APP, Stage, alice, all_accepted, device, iphone, is_lower_case_uuid, token};
use crate::config::push::Privacy;
use crate::domain::{Device, Environment, IosPushMode, StopReason, Timestamp};
use crate::push::{Message, MessageKind, TokenKind, Verdict};
use crate::simulator::Provider;

#[tokio::test]
async fn a_ring_wakes_an_iphone_by_voip() {
    let stage = Stage::start().await;
    let ring = stage.ring();
    let (report, received) = stage.push(&iphone(1), Message::Ring(ring.clone())).await;

    assert_eq!((report.verdict, report.provider, report.status), (Verdict::Accepted, "apns", Some(200)));
    assert_eq!((report.token, report.environment), (Some(TokenKind::Voip), None));
    assert_eq!(report.provider_id.as_deref(), received.header("apns-id"));
    assert!(received.header("apns-id").is_some_and(is_lower_case_uuid));

    assert_eq!((received.method.as_str(), received.provider), ("POST", Provider::Apns));
    assert_eq!(received.path, format!("/3/device/{}", token(1)));
    assert_eq!(received.header("apns-push-type"), Some("voip"));
    assert_eq!(received.header("apns-topic"), Some("com.example.phone.voip"));
    assert_eq!(received.header("apns-priority"), Some("10"));
    assert_eq!(received.header("apns-collapse-id"), None);
    let expiration: u64 = received.header("apns-expiration").expect("a time").parse().expect("seconds");
    assert!(expiration <= ring.created_at.as_secs() + 11 && expiration >= ring.created_at.as_secs() + 10);

    let body = &received.body;
    assert!(body["server_time"].as_u64().expect("a number") >= ring.created_at.as_millis());
    let mut rest = body.clone();
    rest.as_object_mut().expect("an object").remove("server_time");
    let expected = json!({
        "aps": {},
        "type": "ring",
        "call_id": ring.call_id.to_string(),
        "caller_id": "alice",
        "caller_name": "Alice Liddell",
        "caller_avatar": "https://example.com/alice.png",
        "video": true,
        "created_at": ring.created_at.as_millis(),
        "expires_at": ring.ring_until.as_millis(),
        "ticket": "the ticket",
        "url": "https://calls.example.com",
        "metadata": {"topic": "lunch", "seats": 2},
    });
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn a_ring_never_outlives_its_call_at_apple() {
    let stage = Stage::start().await;
    let mut ring = stage.ring();
    ring.ring_until = ring.created_at + Duration::from_secs(4);
    let (_, received) = stage.push(&iphone(1), Message::Ring(ring.clone())).await;
    assert_eq!(received.header("apns-expiration"), Some(ring.ring_until.as_secs().to_string().as_str()));

    ring.ring_until = ring.created_at;
    let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(ring))).await;
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::GiveUp, "ring-over"));
}

#[tokio::test]
async fn a_ring_can_be_an_alert() {
    let stage = Stage::with(|config| config.apns[0].ring_sound = "ring.caf".to_owned()).await;
    let phone = device(&json!({"platform": "ios", "ios_push_mode": "alert", "alert_token": token(2)}));
    let ring = stage.ring();
    let (report, received) = stage.push(&phone, Message::Ring(ring.clone())).await;
    assert_eq!((report.verdict, report.token), (Verdict::Accepted, Some(TokenKind::Alert)));
    assert_eq!(received.header("apns-push-type"), Some("alert"));
    assert_eq!(received.header("apns-priority"), Some("10"));
    assert_eq!(received.header("apns-topic"), Some(APP));
    assert_eq!(received.header("apns-expiration"), Some(ring.ring_until.as_secs().to_string().as_str()));
    let thread = received.header("apns-collapse-id").expect("a collapse id");
    let aps = json!({
        "alert": {"title": "Alice Liddell", "body": "Incoming video call"},
        "sound": "ring.caf",
        "interruption-level": "time-sensitive",
        "thread-id": thread,
        "mutable-content": 1,
    });
    assert_eq!(received.body["aps"], aps);
    assert_eq!((&received.body["type"], &received.body["ticket"]), (&json!("ring"), &json!("the ticket")));

    let missed = Message::Missed { call_id: ring.call_id, caller: alice(), count: 1, at: stage.clock.now() };
    let (_, missed) = stage.push(&phone, missed).await;
    assert_eq!(missed.header("apns-collapse-id"), Some(thread), "takes the place of the alert that rang");
}

#[tokio::test]
async fn a_phone_that_rings_by_voip_can_be_sent_an_alert_beside() {
    let stage = Stage::start().await;
    let mut phone = iphone(1);
    phone.ios_push_mode = IosPushMode::Alert;
    assert!(stage.pushers.can_push(&phone, MessageKind::Ring));
    let (report, received) = stage.push(&phone, Message::Ring(stage.ring())).await;
    assert_eq!((report.verdict, report.token), (Verdict::Accepted, Some(TokenKind::Alert)));
    assert_eq!(received.target, Some(token(1_000_001)));
    assert_eq!(received.header("apns-push-type"), Some("alert"));

    phone.alert_token = None;
    assert!(!stage.pushers.can_push(&phone, MessageKind::Ring));
}

#[tokio::test]
async fn a_cancel_is_a_background_push_to_the_alert_token() {
    let stage = Stage::start().await;
    let call_id = stage.clock.call_id();
    let cancel = Message::Cancel { call_id, reason: StopReason::AnsweredElsewhere };
    let (report, received) = stage.push(&iphone(1), cancel).await;
    assert_eq!((report.verdict, report.token), (Verdict::Accepted, Some(TokenKind::Alert)));
    assert_eq!(received.target, Some(token(1_000_001)));
    assert_eq!(received.header("apns-push-type"), Some("background"));
    assert_eq!(received.header("apns-priority"), Some("5"));
    assert_eq!(received.header("apns-topic"), Some(APP));
    assert_eq!(received.body["aps"], json!({"content-available": 1}));
    assert_eq!(received.body["type"], "cancel");
    assert_eq!(received.body["reason"], "answered_elsewhere");
    assert_eq!(received.body["call_id"], call_id.to_string());
}

#[tokio::test]
async fn a_cancel_goes_out_by_voip_too_where_configured() {
    let stage = Stage::with(|config| config.apns[0].cancel_by_voip = true).await;
    let cancel = Message::Cancel { call_id: stage.clock.call_id(), reason: StopReason::Cancelled };
    let push = stage.message(&iphone(1), cancel);
    let report = stage.pushers.send(&push).await;
    assert_eq!((report.verdict, report.token), (Verdict::Accepted, Some(TokenKind::Voip)));
    let received = stage.received(Provider::Apns);
    let types: HashSet<_> = received.iter().map(|received| received.header("apns-push-type")).collect();
    assert_eq!(types, HashSet::from([Some("voip"), Some("background")]));
    let ids: HashSet<_> = received.iter().map(|received| received.header("apns-id")).collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn missed_calls_of_one_caller_take_the_place_of_each_other() {
    let stage = Stage::start().await;
    let missed =
        |count| Message::Missed { call_id: stage.clock.call_id(), caller: alice(), count, at: stage.clock.now() };
    let (_, first) = stage.push(&iphone(1), missed(1)).await;
    let (report, second) = stage.push(&iphone(1), missed(2)).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    assert_eq!(second.header("apns-push-type"), Some("alert"));
    assert_eq!(second.header("apns-topic"), Some(APP));
    assert_eq!(second.target, Some(token(1_000_001)));
    let collapse_id = second.header("apns-collapse-id").expect("a collapse id");
    assert_eq!(Some(collapse_id), first.header("apns-collapse-id"));
    assert!(!collapse_id.contains("alice") && collapse_id.len() <= 64);
    assert_eq!(first.body["aps"]["alert"], json!({"title": "Missed call", "body": "Alice Liddell"}));
    assert_eq!(second.body["aps"]["alert"], json!({"title": "2 missed calls", "body": "Alice Liddell"}));
    assert_eq!(second.body["aps"]["thread-id"], collapse_id);
    assert_eq!((&second.body["type"], &second.body["count"]), (&json!("missed"), &json!(2)));
}

#[tokio::test]
async fn names_stay_at_home_where_configured() {
    let stage = Stage::with(|config| config.privacy = Privacy::NoNames).await;
    let (_, received) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert!(!received.body.to_string().contains("Alice"), "{}", received.body);
    assert!(!received.body.to_string().contains("alice.png"), "{}", received.body);
    assert_eq!(received.body["caller_id"], "alice");
}

#[tokio::test]
async fn metadata_is_left_out_before_a_ring_is_too_large() {
    let stage = Stage::start().await;
    let mut ring = stage.ring();
    ring.metadata = Some(json!({"note": "x".repeat(5000)}).into());
    let (report, received) = stage.push(&iphone(1), Message::Ring(ring)).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    assert!(report.left_out.metadata);
    assert_eq!(received.body.get("metadata"), None);
    assert_eq!(received.body["caller_name"], "Alice Liddell");
}

#[tokio::test]
async fn what_cannot_be_made_small_enough_is_our_fault() {
    let stage = Stage::start().await;
    let mut ring = stage.ring();
    ring.ticket = "t".repeat(6000);
    let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(ring))).await;
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::OurFault, "payload-too-large"));
    assert_eq!(stage.simulator.log().count(), 0);
}

#[tokio::test]
async fn many_phones_ring_at_once_over_two_connections() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all((0..300).map(iphone)).await);
    let received = stage.received(Provider::Apns);
    assert_eq!(received.len(), 300);
    let connections: HashSet<_> = received.iter().map(|received| received.connection).collect();
    assert!(connections.len() <= 2, "{connections:?}");
    let tokens: HashSet<_> = received.iter().map(|received| received.header("authorization")).collect();
    assert_eq!(tokens.len(), 1, "one provider token for all");
}

#[tokio::test]
async fn a_token_of_the_other_environment_is_found_there() {
    let stage = Stage::start().await;
    stage.simulator.belongs_to(&token(1), Environment::Sandbox);
    let push = stage.message(&iphone(1), Message::Ring(stage.ring()));
    let report = stage.pushers.send(&push).await;
    assert_eq!((report.verdict, report.environment), (Verdict::Accepted, Some(Environment::Sandbox)));
    let (production, sandbox) = (stage.received(Provider::Apns), stage.received(Provider::ApnsSandbox));
    assert_eq!((production.len(), sandbox.len()), (1, 1));
    assert_eq!(production[0].header("apns-id"), sandbox[0].header("apns-id"));
}

#[tokio::test]
async fn a_token_that_both_hosts_call_bad_is_dropped() {
    let stage = Stage::start().await;
    stage.rule("apns BadDeviceToken");
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::DropToken { since: None });
    assert_eq!(report.reason, "BadDeviceToken");
}

#[tokio::test]
async fn a_token_that_the_only_host_calls_bad_is_kept() {
    let stage = Stage::with(|config| config.apns.truncate(1)).await;
    stage.rule("apns BadDeviceToken");
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::GiveUp);
}

#[tokio::test]
async fn an_unregistered_token_is_dropped_with_its_time() {
    let stage = Stage::start().await;
    let since = Timestamp::from_millis(1_712_345_678_901);
    stage.simulator.unregister(&token(1), since);
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::DropToken { since: Some(since) });
    assert_eq!((report.status, report.reason.as_str()), (Some(410), "Unregistered"));
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_once_and_not_too_often() {
    let stage = Stage::start().await;
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    stage.rule("apns ExpiredProviderToken times 2");
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::OurFault);
    stage.clock.advance(Duration::from_mins(21));
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    assert_eq!(stage.received(Provider::Apns).len(), 4);
}

#[tokio::test]
async fn a_device_that_cannot_be_pushed_to_is_told_apart() {
    let stage = Stage::start().await;
    let ring = || Message::Ring(stage.ring());
    let elsewhere = device(&json!({"platform": "ios", "app": "com.example.other", "voip_token": token(1)}));
    let report = stage.pushers.send(&stage.message(&elsewhere, ring())).await;
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::GiveUp, "no-provider"));
    assert!(!stage.pushers.can_push(&elsewhere, MessageKind::Ring));

    let quiet = device(&json!({"platform": "ios", "voip_token": token(1)}));
    let cancel = Message::Cancel { call_id: stage.clock.call_id(), reason: StopReason::Ended };
    let report = stage.pushers.send(&stage.message(&quiet, cancel)).await;
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::GiveUp, "no-token"));
    assert!(stage.pushers.can_push(&quiet, MessageKind::Ring));
    assert!(!stage.pushers.can_push(&quiet, MessageKind::Cancel));

    let browser = device(&json!({"platform": "web"}));
    assert!(!stage.pushers.can_push(&browser, MessageKind::Ring));
}

/// Apple's word is about token and topic, and an alert has another topic than a VoIP push.
#[tokio::test]
async fn a_token_that_is_refused_for_alerts_is_still_pushed_to_by_voip() {
    let stage = Stage::start().await;
    let phone = device(&json!({"platform": "ios", "voip_token": token(1), "alert_token": token(1)}));
    let by_alert = Device { ios_push_mode: IosPushMode::Alert, ..phone.clone() };
    stage.rule("apns DeviceTokenNotForTopic times 1");
    for reason in ["DeviceTokenNotForTopic", "known-bad-token: DeviceTokenNotForTopic"] {
        assert_eq!(stage.ring_all([by_alert.clone()]).await[0].reason, reason);
    }
    all_accepted(&stage.ring_all([phone]).await);
}
