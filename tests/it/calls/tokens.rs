//! LiveKit tokens: who gets one, when, and what it is good for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Stage, bearer, claims, rfc3339, service_bearer};

async fn token(stage: &Stage, call: &Value, token: &str, body: Value) -> crate::support::Reply {
    stage.http.post(&path(call, "token"), token, body).await
}

fn seconds(claims: &Value, name: &str) -> u64 {
    claims[name].as_u64().expect("seconds")
}

#[tokio::test]
async fn a_token_is_for_one_room_one_user_and_a_short_while() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for (media, sources) in [
        ("audio", json!(["microphone"])),
        ("video", json!(["microphone", "camera", "screen_share", "screen_share_audio"])),
    ] {
        let body = json!({"callee": "bob", "media": media});
        let asked_at = stage.clock.now();
        let answer = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
        let call = answer["call"]["id"].clone();
        let given = claims(&answer["livekit"]["token"]);
        assert_eq!(
            (&given["iss"], &given["sub"], &given["name"]),
            (&json!("devkey"), &json!("alice"), &json!("Alice"))
        );
        let video = &given["video"];
        assert_eq!((&video["roomJoin"], &video["room"]), (&json!(true), &answer["livekit"]["room"]));
        assert_eq!(video["canPublishSources"], sources);
        for admin in ["roomAdmin", "roomCreate", "roomList", "roomRecord", "hidden", "canUpdateOwnMetadata"] {
            assert!([&Value::Null, &json!(false)].contains(&&video[admin]), "{admin}");
        }
        let (nbf, exp) = (seconds(&given, "nbf"), seconds(&given, "exp"));
        assert!(nbf >= asked_at.as_secs() && nbf <= stage.clock.now().as_secs());
        // The ring's 45 s and 60 s to connect.
        let until = rfc3339(&answer["call"]["ring_until"]) + Duration::from_mins(1);
        assert!((until.as_secs()..=until.as_secs() + 1).contains(&exp), "{given}");
        assert_eq!(rfc3339(&answer["livekit"]["expires_at"]).as_secs(), exp);

        let answered = stage.answer(&iphone, &call).await;
        let given = claims(&answered["livekit"]["token"]);
        assert_eq!((&given["sub"], &given["video"]["room"]), (&json!("bob"), &answer["livekit"]["room"]));
        assert_eq!(given["video"]["canPublishSources"], sources);
        assert!(seconds(&given, "exp") <= stage.clock.now().as_secs() + 61, "the ring is over: 60 s to connect");
        stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn no_room_can_be_guessed() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let mut rooms = std::collections::HashSet::new();
    for _ in 0..5 {
        let answer = stage.invite("alice", "bob").await;
        let room = answer["livekit"]["room"].as_str().expect("a room").to_owned();
        let random = room.rsplit('_').next().expect("a random part");
        assert_eq!(random.len(), 32, "128 bits in hex: {room}");
        assert!(rooms.insert(random.to_owned()));
    }
}

#[tokio::test]
async fn the_caller_of_a_live_call_gets_a_fresh_one() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let answer = stage.invite("alice", "bob").await;
    let call = answer["call"]["id"].clone();
    for answered in [false, true] {
        if answered {
            stage.answer(&iphone, &call).await;
        }
        stage.clock.advance(Duration::from_secs(5));
        let fresh = token(&stage, &call, &bearer("alice"), json!({})).await.expect(200);
        assert_eq!(fresh.as_object().map(serde_json::Map::len), Some(1));
        assert_eq!(fresh["livekit"]["room"], answer["livekit"]["room"]);
        let given = claims(&fresh["livekit"]["token"]);
        assert_eq!(given["sub"], "alice");
        assert!(seconds(&given, "nbf") > seconds(&claims(&answer["livekit"]["token"]), "nbf"));
    }
}

#[tokio::test]
async fn of_the_callees_devices_only_the_one_that_answered_gets_one() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let (winner, loser) = (stage.ring(&iphone, &call).await, stage.ring(&pixel, &call).await);
    for ticket in [&winner, &loser] {
        token(&stage, &call, ticket, json!({})).await.expect_problem(403, "not-allowed");
    }
    for body in [json!({}), json!({"device_id": "iphone-1"})] {
        token(&stage, &call, &bearer("bob"), body).await.expect_problem(403, "not-allowed");
    }
    stage.http.post(&path(&call, "answer"), &winner, json!({})).await.expect(200);
    for (who, body) in [(winner.as_str(), json!({})), (&bearer("bob"), json!({"device_id": "iphone-1"}))] {
        let fresh = token(&stage, &call, who, body).await.expect(200);
        assert_eq!(claims(&fresh["livekit"]["token"])["sub"], "bob");
    }
    for (who, body) in [
        (loser.as_str(), json!({})),
        (&bearer("bob"), json!({})),
        (&bearer("bob"), json!({"device_id": "pixel-1"})),
        (&bearer("bob"), json!({"device_id": "unheard-of"})),
    ] {
        token(&stage, &call, who, body).await.expect_problem(409, "answered-elsewhere");
    }
    token(&stage, &call, &bearer("mallory"), json!({})).await.expect_problem(404, "call-not-found");
    token(&stage, &call, service_bearer(), json!({})).await.expect_problem(403, "not-allowed");

    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    for (who, body) in [
        (winner.as_str(), json!({})),
        (&bearer("bob"), json!({"device_id": "iphone-1"})),
        (&bearer("alice"), json!({})),
    ] {
        let refused = token(&stage, &call, who, body).await.expect_problem(409, "call-ended");
        assert_eq!(refused["end_reason"], "completed");
    }
}
