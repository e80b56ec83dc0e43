//! Devices through the API: register, refresh, list, remove, and whose a push token is.

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{APP, Stage, bearer, expect_ended, rfc3339, service_bearer, user_token};

fn full(voip: &str, alert: &str) -> Value {
    json!({"platform": "ios", "app": APP, "environment": "production", "voip_token": voip, "alert_token": alert,
        "name": "Bob's iPhone", "locale": "tr-TR", "app_version": "3.1.0"})
}

async fn ids(stage: &Stage, user: &str) -> Vec<String> {
    let answer = stage.http.get("/v1/devices", &bearer(user)).await.expect(200);
    let devices = answer["devices"].as_array().expect("devices");
    devices.iter().map(|device| device["device_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_device_is_registered_and_shown_without_its_tokens() {
    let stage = Stage::new().await;
    let reply = stage.http.put("/v1/devices/iphone-1", &bearer("bob"), full("abcd1234", "dcba4321")).await;
    assert!(!reply.text.contains("abcd1234") && !reply.text.contains("dcba4321"), "{}", reply.text);
    let shown = reply.expect(200);
    rfc3339(&shown["registered_at"]);
    for (field, value) in [
        ("device_id", "iphone-1"),
        ("platform", "ios"),
        ("app", APP),
        ("environment", "production"),
        ("name", "Bob's iPhone"),
        ("locale", "tr-TR"),
        ("app_version", "3.1.0"),
    ] {
        assert_eq!(shown[field], value);
    }
    let list = stage.http.get("/v1/devices", &bearer("bob")).await;
    assert!(!list.text.contains("abcd1234") && !list.text.contains("dcba4321"), "{}", list.text);
    assert_eq!(list.expect(200), json!({"devices": [shown]}));
    assert_eq!(ids(&stage, "alice").await, [""; 0]);
}

#[tokio::test]
async fn a_refresh_replaces_the_whole_registration() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let body = json!({"platform": "ios", "app": APP, "environment": "sandbox", "voip_token": "feed"});
    let shown = stage.http.put("/v1/devices/iphone-1", &bearer("bob"), body).await.expect(200);
    assert_eq!((&shown["environment"], shown.get("name")), (&json!("sandbox"), None));
    assert_eq!(ids(&stage, "bob").await, ["iphone-1"]);

    let answer = stage.invite("alice", "bob").await;
    stage.push("ring", "feed", &answer["call"]["id"]).await;
    assert!(stage.pushes().all().iter().all(|push| push.target.as_deref() != Some(&iphone.ring_token)));
}

#[tokio::test]
async fn a_removed_device_is_gone_and_does_not_ring() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    let gone = stage.http.delete("/v1/devices/iphone-1", &bearer("bob")).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    stage.http.delete("/v1/devices/iphone-1", &bearer("bob")).await.expect_problem(404, "device-not-found");
    assert_eq!(ids(&stage, "bob").await, [""; 0]);
    expect_ended(&stage.invite("alice", "bob").await, "unreachable");
}

#[tokio::test]
async fn a_phone_that_changed_hands_rings_for_its_new_owner_only() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let body = json!({"platform": "ios", "app": APP, "voip_token": phone.ring_token});
    stage.http.put("/v1/devices/mine", &bearer("carol"), body).await.expect(200);
    assert_eq!(ids(&stage, "bob").await, [""; 0], "the old registration went whole, its alert token too");

    expect_ended(&stage.invite("alice", "bob").await, "unreachable");
    let answer = stage.invite("alice", "carol").await;
    stage.push("ring", &phone.ring_token, &answer["call"]["id"]).await;
    assert!(stage.pushes().all().iter().all(|push| push.target.as_deref() != Some(&phone.notice_token)));
}

#[tokio::test]
async fn a_token_moves_between_two_devices_of_one_user() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let body = json!({"platform": "android", "app": APP, "fcm_token": pixel.ring_token});
    stage.http.put("/v1/devices/pixel-again", &bearer("bob"), body).await.expect(200);
    assert_eq!(ids(&stage, "bob").await, ["pixel-again"]);

    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.push("ring", &pixel.ring_token, &call).await;
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    stage.push("missed", &pixel.ring_token, &call).await;
    assert_eq!(stage.pushed("ring", &call), 1);
}

