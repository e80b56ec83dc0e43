//! A real LiveKit server accepts the tokens that the gateway gives, and only those; and it makes, lists and closes rooms as the gateway asks.
//!
//! It runs where there is one: `BELLWIRE_TEST_LIVEKIT` names it, or `livekit-server` is on the path.

use std::sync::Arc;

use bellwire::domain::Input;
use bellwire::livekit::rooms::Rooms;
use bellwire::livekit::webhook::{News, Webhook, Webhooks};
use bellwire::telemetry::Metrics;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::livekit::{API_KEY, API_SECRET, Capture, LiveKit, section};
use crate::support::people::path;
use crate::support::{SOON, Stage, bearer, claims, service_bearer};

#[tokio::test]
async fn it_accepts_the_tokens_of_both_parties() {
    let Some(livekit) = LiveKit::start("").await else { return };
    let url = livekit.url();
    let stage = Stage::with(&section(&url)).await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for media in ["audio", "video"] {
        let body = json!({"callee": "bob", "media": media});
        let answer = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
        assert_eq!(answer["livekit"]["url"], url);
        livekit.expect_accepted(&answer["livekit"]).await;
        let call = &answer["call"]["id"];
        let answered = stage.answer(&iphone, call).await;
        livekit.expect_accepted(&answered["livekit"]).await;
        let fresh = stage.http.post(&path(call, "token"), &bearer("alice"), json!({})).await.expect(200);
        livekit.expect_accepted(&fresh["livekit"]).await;
        stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn it_refuses_a_token_that_was_changed_or_is_over() {
    let Some(livekit) = LiveKit::start("").await else { return };
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let answer = stage.invite("alice", "bob").await;
    livekit.expect_accepted(&answer["livekit"]).await;
    let token = answer["livekit"]["token"].as_str().expect("a token");
    let (head, signature) = token.rsplit_once('.').expect("a signature");
    let (first, _) = head.split_once('.').expect("a header");
    let mut other_room = claims(&answer["livekit"]["token"]);
    other_room["video"]["room"] = json!("another");
    let other_room = data_encoding::BASE64URL_NOPAD.encode(other_room.to_string().as_bytes());
    let first_of_signature = if signature.starts_with('A') { 'B' } else { 'A' };
    for changed in [
        format!("{head}.{first_of_signature}{}", &signature[1..]),
        format!("{first}.{other_room}.{signature}"),
        format!("{head}."),
    ] {
        assert_eq!(livekit.validate(&changed).await.status, 401);
    }

    // As it will be when its time is over, a minute's skew of clocks included.
    let mut over = claims(&answer["livekit"]["token"]);
    let now = stage.clock.now().as_secs();
    (over["nbf"], over["exp"]) = (json!(now - 300), json!(now - 120));
    let key = EncodingKey::from_secret(API_SECRET.as_bytes());
    let over = jsonwebtoken::encode(&Header::default(), &over, &key).expect("a token");
    assert_eq!(livekit.validate(&over).await.status, 401);
}

/// The room service of a server, by the configuration of a gateway that uses it.
fn rooms(stage: &Stage, livekit: &LiveKit) -> Rooms {
    let config = livekit.config();
    Rooms::new(&config, stage.clock.clone(), Arc::new(Metrics::default())).expect("a client")
}

#[tokio::test]
async fn rooms_are_made_listed_and_closed() {
    let Some(livekit) = LiveKit::start("").await else { return };
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let id = stage.invite("alice", "bob").await["call"]["id"].clone();
    let id = bellwire::domain::CallId::parse(id.as_str().expect("an id")).expect("an id");
    let call = stage.gateway.engine.call(id, &bellwire::engine::Asker::Service).await.expect("the call");
    let rooms = rooms(&stage, &livekit);
    let now = stage.clock.now();

    assert!(rooms.participants(&call.room).await.expect("what there is not has nobody in it").is_empty());
    // Twice, since a task may be carried out twice.
    for _ in 0..2 {
        rooms.create(&call, now).await.expect("made");
    }
    let listed = rooms.list().await.expect("rooms");
    assert_eq!(
        listed.iter().map(|room| (room.name.as_str(), room.participants)).collect::<Vec<_>>(),
        [(call.room.as_str(), 0)]
    );
    assert!(now.since(listed[0].made_at) < 2 * SOON);
    assert!(rooms.participants(&call.room).await.expect("participants").is_empty());
    assert!(rooms.remove(&call.room, "alice").await.expect_err("she is not there").is_not_found());
    rooms.delete(&call.room).await.expect("closed");
    assert!(rooms.delete(&call.room).await.expect_err("it is gone").is_not_found());
    assert!(rooms.remove(&call.room, "alice").await.expect_err("it is gone").is_not_found());
    assert_eq!(rooms.list().await.expect("rooms"), []);
    let problem = rooms.health().problem;
    assert_eq!(problem, None, "what is not there is no failure of LiveKit");
}

#[tokio::test]
async fn a_wrong_secret_is_a_refusal_that_readiness_tells() {
    let Some(livekit) = LiveKit::start("").await else { return };
    let stage = Stage::new().await;
    let mut config = livekit.config();
    config.api_secret = bellwire::config::Secret::new("another-secret");
    let rooms = Rooms::new(&config, stage.clock.clone(), Arc::new(Metrics::default())).expect("a client");
    let error = rooms.list().await.expect_err("refused");
    assert_eq!(error.meaning(), bellwire::livekit::twirp::Meaning::Refused, "{error}");
    let (_, problem) = rooms.health().problem.expect("a problem");
    assert!(problem.contains("401") && !problem.contains("eyJ"), "{problem}");
}

/// Waits until a client could join this room, or could not.
async fn until_joinable(livekit: &LiveKit, token: &str, joinable: bool) {
    let wait = async {
        while (livekit.validate(token).await.status == 200) != joinable {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("joinable: not {joinable}"));
}

#[tokio::test]
async fn without_auto_create_a_call_has_a_room_from_the_invite_to_the_end_and_after_a_new_token() {
    let Some(livekit) = LiveKit::start("room:\n  auto_create: false\n").await else { return };
    let stage = Stage::with(&section(&livekit.url())).await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let invited = stage.invite("alice", "bob").await;
    let token = invited["livekit"]["token"].as_str().expect("a token");
    until_joinable(&livekit, token, true).await;
    let call = &invited["call"]["id"];
    let answered = stage.answer(&iphone, call).await;
    livekit.expect_accepted(&answered["livekit"]).await;

    // A server that has lost the room, as after a restart.
    let room = invited["livekit"]["room"].as_str().expect("a room");
    rooms(&stage, &livekit).delete(room).await.expect("closed");
    until_joinable(&livekit, token, false).await;
    stage.http.post(&path(call, "token"), &bearer("alice"), json!({})).await.expect(200);
    until_joinable(&livekit, token, true).await;

    stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    until_joinable(&livekit, token, false).await;
}

#[tokio::test]
async fn a_ban_closes_the_room_for_tokens_that_are_still_good() {
    let Some(livekit) = LiveKit::start("room:\n  auto_create: false\n").await else { return };
    let stage = Stage::with(&section(&livekit.url())).await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let invited = stage.invite("alice", "bob").await;
    let answered = stage.answer(&iphone, &invited["call"]["id"]).await;
    let token = answered["livekit"]["token"].as_str().expect("a token");
    until_joinable(&livekit, token, true).await;
    stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "test"})).await.expect(200);
    until_joinable(&livekit, token, false).await;
}

