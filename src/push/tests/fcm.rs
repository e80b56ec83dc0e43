//! What Google gets, and what its answers come to.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Stage, WITHIN, alice, all_accepted, android, device};
use crate::domain::StopReason;
use crate::push::{Message, TokenKind, Verdict};
use crate::simulator::Provider;

fn strings_only(data: &Value) -> bool {
    data.as_object().is_some_and(|data| data.values().all(Value::is_string))
}

#[tokio::test]
async fn a_ring_wakes_an_android_phone() {
    let stage = Stage::start().await;
    let ring = stage.ring();
    let (report, received) = stage.push(&android(1), Message::Ring(ring.clone())).await;
    assert_eq!((report.verdict, report.provider, report.status), (Verdict::Accepted, "fcm", Some(200)));
    assert_eq!(report.token, Some(TokenKind::Fcm));
    assert!(report.provider_id.is_some_and(|name| name.starts_with("projects/")));

    assert_eq!(received.path, "/v1/projects/bellwire-simulator/messages:send");
    assert!(received.header("authorization").is_some_and(|value| value.starts_with("Bearer ")));
    let message = &received.body["message"];
    assert_eq!(message["token"], "registration:1");
    let call_id = ring.call_id.to_string();
    let android = json!({"priority": "HIGH", "ttl": "30s", "collapse_key": call_id.as_str(), "direct_boot_ok": true});
    // A second may have begun since.
    let late = json!({"priority": "HIGH", "ttl": "29s", "collapse_key": call_id.as_str(), "direct_boot_ok": true});
    assert!(message["android"] == android || message["android"] == late, "{message}");
    assert_eq!(message.get("notification"), None);

    let data = &message["data"];
    assert!(strings_only(data), "{data}");
    assert_eq!((&data["type"], &data["call_id"]), (&json!("ring"), &json!(call_id)));
    assert_eq!(data["video"], "true");
    assert_eq!(data["expires_at"], ring.ring_until.as_millis().to_string());
    let metadata: Value = serde_json::from_str(data["metadata"].as_str().expect("a text")).expect("JSON");
    assert_eq!(Some(&metadata), ring.metadata.as_deref());
}

#[tokio::test]
async fn an_installation_id_is_a_target_too() {
    let stage = Stage::start().await;
    let phone = device(&json!({"platform": "android", "fcm_fid": "installation-1"}));
    let (report, received) = stage.push(&phone, Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    assert_eq!(received.body["message"]["fid"], "installation-1");
    assert_eq!(received.body["message"].get("token"), None);
}

#[tokio::test]
async fn a_cancel_is_not_high_and_takes_the_rings_place() {
    let stage = Stage::start().await;
    let call_id = stage.clock.call_id();
    let cancel = Message::Cancel { call_id, reason: StopReason::TimedOut };
    let (report, received) = stage.push(&android(1), cancel).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    let message = &received.body["message"];
    assert_eq!(message["android"]["priority"], "NORMAL");
    assert_eq!(message["android"]["collapse_key"], call_id.to_string());
    assert_eq!((&message["data"]["type"], &message["data"]["reason"]), (&json!("cancel"), &json!("timed_out")));
    assert!(strings_only(&message["data"]));
}

#[tokio::test]
async fn a_missed_call_is_high_and_takes_the_rings_place() {
    let stage = Stage::start().await;
    let call_id = stage.clock.call_id();
    let missed = Message::Missed { call_id, caller: alice(), count: 3, at: stage.clock.now() };
    let (report, received) = stage.push(&android(1), missed).await;
    assert_eq!(report.verdict, Verdict::Accepted);
    let message = &received.body["message"];
    assert_eq!(message["android"]["priority"], "HIGH");
    assert_eq!(message["android"]["collapse_key"], call_id.to_string());
    assert_eq!((&message["data"]["type"], &message["data"]["count"]), (&json!("missed"), &json!("3")));
}

#[tokio::test]
async fn metadata_is_left_out_before_a_message_is_too_large() {
    let stage = Stage::start().await;
    let mut ring = stage.ring();
    ring.metadata = Some(json!("\"".repeat(2100)).into());
    let (report, received) = stage.push(&android(1), Message::Ring(ring)).await;
    assert_eq!((report.verdict, report.left_out.metadata), (Verdict::Accepted, true));
    assert_eq!(received.body["message"]["data"].get("metadata"), None);
}

#[tokio::test]
async fn many_phones_share_one_access_token() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all((0..200).map(android)).await);
    let received = stage.received(Provider::Fcm);
    assert_eq!(received.len(), 200);
    assert!(received.iter().map(|received| received.connection).collect::<HashSet<_>>().len() <= 2);
    assert_eq!(stage.received(Provider::OAuth).len(), 1);
}