#[tokio::test]
async fn the_eleventh_device_takes_the_place_of_the_one_unseen_longest() {
    let stage = Stage::new().await;
    for number in 0..10 {
        stage.pixel("bob", &format!("pixel-{number}")).await;
        stage.clock.advance(std::time::Duration::from_secs(1));
    }
    stage.pixel("bob", "pixel-0").await; // seen again, so it is not the one
    stage.clock.advance(std::time::Duration::from_secs(1));
    stage.pixel("bob", "pixel-new").await;
    let left = ids(&stage, "bob").await;
    assert_eq!(left.len(), 10);
    assert!(!left.contains(&"pixel-1".to_owned()), "{left:?}");
    assert!(left.contains(&"pixel-0".to_owned()) && left.contains(&"pixel-new".to_owned()), "{left:?}");
}

#[tokio::test]
async fn an_issuers_users_register_its_apps_only() {
    let secret = "the-secret-of-the-other-identity-provider";
    let users = format!(
        "[[auth.users]]\nissuer = \"other\"\nalgorithm = \"HS256\"\nsecret = \"{secret}\"\n\
         apps = [\"com.example.other\"]"
    );
    let stage = Stage::with(&users).await;
    let claims = json!({"iss": "other", "sub": "bob", "exp": 4_000_000_000_u64});
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
    let body = |app: &str| json!({"platform": "android", "app": app, "fcm_token": "t"});
    let refused = stage.http.put("/v1/devices/pixel", &token, body(APP)).await.expect_problem(400, "invalid-field");
    assert_eq!(refused["errors"][0]["pointer"], "/app");
    stage.http.put("/v1/devices/pixel", &token, body("com.example.other")).await.expect(200);
    assert_eq!(ids(&stage, "bob").await, ["pixel"]);
}

#[tokio::test]
async fn a_bad_registration_is_refused_with_a_pointer_to_the_field() {
    let stage = Stage::new().await;
    let good = full("abcd", "dcba");
    for (field, value) in [
        ("platform", json!("symbian")),
        ("platform", json!(null)),
        ("app", json!("com/example")),
        ("app", json!(7)),
        ("environment", json!("staging")),
        ("voip_token", json!("not hex")),
        ("voip_token", json!("xyz")),
        ("voip_token", json!(null)),
        ("alert_token", json!("")),
        ("fcm_token", json!("a-token-of-android")),
        ("fcm_fid", json!("an-installation")),
        ("ios_push_mode", json!("loud")),
        ("name", json!("")),
        ("name", json!("a\u{7}b")),
        ("name", json!("x".repeat(129))),
        ("locale", json!("x".repeat(36))),
        ("app_version", json!("")),
        ("colour", json!("red")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let refused = stage.http.put("/v1/devices/iphone-1", &bearer("bob"), body).await;
        let problem = refused.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{field} {value}: {problem}");
    }
    for bad in ["a%20b", "a%2Fb", &"x".repeat(65)] {
        let refused = stage.http.put(&format!("/v1/devices/{bad}"), &bearer("bob"), good.clone()).await;
        refused.expect_problem(400, "invalid-path");
    }
    assert_eq!(ids(&stage, "bob").await, [""; 0]);
}

#[tokio::test]
async fn devices_are_their_users_own() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    stage.http.delete("/v1/devices/iphone-1", &bearer("mallory")).await.expect_problem(404, "device-not-found");
    stage.http.get("/v1/devices", service_bearer()).await.expect_problem(403, "users-only");
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    stage.http.get("/v1/devices", &ticket).await.expect_problem(403, "users-only");
    stage.http.delete("/v1/devices/iphone-1", &ticket).await.expect_problem(403, "users-only");
    stage.http.put("/v1/devices/iphone-1", &ticket, full("abcd", "dcba")).await.expect_problem(403, "users-only");
    let expired = user_token(&json!({"iss": "tests", "aud": "bellwire", "sub": "bob", "exp": 1}));
    stage.http.get("/v1/devices", &expired).await.expect_problem(401, "token-expired");
    assert_eq!(ids(&stage, "bob").await, ["iphone-1"]);
}
