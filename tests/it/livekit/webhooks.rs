//! Webhooks that are LiveKit's, and those that are not; what they may do, and what not.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Call, Scene};
use crate::support::Reply;
use crate::support::livekit::{API_KEY, API_SECRET};
use crate::support::livekit_fake::{participant_event, webhook_token};

/// The event that would change the call if it were believed: Bob goes.
fn leaving(call: &Call, session: &str) -> Value {
    participant_event("EV_1", "participant_left", &call.room, "bob", session, "SIGNAL_CLOSE")
}

/// The record, as the store has it.
async fn record(scene: &Scene, call: &Call) -> bellwire::domain::Call {
    let id = bellwire::domain::CallId::parse(call.id.as_str().expect("an id")).expect("an id");
    let call = scene.stage.gateway.engine.call(id, &bellwire::engine::Asker::Service).await.expect("the call");
    bellwire::domain::Call::clone(&call)
}

/// Waits until nothing is left to do.
async fn quiet(scene: &Scene, call: &Call) -> bellwire::domain::Call {
    let wait = async {
        loop {
            let call = record(scene, call).await;
            if call.tasks.is_empty() {
                return call;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, wait).await.expect("quiet")
}

async fn send(scene: &Scene, key: &str, secret: &str, body: &[u8], change: impl FnOnce(&mut Value)) -> Reply {
    let token = webhook_token(&scene.stage.clock, key, secret, body, change);
    scene.stage.webhook(&token, body).await
}

#[tokio::test]
async fn what_is_not_livekits_changes_nothing() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let before = quiet(&scene, &call).await;
    let body = leaving(&call, &bob).to_string().into_bytes();
    let now = scene.stage.clock.now().as_secs();

    let forged = send(&scene, API_KEY, "another-secret", &body, |_| ()).await;
    forged.expect_problem(401, "token-bad-signature");
    send(&scene, "another-key", API_SECRET, &body, |_| ()).await.expect_problem(401, "token-unknown-issuer");
    let expired = send(&scene, API_KEY, API_SECRET, &body, |claims| claims["exp"] = json!(now - 61)).await;
    expired.expect_problem(401, "token-expired");
    let endless = send(&scene, API_KEY, API_SECRET, &body, |claims| claims["exp"] = Value::Null).await;
    endless.expect_problem(401, "token-expired");
    let early = send(&scene, API_KEY, API_SECRET, &body, |claims| claims["nbf"] = json!(now + 120)).await;
    early.expect_problem(401, "token-expired");
    // A participant's token is signed with the same secret.
    let unhashed = send(&scene, API_KEY, API_SECRET, &body, |claims| claims["sha256"] = Value::Null).await;
    unhashed.expect_problem(401, "token-wrong-claim");
    for hash in ["", "AAAA", "not base64", &data_encoding::BASE64.encode(&[0; 32])] {
        let wrong = send(&scene, API_KEY, API_SECRET, &body, |claims| claims["sha256"] = json!(hash)).await;
        wrong.expect_problem(401, "token-wrong-claim");
    }
    let token = webhook_token(&scene.stage.clock, API_KEY, API_SECRET, &body, |_| ());
    let mut changed = body.clone();
    changed.push(b' ');
    scene.stage.webhook(&token, &changed).await.expect_problem(401, "token-wrong-claim");
    for authorization in ["", "x", "a.b.c", "Basic abc", &format!("Bearer  {}", "a".repeat(10_000))] {
        assert_eq!(scene.stage.webhook(authorization, &body).await.status, 401, "{authorization:.20}");
    }
    // Signed by nobody, whatever its header says.
    let [_, claims, _] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
    assert_eq!(scene.stage.webhook(&format!("{none}.{claims}."), &body).await.status, 401);
    assert_eq!(record(&scene, &call).await, before);
}

#[tokio::test]
async fn of_whoever_is_not_livekit_no_body_is_waited_for() {
    let scene = Scene::new().await;
    let forged = webhook_token(&scene.stage.clock, API_KEY, "another-secret", b"", |_| ());
    let mut stream = TcpStream::connect(scene.stage.gateway.http).await.expect("a connection");
    let head = format!(
        "POST /v1/livekit/webhook HTTP/1.1\r\nhost: x\r\nauthorization: {forged}\r\ncontent-length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    let read = tokio::time::timeout(crate::support::SOON, stream.read_exact(&mut status)).await;
    read.expect("in time").expect("an answer");
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 401");
}

#[tokio::test]
async fn a_clock_that_is_a_minute_off_and_a_scheme_before_the_token_do_no_harm() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let now = scene.stage.clock.now().as_secs();
    let body = leaving(&call, &bob).to_string().into_bytes();
    let token = webhook_token(&scene.stage.clock, API_KEY, API_SECRET, &body, |claims| {
        (claims["nbf"], claims["exp"]) = (json!(now - 360), json!(now - 50));
    });
    assert_eq!(scene.stage.webhook(&format!("Bearer {token}"), &body).await.status, 200);
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
}

#[tokio::test]
async fn a_webhook_that_comes_again_changes_nothing() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let left = leaving(&call, &bob);
    scene.stage.livekit_tells(&left).await;
    let back = scene.stage.comes(&scene.livekit, &call.room, "bob").await;
    let before = quiet(&scene, &call).await;
    for id in ["EV_1", "EV_2", ""] {
        let mut again = left.clone();
        again["id"] = json!(id);
        scene.stage.livekit_tells(&again).await;
        let joined = participant_event(id, "participant_joined", &call.room, "bob", &bob, "");
        scene.stage.livekit_tells(&joined).await;
        let joined = participant_event(&format!("{id}b"), "participant_joined", &call.room, "bob", &back, "");
        scene.stage.livekit_tells(&joined).await;
    }
    assert_eq!(record(&scene, &call).await, before);
}

