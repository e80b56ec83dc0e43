//! Which pushes Apple's side takes, and how it refuses the others.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{Ask, Client, DEVICE, es256, provider_token, start};
use crate::domain::{Environment, Timestamp};
use crate::simulator::{Provider, Simulator};

#[tokio::test]
async fn a_good_voip_push_is_accepted_and_logged() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let reply = client.get(Ask::voip(&simulator, &clock)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["apns-id"], "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
    assert!(!reply.headers.contains_key("apns-unique-id"), "in the sandbox only");

    let [received] = simulator.log().all().try_into().expect("one request");
    assert_eq!((received.provider, received.number, received.connection), (Provider::Apns, 1, 1));
    assert_eq!((received.status, received.reason.as_deref()), (200, None));
    assert_eq!(received.target.as_deref(), Some(DEVICE));
    assert_eq!(received.header("apns-topic"), Some("com.example.phone.voip"));
    assert_eq!((&*received.body, received.bytes), (&json!({"type": "ring"}), 15));
    assert_eq!((received.kind.as_deref(), received.app.as_deref()), (Some("ring"), Some("com.example.phone")));
}

#[tokio::test]
async fn a_push_without_an_id_is_given_one() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    let mut ask = Ask::voip(&simulator, &clock);
    ask.headers.remove("apns-id");
    let reply = client.get(ask).await;
    assert_eq!((reply.status, reply.headers["apns-id"].len()), (200, 36));
    assert_eq!(reply.headers["apns-unique-id"].len(), 36);
    assert_eq!(simulator.log().all()[0].provider, Provider::ApnsSandbox);
}

