//! Pushes that no provider took, as the explanation tells it: each answer as the simulator gives it on the wire.

use std::time::Duration;

use serde_json::{Value, json};

use super::text;
use crate::support::people::invite_body;
use crate::support::ports::ClosedPort;
use crate::support::{APP, Device, Stage, bearer};

fn rule(stage: &Stage, text: &str) {
    stage.simulator.add_rule(text.parse().expect(text));
}

/// alice calls this phone's user, and the provider's answer is this rule for it.
async fn call_with(stage: &Stage, phone: &Device, text: &str) -> Value {
    rule(stage, &format!("{text} for {}", phone.ring_token));
    stage.call_to(&phone.user).await
}

#[tokio::test]
async fn every_refusal_has_its_cause() {
    let stage = Stage::new().await;
    let refusals = [
        ("apns Unregistered", "token_dead", "APNs answered 410 Unregistered"),
        ("apns ExpiredToken", "token_dead", "APNs answered 410 ExpiredToken"),
        ("apns BadDeviceToken", "refused_in_both_environments", "production and sandbox both"),
        ("apns DeviceTokenNotForTopic", "wrong_topic", APP),
        ("apns TopicDisallowed", "topic_refused", "400 TopicDisallowed"),
        ("apns BadEnvironmentKeyIdInToken", "key_of_other_environment", "not for production"),
        ("apns InvalidProviderToken", "credential_refused", "403 InvalidProviderToken"),
        ("apns PayloadTooLarge", "payload_refused", "413 PayloadTooLarge"),
        ("apns BadCollapseId", "payload_refused", "400 BadCollapseId"),
        ("apns 429 retry-after 120s", "throttled", "429 TooManyRequests"),
        ("apns 503 retry-after 120s", "provider_failing", "503 "),
        ("fcm UNREGISTERED", "token_dead", "FCM answered 404 UNREGISTERED"),
        ("fcm INVALID_ARGUMENT", "token_invalid", "400 INVALID_ARGUMENT"),
        ("fcm SENDER_ID_MISMATCH", "wrong_project", "403 SENDER_ID_MISMATCH"),
        ("fcm THIRD_PARTY_AUTH_ERROR", "third_party_credential", "401 THIRD_PARTY_AUTH_ERROR"),
        ("fcm PERMISSION_DENIED", "credential_refused", "403 PERMISSION_DENIED"),
        ("fcm QUOTA_EXCEEDED retry-after 120s", "throttled", "429 QUOTA_EXCEEDED"),
    ];
    for (number, (refusal, cause, sentence)) in refusals.into_iter().enumerate() {
        let user = format!("bob-{number}");
        let phone = if refusal.starts_with("apns") {
            stage.iphone(&user, "phone").await
        } else {
            stage.pixel(&user, "phone").await
        };
        let call = call_with(&stage, &phone, refusal).await;
        let said = stage.explained(&call, "phone", cause).await;
        assert!(text(&said["verdict"]).contains(sentence), "{refusal}: {}", said["verdict"]);
        assert_eq!(said["state"], "failed", "{refusal}");
        assert!(said["closed"]["after_ms"].is_u64() && !text(&said["advice"]).is_empty(), "{said:#}");
        let since = said["pushes"][0]["dead_since"].as_str();
        assert_eq!(since.is_some(), cause == "token_dead" && refusal.starts_with("apns"), "{said:#}");
        assert_eq!(stage.ended("alice", &call).await, "unreachable");
        let summary = stage.explain(&call).await["summary"].take();
        assert!(text(&summary).starts_with(&format!("No device of {user} could be rung")), "{summary}");
        stage.simulator.clear_rules();
        // A token that is dead is not tried again.
        if cause == "token_dead" && refusal.starts_with("apns") {
            let call = stage.call_to(&user).await;
            stage.explained(&call, "phone", "no_token").await;
        }
    }
}

#[tokio::test]
async fn a_provider_that_fails_all_the_ring_is_told_from_one_that_is_silent() {
    let stage = Stage::new().await;
    let failing = stage.iphone("bob", "phone").await;
    let silent = stage.iphone("carol", "phone").await;
    rule(&stage, &format!("apns 503 for {}", failing.ring_token));
    rule(&stage, &format!("apns delay 20s for {}", silent.ring_token));
    let mut calls = Vec::new();
    for (caller, callee) in [("alice", "bob"), ("dora", "carol")] {
        let call = stage.http.post("/v1/calls", &bearer(caller), invite_body(callee, 5)).await.expect(201);
        calls.push(call["call"]["id"].clone());
    }
    let trying = stage.explained(&calls[0], "phone", "provider_failing").await;
    assert!(text(&trying["verdict"]).ends_with("; it is still being tried."), "{}", trying["verdict"]);
    assert_eq!(stage.ended("alice", &calls[0]).await, "timed_out");
    let failed = stage.explained(&calls[0], "phone", "provider_failing").await;
    let verdict = text(&failed["verdict"]);
    assert!(verdict.contains("APNs answered 503 ") && verdict.contains(" times from +"), "{verdict}");
    assert!(failed["pushes"][0]["times"].as_u64().is_some_and(|times| times > 2), "{failed:#}");
    assert_eq!(stage.ended("dora", &calls[1]).await, "timed_out");
    stage.explained(&calls[1], "phone", "provider_silent").await;
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_named() {
    let closed = ClosedPort::hold();
    let stage = Stage::configured("", |config| {
        for apns in &mut config.push.apns {
            apns.endpoint = format!("https://{}", closed.address());
        }
    })
    .await;
    stage.iphone("bob", "phone").await;
    let call = stage.call_to("bob").await;
    let said = stage.explained(&call, "phone", "provider_unreachable").await;
    assert!(text(&said["verdict"]).contains("Apple could not be reached"), "{}", said["verdict"]);
    stage.give_up(&call).await;
}

#[tokio::test]
async fn what_is_not_configured_is_named() {
    let stage = Stage::configured("", |config| {
        config.push.apns.retain(|apns| apns.environment == bellwire::domain::Environment::Production);
    })
    .await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = call_with(&stage, &phone, "apns BadDeviceToken").await;
    stage.explained(&call, "iphone-1", "refused_in_one_environment").await;

    let mut other = json!({"platform": "ios", "app": "com.example.other", "voip_token": "0e"});
    stage.http.put("/v1/devices/other", &bearer("carol"), other.clone()).await.expect(200);
    let call = stage.call_to("carol").await;
    let said = stage.explained(&call, "other", "no_provider").await;
    assert!(text(&said["verdict"]).contains("com.example.other and environment production"), "{}", said["verdict"]);

    other = json!({"platform": "android", "app": "com.example.other", "fcm_token": "0e"});
    stage.http.put("/v1/devices/other", &bearer("dora"), other).await.expect(200);
    let call = stage.call_to("dora").await;
    let said = stage.explained(&call, "other", "no_provider").await;
    assert!(text(&said["verdict"]).contains("no [[push.fcm]] section is for the app com.example.other"), "{said:#}");
}

#[tokio::test]
async fn an_old_record_still_tells_why() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "phone").await;
    let call = call_with(&stage, &phone, "apns DeviceTokenNotForTopic").await;
    stage.explained(&call, "phone", "wrong_topic").await;
    // Past its compaction, which takes tokens off it.
    stage.clock.advance(Duration::from_hours(1));
    let said = stage.explained(&call, "phone", "wrong_topic").await;
    assert_eq!(said["pushes"][0]["reason"], "DeviceTokenNotForTopic");
}