#[tokio::test]
async fn rooms_of_others_are_none_of_ours() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let before = quiet(&scene, &call).await;
    let id = call.id.as_str().expect("an id");
    let secret = call.room.rsplit_once('_').expect("a secret").1;
    let names = [
        "lobby".to_owned(),
        String::new(),
        format!("bw_main_{id}"),
        format!("bw_main_{id}_{}", "0".repeat(32)),
        format!("bw_other_{id}_{secret}"),
        format!("{}x", call.room),
        call.room.to_uppercase(),
    ];
    for (index, name) in names.iter().enumerate() {
        let id = format!("EV_{index}");
        scene.stage.livekit_tells(&participant_event(&id, "participant_left", name, "bob", &bob, "")).await;
        scene.stage.livekit_tells(&json!({"event": "room_finished", "room": {"name": name}})).await;
    }
    assert_eq!(record(&scene, &call).await, before);
}

#[tokio::test]
async fn what_a_newer_livekit_says_is_no_error() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let before = quiet(&scene, &call).await;
    let room = json!({"name": call.room, "numParticipants": 2, "newField": {"a": [1]}});
    for event in [
        json!({}),
        json!({"event": "room_exploded", "room": room}),
        json!({"event": "participant_joined"}),
        json!({"event": "participant_joined", "room": room}),
        json!({"event": "participant_joined", "room": room, "participant": {}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "bob"}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "bob", "sid": "PA_9", "kind": "HOLOGRAM"}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "bob", "sid": "PA_9", "kind": 77}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "EG_x", "sid": "PA_9", "kind": "EGRESS"}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "bob", "sid": "x".repeat(1000)}}),
        json!({"event": "participant_joined", "room": room, "participant": {"identity": "carol", "sid": "PA_9"}}),
        json!({"event": 7, "id": ["x"], "room": {"name": null}}),
        json!({"event": "track_published", "room": room, "track": {"sid": "TR_1"}, "createdAt": 12}),
        json!({"event": "egress_updated", "egressInfo": {"egressId": "EG_1", "roomName": call.room, "status": 99}}),
        json!({"event": "egress_started"}),
        json!({"event": "ingress_started", "ingressInfo": {}}),
    ] {
        scene.stage.livekit_tells(&event).await;
    }
    assert_eq!(record(&scene, &call).await, before);
    // A word that is new is kept, and no reason to doubt the rest.
    let left = participant_event("EV_n", "participant_left", &call.room, "bob", &bob, "ABDUCTED_BY_ALIENS");
    scene.stage.livekit_tells(&left).await;
    let after = record(&scene, &call).await;
    assert_eq!(after.presence.callee.expect("a visit").reasons, ["ABDUCTED_BY_ALIENS"]);
}

