//! The same `Idempotency-Key` of the same user means the same call.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Http, Reply, Stage, bearer, claims, expect_ended};

async fn invite(stage: &Stage, user: &str, key: &str, body: &Value) -> Reply {
    let request = stage.http.request(Method::POST, "/v1/calls").bearer_auth(bearer(user));
    let request = request.header("idempotency-key", key).header("content-type", "application/json");
    Http::send(request.body(body.to_string())).await
}

fn to_bob() -> Value {
    json!({"callee": "bob", "media": "audio"})
}

#[tokio::test]
async fn the_same_key_gives_the_same_call_and_a_fresh_token() {
    let stage = Stage::new().await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let first = invite(&stage, "alice", "k1", &to_bob()).await.expect(201);
    stage.clock.advance(Duration::from_secs(10));
    let again = invite(&stage, "alice", "k1", &to_bob()).await;
    assert_eq!(again.headers["location"], path(&first["call"]["id"], ""));
    let again = again.expect(201);
    assert_eq!(again["call"]["id"], first["call"]["id"]);
    assert_eq!(again["livekit"]["room"], first["livekit"]["room"]);
    let (old, new) = (claims(&first["livekit"]["token"]), claims(&again["livekit"]["token"]));
    assert!(new["nbf"].as_u64() > old["nbf"].as_u64(), "{new}");
    stage.ring(&pixel, &first["call"]["id"]).await;
    assert_eq!(stage.pushed("ring", &first["call"]["id"]), 1);

    let other = invite(&stage, "alice", "k2", &to_bob()).await.expect(201);
    assert_ne!(other["call"]["id"], first["call"]["id"]);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let first = invite(&stage, "alice", "k1", &to_bob()).await.expect(201);
    for body in [json!({"callee": "bob", "media": "video"}), json!({"callee": "carol", "media": "audio"})] {
        invite(&stage, "alice", "k1", &body).await.expect_problem(422, "idempotency-key-reused");
    }
    assert_eq!(stage.seen_by("alice", &first["call"]["id"]).await["state"], "calling");
}

#[tokio::test]
async fn a_key_is_its_users_own() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    stage.pixel("carol", "pixel-2").await;
    let first = invite(&stage, "alice", "k1", &to_bob()).await.expect(201);
    let other = invite(&stage, "dave", "k1", &json!({"callee": "carol", "media": "audio"})).await.expect(201);
    assert_ne!(other["call"]["id"], first["call"]["id"]);
}

#[tokio::test]
async fn after_the_end_a_replay_tells_of_the_call_and_has_no_token() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let first = invite(&stage, "alice", "k1", &to_bob()).await.expect(201);
    stage.http.post(&path(&first["call"]["id"], "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let replay = invite(&stage, "alice", "k1", &to_bob()).await.expect(201);
    assert_eq!(expect_ended(&replay, "cancelled"), first["call"]["id"]);
    assert_eq!(stage.pushed("ring", &first["call"]["id"]), 1);
    // The replay has not taken the line again.
    assert_eq!(stage.invite("carol", "bob").await["call"]["state"], "calling");
}

#[tokio::test]
async fn twenty_at_once_are_one_call_and_one_ring_per_device() {
    let stage = Stage::new().await;
    let phones = [stage.pixel("bob", "pixel-1").await, stage.iphone("bob", "iphone-1").await];
    for round in 0..5 {
        let key = format!("k{round}");
        let body = to_bob();
        let answers = join_all((0..20).map(|_| invite(&stage, "alice", &key, &body))).await;
        let answers: Vec<Value> = answers.into_iter().map(|reply| reply.expect(201)).collect();
        let call = answers[0]["call"]["id"].clone();
        for answer in &answers {
            assert_eq!(answer["call"]["id"], call);
            assert!(answer["livekit"]["token"].is_string());
        }
        for phone in &phones {
            stage.ring(phone, &call).await;
        }
        assert_eq!(stage.pushed("ring", &call), 2);
        stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
        stage.ended("alice", &call).await;
        let history = stage.http.get("/v1/calls", &bearer("alice")).await.expect(200);
        assert_eq!(history["calls"].as_array().map(Vec::len), Some(round + 1), "one each");
    }
}

#[tokio::test]
async fn a_refused_invite_can_be_retried_under_its_key() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("carol", "pixel-1").await;
    let talking = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &talking).await;
    let body = json!({"callee": "carol", "media": "audio"});
    invite(&stage, "alice", "k1", &body).await.expect_problem(409, "caller-busy");
    stage.http.post(&path(&talking, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    let later = invite(&stage, "alice", "k1", &body).await.expect(201);
    assert_eq!(later["call"]["state"], "calling");
}