#[tokio::test]
async fn its_webhooks_are_believed_and_read() {
    let capture = Capture::start().await;
    let more = format!("webhook:\n  api_key: {API_KEY}\n  urls: ['{}']\n", capture.url());
    let Some(livekit) = LiveKit::start(&more).await else { return };
    let stage = Stage::with(&section(&livekit.url())).await;
    stage.pixel("bob", "pixel-1").await;
    let invited = stage.invite("alice", "bob").await;
    let room = invited["livekit"]["room"].as_str().expect("a room").to_owned();
    let webhooks = Webhooks::new(&livekit.config(), stage.clock.clone()).expect("keys");
    let started = capture.next().await;
    assert_eq!(started.content_type, "application/webhook+json");
    let read = read_webhook(&webhooks, &started.authorization, &started.body);
    assert_eq!(
        (read.event.as_str(), read.news),
        ("room_started", News::Room { room: room.clone(), input: Input::RoomStarted })
    );
    assert!(read.id.starts_with("EV_"), "{}", read.id);
    stage.http.post(&path(&invited["call"]["id"], "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let finished = capture.next().await;
    let read = read_webhook(&webhooks, &finished.authorization, &finished.body);
    assert_eq!(read.news, News::Room { room, input: Input::RoomFinished });
    // The whole way, into the gateway.
    let reply = stage.webhook(&finished.authorization, &finished.body).await;
    assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    let _: Value = reply.json;
}

fn read_webhook(webhooks: &Webhooks, authorization: &str, body: &[u8]) -> Webhook {
    let expected = webhooks.expect(Some(authorization)).expect("LiveKit's token");
    Webhooks::receive(&expected, body).expect("believed")
}
