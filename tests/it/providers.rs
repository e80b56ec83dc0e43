//! What providers answer, and what the gateway makes of it: which tokens go, which stay, and what the caller is told.

use std::time::Duration;

use bellwire::domain::Environment;
use bellwire::simulator::{Provider, Received};
use serde_json::{Value, json};

use crate::support::people::{invite_body, path, push_data};
use crate::support::{APP, BUSY, Device, SOON, Stage, bearer, rfc3339};

fn rule(stage: &Stage, text: &str) {
    stage.simulator.add_rule(text.parse().expect(text));
}

/// Calls bob and gives the call as it ended, which it must have done long before its ring was over.
async fn fails_at_once(stage: &Stage) -> Value {
    let invite = stage.invite("alice", "bob").await;
    let call = &invite["call"]["id"];
    let ended = stage.event("alice", "call.ended", call).await;
    let record = stage.call(call).await;
    assert_eq!(record["end_reason"], "unreachable", "{record}");
    let took = rfc3339(&ended["at"]).since(rfc3339(&record["created_at"]));
    assert!(took < 2 * BUSY, "the caller was told after {took:?}");
    record
}

/// Calls bob, whose phone must ring; the push that the provider took.
async fn rings(stage: &Stage, phone: &Device) -> std::sync::Arc<Received> {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let taken = |push: &Received| {
        push.status == 200
            && push.target.as_deref() == Some(&phone.ring_token)
            && push_data(push)["call_id"] == call
            && push_data(push)["type"] == "ring"
    };
    let push = stage.pushes().wait_for(SOON, taken).await;
    let push = push.unwrap_or_else(|| panic!("{} was not rung: {:?}", phone.id, stage.pushes().all()));
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    push
}

#[tokio::test]
async fn an_unregistered_iphone_loses_its_token_and_is_told_of_the_missed_call() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.unregister(&phone.ring_token, stage.clock.now());
    let record = fails_at_once(&stage).await;
    assert_eq!(record["legs"][0]["state"], "failed");
    assert_eq!(record["legs"][0]["reason"], "Unregistered");
    stage.push("missed", &phone.notice_token, &record["id"]).await;

    let record = fails_at_once(&stage).await;
    assert_eq!(stage.pushed("ring", &record["id"]), 0, "a dead token is not tried again");
    stage.push("missed", &phone.notice_token, &record["id"]).await;

    stage.clock.advance(Duration::from_secs(1));
    let fresh = json!({"platform": "ios", "app": APP, "voip_token": "0badc0de", "alert_token": phone.notice_token});
    stage.http.put("/v1/devices/iphone-1", &bearer("bob"), fresh).await.expect(200);
    rings(&stage, &Device { ring_token: "0badc0de".into(), ..phone }).await;
}

#[tokio::test]
async fn a_registration_survives_an_older_proof() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    // Apple has it from before the app was installed again, and is wrong for a while.
    stage.simulator.unregister(&phone.ring_token, stage.clock.now() - Duration::from_hours(1));
    for _ in 0..2 {
        let record = fails_at_once(&stage).await;
        assert_eq!(stage.pushed("ring", &record["id"]), 1, "the token is still there");
    }
}

#[tokio::test]
async fn a_registration_during_the_ring_is_not_what_the_old_token_is_blamed_for() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    rule(&stage, "apns delay 300ms times 1");
    stage.simulator.unregister(&phone.ring_token, stage.clock.now());
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.push("ring", &phone.ring_token, &call).await;
    let fresh = json!({"platform": "ios", "app": APP, "voip_token": "c0ffee", "alert_token": phone.notice_token});
    stage.http.put("/v1/devices/iphone-1", &bearer("bob"), fresh).await.expect(200);
    let ended = stage.event("alice", "call.ended", &call).await;
    assert_eq!(ended["data"]["reason"], "unreachable");
    rings(&stage, &Device { ring_token: "c0ffee".into(), ..phone }).await;
}

#[tokio::test]
async fn an_unregistered_pixel_is_no_device_any_more() {
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    stage.simulator.unregister(&phone.ring_token, stage.clock.now());
    let record = fails_at_once(&stage).await;
    assert_eq!(record["legs"][0]["reason"], "UNREGISTERED");
    let devices = stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    assert_eq!(devices["devices"], json!([]));
    let record = fails_at_once(&stage).await;
    assert_eq!((&record["legs"], record["created_at"] == record["ended_at"]), (&json!([]), true));
}

