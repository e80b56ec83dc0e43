//! Which assertions the token endpoint takes and which messages FCM takes, and how they refuse the others.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Ask, Client, Reply, access_token, assertion, claims, start};
use crate::simulator::Provider;

/// Makes a mistake in a good request.
type Spoil = fn(&mut Ask);

fn ring() -> Value {
    json!({
        "token": "fcm-token:1",
        "data": {"type": "ring", "call_id": "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a"},
        "android": {"priority": "HIGH", "ttl": "45s", "collapse_key": "call", "direct_boot_ok": true},
    })
}

#[tokio::test]
async fn a_good_assertion_gets_a_token_that_lets_a_good_message_in() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let reply = client.get(Ask::oauth(&assertion(&simulator, &claims(&simulator, &clock)))).await;
    assert_eq!((reply.status, &reply.body["token_type"]), (200, &json!("Bearer")));
    assert_eq!(reply.body["expires_in"], 3599);
    let token = reply.body["access_token"].as_str().expect("a token");

    let reply = client.get(Ask::fcm(&simulator, token, &ring())).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let project = &simulator.credentials().fcm_project_id;
    assert!(reply.body["name"].as_str().expect("a name").starts_with(&format!("projects/{project}/messages/0:")));

    let [oauth, fcm] = simulator.log().all().try_into().expect("two requests");
    assert_eq!((oauth.provider, &oauth.body["assertion"]), (Provider::OAuth, &json!("…")));
    assert_eq!(oauth.body["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!((fcm.provider, fcm.target.as_deref()), (Provider::Fcm, Some("fcm-token:1")));
    assert_eq!(fcm.body["message"], ring());
}

#[tokio::test]
async fn an_access_token_ends() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    clock.advance(Duration::from_secs(3599));
    let reply = client.get(Ask::fcm(&simulator, &token, &ring())).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
}

#[tokio::test]
async fn each_bad_assertion_is_refused() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let good = claims(&simulator, &clock);
    let now = clock.now().as_secs();
    for (error, said, claim, value) in [
        ("invalid_grant", "issuer", "iss", json!("somebody@example.com")),
        ("invalid_grant", "audience", "aud", json!("https://oauth2.googleapis.com/token")),
        ("invalid_scope", "scope", "scope", json!("https://www.googleapis.com/auth/drive")),
        ("invalid_grant", "future", "iat", json!(now + 120)),
        ("invalid_grant", "expired", "exp", json!(now - 1)),
        ("invalid_grant", "an hour", "exp", json!(now + 3601)),
        ("invalid_grant", "all claims", "exp", json!("soon")),
    ] {
        let mut bad = good.clone();
        bad[claim] = value;
        let reply = client.get(Ask::oauth(&assertion(&simulator, &bad))).await;
        refused(&reply, error, said);
    }
    let (signed, _) =
        assertion(&simulator, &good).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.len())).expect("a JWT");
    let forged = format!("{signed}.{}", data_encoding::BASE64URL_NOPAD.encode(&[1; 256]));
    refused(&client.get(Ask::oauth(&forged)).await, "invalid_grant", "signature");
}

#[tokio::test]
async fn each_bad_token_request_is_refused() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let assertion = assertion(&simulator, &claims(&simulator, &clock));
    let spoils: [(&str, Spoil); 4] = [
        ("invalid_request", |ask| ask.method = Method::PUT),
        ("invalid_request", |ask| ask.set("content-type", "application/json")),
        ("unsupported_grant_type", |ask| ask.body = "grant_type=password".into()),
        ("invalid_request", |ask| ask.body = ask.body.slice(..ask.body.iter().position(|b| *b == b'&').expect("two"))),
    ];
    for (error, spoil) in spoils {
        let mut ask = Ask::oauth(&assertion);
        spoil(&mut ask);
        refused(&client.get(ask).await, error, "");
    }
}

fn refused(reply: &Reply, error: &str, said: &str) {
    assert_eq!((reply.status, &reply.body["error"]), (400, &json!(error)));
    assert!(reply.body["error_description"].as_str().expect("a text").contains(said), "{}", reply.body);
}