/// A mistake, and what Apple calls it.
type Mistake = (u16, &'static str, fn(&mut Ask));

const MISTAKES: &[Mistake] = &[
    (404, "BadPath", |ask| ask.path = "/3/devices/0a".to_owned()),
    (405, "MethodNotAllowed", |ask| ask.method = Method::PUT),
    (400, "MissingDeviceToken", |ask| ask.path = "/3/device/".to_owned()),
    (400, "BadDeviceToken", |ask| ask.path = "/3/device/xyz".to_owned()),
    (400, "BadMessageId", |ask| ask.set("apns-id", "0192F3D1-7C3A-7C3A-8C3A-0192F3D17C3A")),
    (400, "BadMessageId", |ask| ask.set("apns-id", "0192f3d17c3a7c3a8c3a0192f3d17c3a")),
    (400, "BadExpirationDate", |ask| ask.set("apns-expiration", "soon")),
    (400, "BadExpirationDate", |ask| ask.set("apns-expiration", "-1")),
    (400, "BadCollapseId", |ask| ask.set("apns-collapse-id", &"x".repeat(65))),
    (400, "BadPriority", |ask| ask.set("apns-priority", "7")),
    (400, "InvalidPushType", |ask| ask.set("apns-push-type", "call")),
    (400, "InvalidPushType", |ask| drop(ask.headers.remove("apns-push-type"))),
    (400, "MissingTopic", |ask| drop(ask.headers.remove("apns-topic"))),
    (400, "BadTopic", |ask| ask.set("apns-topic", "com example")),
    (400, "DeviceTokenNotForTopic", |ask| ask.set("apns-topic", "com.example.phone")),
    (400, "InvalidPushType", |ask| ask.set("apns-push-type", "alert")),
    (400, "DuplicateHeaders", |ask| {
        ask.headers.append("apns-topic", "com.example.voip".parse().expect("text"));
    }),
    (400, "PayloadEmpty", |ask| ask.body = "".into()),
    (400, "PayloadEmpty", |ask| ask.body = "[1]".into()),
    (413, "PayloadTooLarge", |ask| ask.body = json!({"x": "x".repeat(5113)}).to_string().into()),
    (413, "PayloadTooLarge", |ask| {
        alert(ask);
        ask.body = json!({"aps": {}, "x": "x".repeat(4080)}).to_string().into();
    }),
    (400, "BadPriority", |ask| {
        background(ask);
        ask.set("apns-priority", "10");
    }),
    (400, "BadPriority", |ask| {
        background(ask);
        ask.headers.remove("apns-priority");
    }),
    (400, "InvalidPushType", |ask| {
        background(ask);
        ask.body = json!({"aps": {}}).to_string().into();
    }),
    (400, "InvalidPushType", |ask| {
        background(ask);
        ask.body = json!({"aps": {"content-available": 1, "sound": "ring"}}).to_string().into();
    }),
];

fn alert(ask: &mut Ask) {
    ask.set("apns-push-type", "alert");
    ask.set("apns-topic", "com.example.phone");
    ask.body = json!({"aps": {"alert": "missed"}}).to_string().into();
}

fn background(ask: &mut Ask) {
    ask.set("apns-push-type", "background");
    ask.set("apns-topic", "com.example.phone");
    ask.set("apns-priority", "5");
    ask.body = json!({"aps": {"content-available": 1}}).to_string().into();
}

#[tokio::test]
async fn each_mistake_gets_apples_reason() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    for (index, (status, reason, spoil)) in MISTAKES.iter().enumerate() {
        let mut ask = Ask::voip(&simulator, &clock);
        ask.headers.clone_from(&good.headers);
        spoil(&mut ask);
        let reply = client.get(ask).await;
        assert_eq!((reply.status, reply.body), (*status, json!({ "reason": reason })), "mistake {index}");
        assert_eq!(reply.headers["apns-id"].len(), 36);
        let logged = simulator.log().all().pop().expect("logged");
        assert_eq!((logged.status, logged.reason.as_deref()), (*status, Some(*reason)));
    }
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_accepted() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    let changes: &[fn(&mut Ask)] = &[
        alert,
        background,
        |ask| ask.set("apns-collapse-id", &"x".repeat(64)),
        |ask| ask.body = json!({"x": "x".repeat(5112)}).to_string().into(),
        |ask| {
            alert(ask);
            ask.body = json!({"aps": {}, "x": "x".repeat(4079)}).to_string().into();
        },
        |ask| {
            ask.set("apns-push-type", "liveactivity");
            ask.set("apns-topic", "com.example.phone.push-type.liveactivity");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut ask = Ask::voip(&simulator, &clock);
        ask.headers.clone_from(&good.headers);
        change(&mut ask);
        let reply = client.get(ask).await;
        assert_eq!((reply.status, reply.body), (200, json!(null)), "change {index}");
    }
}

/// What the answer is to a first push with this authorization.
async fn refusal(simulator: &Simulator, ask: Ask) -> String {
    let reply = Client::to_apns(simulator).await.get(ask).await;
    assert_eq!(reply.status, 403);
    reply.body["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test]
async fn provider_tokens_must_be_of_this_key_and_team_and_hour() {
    let (simulator, clock) = start(&[]).await;
    let (credentials, now) = (simulator.credentials(), clock.now().as_secs());
    let (team, kid, key) = (&credentials.apns_team_id, &credentials.apns_key_id, &credentials.apns_key_pem);
    let other_key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    for (reason, token) in [
        ("InvalidProviderToken", "no.jwt".to_owned()),
        (
            "InvalidProviderToken",
            es256(&json!({"alg": "ES256", "kid": kid}), &json!({"iss": team, "iat": now}), &other_key),
        ),
        (
            "InvalidProviderToken",
            es256(&json!({"alg": "ES256", "kid": "OTHERKEY01"}), &json!({"iss": team, "iat": now}), key),
        ),
        ("InvalidProviderToken", es256(&json!({"alg": "ES256"}), &json!({"iss": team, "iat": now}), key)),
        ("InvalidProviderToken", es256(&json!({"alg": "none", "kid": kid}), &json!({"iss": team, "iat": now}), key)),
        (
            "InvalidProviderToken",
            es256(&json!({"alg": "ES256", "kid": kid}), &json!({"iss": "OTHERTEAM1", "iat": now}), key),
        ),
        ("InvalidProviderToken", es256(&json!({"alg": "ES256", "kid": kid}), &json!({"iss": team}), key)),
        ("InvalidProviderToken", provider_token(&simulator, now + 120)),
        ("ExpiredProviderToken", provider_token(&simulator, now - 3602)),
    ] {
        let mut ask = Ask::voip(&simulator, &clock);
        ask.set("authorization", &format!("bearer {token}"));
        assert_eq!(refusal(&simulator, ask).await, reason);
    }
    let mut ask = Ask::voip(&simulator, &clock);
    ask.headers.remove("authorization");
    assert_eq!(refusal(&simulator, ask).await, "MissingProviderToken");
}

#[tokio::test]
async fn a_provider_token_expires_on_its_connection_too() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    let again = Ask { headers: good.headers.clone(), ..Ask::voip(&simulator, &clock) };
    assert_eq!(client.get(good).await.status, 200);
    clock.advance(Duration::from_mins(61));
    assert_eq!(client.get(again).await.body, json!({"reason": "ExpiredProviderToken"}));
    assert_eq!(client.get(Ask::voip(&simulator, &clock)).await.status, 200, "a new one is taken");
}

#[tokio::test]
async fn changing_the_provider_token_too_soon_blocks_the_connection_and_no_other() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let first = Ask::voip(&simulator, &clock);
    let again = Ask { headers: first.headers.clone(), ..Ask::voip(&simulator, &clock) };
    assert_eq!(client.get(first).await.status, 200);
    let too_many = (429, json!({"reason": "TooManyProviderTokenUpdates"}));
    // ECDSA signatures differ each time, so this is another token.
    let reply = client.get(Ask::voip(&simulator, &clock)).await;
    assert_eq!((reply.status, reply.body), too_many);
    let reply = client.get(again).await;
    assert_eq!((reply.status, reply.body), too_many);
    assert_eq!(Client::to_apns(&simulator).await.get(Ask::voip(&simulator, &clock)).await.status, 200);
    clock.advance(Duration::from_mins(20));
    assert_eq!(client.get(Ask::voip(&simulator, &clock)).await.status, 200);
}

#[tokio::test]
async fn an_unregistered_device_is_gone_since_then() {
    let (simulator, clock) = start(&[]).await;
    simulator.unregister(DEVICE, Timestamp::from_millis(1_712_345_678_901));
    let reply = Client::to_apns(&simulator).await.get(Ask::voip(&simulator, &clock)).await;
    assert_eq!(reply.status, 410);
    assert_eq!(reply.body, json!({"reason": "Unregistered", "timestamp": 1_712_345_678_901_u64}));
}

#[tokio::test]
async fn a_token_of_one_host_is_bad_on_the_other() {
    let (simulator, clock) = start(&[]).await;
    simulator.belongs_to(DEVICE, Environment::Sandbox);
    let reply = Client::to_apns(&simulator).await.get(Ask::voip(&simulator, &clock)).await;
    assert_eq!((reply.status, reply.body), (400, json!({"reason": "BadDeviceToken"})));
    let sandbox = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    assert_eq!(sandbox.get(Ask::voip(&simulator, &clock)).await.status, 200);
}