#[tokio::test]
async fn a_token_of_the_other_environment_rings_there_and_stays_there() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.belongs_to(&phone.ring_token, Environment::Sandbox);
    stage.simulator.belongs_to(&phone.notice_token, Environment::Sandbox);
    let first = rings(&stage, &phone).await;
    assert_eq!(first.provider, Provider::ApnsSandbox);
    let before = first.number;
    let second = rings(&stage, &phone).await;
    assert_eq!(second.provider, Provider::ApnsSandbox);
    let misdirected = |push: &&std::sync::Arc<Received>| {
        push.number > before && push.provider == Provider::Apns && push_data(push)["type"] == "ring"
    };
    assert_eq!(
        stage.pushes().all().iter().find(misdirected).map(|push| push.number),
        None,
        "production is not asked again"
    );
}

#[tokio::test]
async fn a_token_that_both_hosts_call_bad_is_dropped() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    rule(&stage, "apns BadDeviceToken");
    fails_at_once(&stage).await;
    stage.simulator.clear_rules();
    let record = fails_at_once(&stage).await;
    assert_eq!(stage.pushed("ring", &record["id"]), 0);
}

#[tokio::test]
async fn a_refused_credential_and_every_other_fault_of_ours_costs_no_token() {
    let stage = Stage::new().await;
    let ours = [
        ["apns InvalidProviderToken", "fcm 401"],
        ["apns ExpiredProviderToken", "fcm SENDER_ID_MISMATCH"],
        ["apns TopicDisallowed", "fcm 403"],
        ["apns BadPath", "fcm THIRD_PARTY_AUTH_ERROR"],
        ["apns PayloadTooLarge", "fcm 403"],
    ];
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    for rules in ours {
        for text in rules {
            rule(&stage, text);
        }
        let record = fails_at_once(&stage).await;
        assert_eq!(record["legs"].as_array().map(Vec::len), Some(2), "{rules:?}");
        stage.simulator.clear_rules();
        rings(&stage, &iphone).await;
        rings(&stage, &pixel).await;
    }
}

#[tokio::test]
async fn no_failure_of_a_provider_costs_a_token() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    for fault in ["500", "502", "503", "504", "429 retry-after 1s", "reset", "goaway", "refuse"] {
        for provider in ["apns", "fcm"] {
            rule(&stage, &format!("{provider} {fault} times 2"));
        }
        rings(&stage, &iphone).await;
        rings(&stage, &pixel).await;
        stage.simulator.clear_rules();
    }
    let devices = stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn the_caller_is_told_as_soon_as_the_last_device_has_failed_for_good() {
    let stage = Stage::new().await;
    let first = stage.pixel("bob", "pixel-1").await;
    let second = stage.iphone("bob", "iphone-1").await;
    stage.simulator.unregister(&first.ring_token, stage.clock.now());
    // Not before: one phone may still ring.
    rule(&stage, &format!("apns 503 times 2 for {}", second.ring_token));
    rule(&stage, &format!("apns 410 for {}", second.ring_token));
    let record = fails_at_once(&stage).await;
    let took = rfc3339(&record["ended_at"]).since(rfc3339(&record["created_at"]));
    assert_eq!(stage.pushed("ring", &record["id"]), 4, "the iPhone was tried until Apple refused for good");
    println!("told after {took:?}");
    assert!(record["legs"].as_array().expect("legs").iter().all(|leg| leg["state"] == "failed"), "{record}");
}

#[tokio::test]
async fn a_retry_after_that_outlasts_the_ring_is_a_failure_and_keeps_the_token() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    rule(&stage, "apns 429 retry-after 120s times 1");
    rule(&stage, "fcm 429 retry-after 120s times 1");
    let record = fails_at_once(&stage).await;
    assert_eq!(stage.pushed("ring", &record["id"]), 2, "neither is asked again before its time");
    rings(&stage, &iphone).await;
    rings(&stage, &pixel).await;
}

#[tokio::test]
async fn a_phone_that_logs_out_while_its_ring_is_tried_is_not_registered_again_by_it() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.belongs_to(&phone.ring_token, Environment::Sandbox);
    rule(&stage, "apns-sandbox 503 times 1");
    let call = stage.http.post("/v1/calls", &bearer("alice"), invite_body("bob", 20)).await.expect(201);
    let call = &call["call"]["id"];
    stage.push("ring", &phone.ring_token, call).await;
    let gone = stage.http.delete("/v1/devices/iphone-1", &bearer("bob")).await;
    assert_eq!(gone.status, 204);
    let taken = |push: &Received| push.status == 200 && push.target.as_deref() == Some(&phone.ring_token);
    stage.pushes().wait_for(SOON, taken).await.expect("a ring that was under way");
    stage.http.post(&path(call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let devices = stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    assert_eq!(devices["devices"], json!([]));
    assert_eq!(stage.invite("alice", "bob").await["call"]["end_reason"], "unreachable");
}