#[tokio::test]
async fn each_bad_caller_is_refused() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    let spoils: [(u16, &str, Spoil); 7] = [
        (401, "UNAUTHENTICATED", |ask| drop(ask.headers.remove("authorization"))),
        (401, "UNAUTHENTICATED", |ask| ask.set("authorization", "Bearer nobody")),
        (403, "PERMISSION_DENIED", |ask| ask.path = "/v1/projects/other/messages:send".to_owned()),
        (404, "NOT_FOUND", |ask| ask.path = "/v1/messages".to_owned()),
        (404, "NOT_FOUND", |ask| ask.method = Method::PUT),
        (400, "INVALID_ARGUMENT", |ask| ask.set("content-type", "text/plain")),
        (400, "INVALID_ARGUMENT", |ask| ask.body = "{".into()),
    ];
    for (status, said, spoil) in spoils {
        let mut ask = Ask::fcm(&simulator, &token, &ring());
        spoil(&mut ask);
        let reply = client.get(ask).await;
        assert_eq!((reply.status, &reply.body["error"]["status"]), (status, &json!(said)));
        assert_eq!(reply.body["error"]["code"], status);
    }
}

/// Where in the message, what is put there, the field said to be at fault, and whether FCM itself says it.
type Mistake = (&'static str, Value, &'static str, bool);

fn mistakes() -> Vec<Mistake> {
    vec![
        ("/data/type", json!(12), "message.data[1].value", false),
        ("/data/type", json!(null), "message.data[1].value", false),
        ("/data", json!("x"), "message.data", false),
        ("/android/priority", json!("URGENT"), "message.android.priority", false),
        ("/android/ttl", json!(30), "message.android.ttl", false),
        ("/android/ttl", json!("30"), "message.android.ttl", false),
        ("/android", json!({"prioritee": "HIGH"}), "message.android", false),
        ("/android/notification", json!({"title": 1}), "message.android.notification.title", false),
        ("/topic", json!("news"), "message", false),
        ("/token", json!(null), "message", true),
        ("/android/ttl", json!("2419201s"), "message.android.ttl", true),
        ("/android/ttl", json!("-1s"), "message.android.ttl", true),
        ("/data", json!({"from": "x"}), "message.data[0].key", true),
        ("/data", json!({"a": "x", "gcm.notification.x": "x"}), "message.data[1].key", true),
        ("/data", json!({"google.x": "x"}), "message.data[0].key", true),
        ("/data", json!({"message_type": "x"}), "message.data[0].key", true),
        ("/data", json!({"x": "x".repeat(4096)}), "message.data", true),
        ("/android/data", json!({"x": "x".repeat(4096)}), "message.android.data", true),
    ]
}

#[tokio::test]
async fn each_bad_field_is_named() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    for (pointer, value, field, is_fcms) in mistakes() {
        let mut message = ring();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        message.pointer_mut(parent).expect("a parent")[name] = value;
        let reply = client.get(Ask::fcm(&simulator, &token, &message)).await;
        let error = &reply.body["error"];
        assert_eq!((reply.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{pointer}");
        let details = error["details"].as_array().expect("details");
        let fields = details.iter().find_map(|detail| detail.get("fieldViolations")).expect("fields");
        assert_eq!(fields[0]["field"], field, "{pointer}: {error}");
        let code = details.iter().find_map(|detail| detail.get("errorCode"));
        assert_eq!(code, is_fcms.then_some(&json!("INVALID_ARGUMENT")), "{pointer}");
    }
}

#[tokio::test]
async fn a_number_in_the_data_is_answered_in_googles_words() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    let message = json!({"token": "t", "data": {"a": 12}});
    let reply = client.get(Ask::fcm(&simulator, &token, &message)).await;
    assert_eq!(reply.body["error"]["message"], "Invalid value at 'message.data[0].value' (TYPE_STRING), 12");
}

#[tokio::test]
async fn other_good_messages_are_accepted() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    for message in [
        json!({"fid": "d8f7a6b5c4d3e2f1a0b9c8"}),
        json!({"topic": "news"}),
        json!({"token": "t", "android": {"directBootOk": true, "ttl": "3.5s", "priority": "high"}}),
        json!({"token": "t", "android": null, "data": {"x": "x".repeat(4095)}}),
    ] {
        let reply = client.get(Ask::fcm(&simulator, &token, &message)).await;
        assert_eq!(reply.status, 200, "{message}: {}", reply.body);
    }
}

#[tokio::test]
async fn bad_and_unregistered_tokens_have_their_codes() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    simulator.unregister("gone", clock.now());
    let not_valid = "The registration token is not a valid FCM registration token";
    for (device, status, code, said) in [
        ("with space", 400, "INVALID_ARGUMENT", not_valid),
        ("", 400, "INVALID_ARGUMENT", not_valid),
        ("gone", 404, "UNREGISTERED", "registered"),
    ] {
        let reply = client.get(Ask::fcm(&simulator, &token, &json!({ "token": device }))).await;
        assert_eq!(reply.status, status);
        let details = json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]);
        assert_eq!(reply.body["error"]["details"], details);
        assert!(reply.body["error"]["message"].as_str().expect("a text").contains(said));
    }
}