#[tokio::test]
async fn refused_access_tokens_are_replaced_once_for_all() {
    let stage = Stage::start().await;
    stage.rule("fcm UNAUTHENTICATED times 20");
    all_accepted(&stage.ring_all((0..20).map(android)).await);
    assert_eq!(stage.received(Provider::OAuth).len(), 2);

    stage.rule("fcm UNAUTHENTICATED times 1");
    let (report, _) = stage.push(&android(1), Message::Ring(stage.ring())).await;
    assert_eq!(report.verdict, Verdict::OurFault, "a new token every time is no cure");
    assert_eq!(stage.received(Provider::OAuth).len(), 2);
}

#[tokio::test]
async fn an_access_token_is_renewed_before_it_expires() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all([android(1)]).await);
    let first = stage.simulator.log().count();
    stage.clock.advance(Duration::from_mins(56));
    let renewal =
        |received: &crate::simulator::Received| received.number > first && received.provider == Provider::OAuth;
    assert!(stage.simulator.log().wait_for(WITHIN, renewal).await.is_some(), "without a push");
    all_accepted(&stage.ring_all([android(1)]).await);
}

#[tokio::test]
async fn a_stuttering_token_endpoint_delays_and_does_not_lose() {
    let stage = Stage::start().await;
    stage.rule("oauth 503 times 1");
    stage.rule("oauth reset times 1");
    stage.rule("fcm UNAUTHENTICATED times 1");
    all_accepted(&stage.ring_all([android(1)]).await);
}

#[tokio::test]
async fn googles_answers_come_to_verdicts() {
    let stage = Stage::start().await;
    for (rule, verdict) in [
        ("fcm UNREGISTERED times 1", Verdict::DropToken { since: None }),
        ("fcm SENDER_ID_MISMATCH times 1", Verdict::OurFault),
        ("fcm 503 retry-after 2s times 1", Verdict::Retry { after: Some(Duration::from_secs(2)) }),
        ("fcm 500 times 1", Verdict::Retry { after: None }),
        ("fcm 429 times 1", Verdict::Retry { after: Some(Duration::from_mins(1)) }),
    ] {
        stage.rule(rule);
        let (report, _) = stage.push(&android(1), Message::Ring(stage.ring())).await;
        assert_eq!(report.verdict, verdict, "{rule}: {report:?}");
    }
}

#[tokio::test]
async fn a_refused_service_account_is_our_fault_and_said_at_once() {
    let stage = Stage::start().await;
    stage.rule("oauth invalid_grant");
    let report = stage.pushers.send(&stage.message(&android(1), Message::Ring(stage.ring()))).await;
    assert_eq!(report.verdict, Verdict::OurFault);
    assert!(report.reason.contains("invalid_grant"), "{report:?}");
    assert!(report.latency < Duration::from_secs(3), "{report:?}");
}

/// A token endpoint that is asked too often has not said what it thinks of the account: it is asked again.
#[tokio::test]
async fn a_token_endpoint_that_is_asked_too_often_refuses_nobody() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all([android(1)]).await);
    stage.rule("oauth 429");
    stage.clock.advance(Duration::from_hours(2));
    let report = stage.pushers.send(&stage.message(&android(1), Message::Ring(stage.ring()))).await;
    assert_eq!(report.verdict, Verdict::Retry { after: None }, "{report:?}");
    assert!(!report.credential_refused && report.reason.contains("answered 429"), "{report:?}");
    stage.simulator.clear_rules();
    all_accepted(&stage.ring_all([android(1)]).await);
}

#[tokio::test]
async fn a_provider_is_left_alone_for_a_day_at_the_most() {
    let stage = Stage::start().await;
    for (rule, after) in [("fcm 429 retry-after 36h", 24), ("fcm 429 retry-after 23h", 23)] {
        stage.rule(&format!("{rule} times 1"));
        let report = &stage.ring_all([android(1)]).await[0];
        assert_eq!(report.verdict, Verdict::Retry { after: Some(Duration::from_hours(after)) }, "{rule}");
    }
}