#[tokio::test]
async fn a_large_webhook_is_read_and_a_huge_one_refused() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    let mut large = leaving(&call, &bob);
    large["participant"]["metadata"] = json!("x".repeat(200 * 1024));
    scene.stage.livekit_tells(&large).await;
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
    let huge = vec![b' '; 256 * 1024 + 1];
    send(&scene, API_KEY, API_SECRET, &huge, |_| ()).await.expect_problem(413, "body-too-large");
    send(&scene, API_KEY, API_SECRET, b"[1]", |_| ()).await.expect_problem(400, "bad-json");
    send(&scene, API_KEY, API_SECRET, b"\xff", |_| ()).await.expect_problem(400, "bad-json");
}

#[tokio::test]
async fn a_second_key_signs_webhooks_while_keys_are_changed() {
    let more = "[[livekit.webhook_keys]]\napi_key = \"older\"\napi_secret = \"the-older-secret\"\n\
                [[livekit.webhook_keys]]\napi_key = \"devkey\"\napi_secret = \"a-secret-to-come\"\n";
    let scene = Scene::with(more).await;
    let (call, [_, bob]) = scene.connected().await;
    let body = leaving(&call, &bob).to_string().into_bytes();
    assert_eq!(send(&scene, "older", API_SECRET, &body, |_| ()).await.status, 401, "each key has its own secret");
    assert_eq!(send(&scene, "devkey", "the-older-secret", &body, |_| ()).await.status, 401);
    for (key, secret) in [("older", "the-older-secret"), ("devkey", "a-secret-to-come"), ("devkey", API_SECRET)] {
        assert_eq!(send(&scene, key, secret, &body, |_| ()).await.status, 200);
    }
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
}

#[tokio::test]
async fn webhooks_in_any_order_come_to_the_same() {
    let scene = Scene::new().await;
    let call = scene.answered().await;
    let event =
        |id: &str, kind: &str, who: &str, session: &str| participant_event(id, kind, &call.room, who, session, "");
    // Bob's first session is over before its coming is told.
    scene.stage.livekit_tells(&event("EV_1", "participant_left", "bob", "PA_b1")).await;
    scene.stage.livekit_tells(&event("EV_2", "participant_connection_aborted", "bob", "PA_b0")).await;
    scene.stage.livekit_tells(&event("EV_3", "participant_joined", "bob", "PA_b1")).await;
    scene.stage.livekit_tells(&event("EV_4", "participant_joined", "alice", "PA_a1")).await;
    assert_eq!(record(&scene, &call).await.presence.connected_at, None);
    scene.stage.livekit_tells(&event("EV_5", "participant_joined", "bob", "PA_b2")).await;
    scene.stage.event("alice", "call.connected", &call.id).await;
}

#[tokio::test]
async fn the_state_of_an_empty_room_is_asked_for_at_most_once_at_a_time() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    quiet(&scene, &call).await;
    scene.livekit.break_method("ListParticipants", crate::support::livekit_fake::Fault::Hang);
    for id in 0..20 {
        scene
            .stage
            .livekit_tells(&json!({"event": "room_finished", "id": format!("EV_{id}"), "room": {"name": call.room}}))
            .await;
    }
    scene.livekit.until("asked", |livekit| livekit.times("ListParticipants") == 1).await;
    scene.livekit.heal();
    quiet(&scene, &call).await;
    assert_eq!(scene.livekit.times("ListParticipants"), 1);
}
