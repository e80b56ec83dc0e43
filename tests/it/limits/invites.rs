//! Invites: by one user, of one to another, and to one user.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::expect_limited;
use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Fleet, Http, Reply, Stage, bearer, service_bearer};

async fn invite<G>(stage: &Stage<G>, caller: &str, callee: &str) -> Reply {
    stage.http.post("/v1/calls", &bearer(caller), json!({"callee": callee, "media": "audio"})).await
}

async fn invite_with(stage: &Stage, caller: &str, callee: &str, key: &str) -> Reply {
    let request = stage.http.request(Method::POST, "/v1/calls").bearer_auth(bearer(caller));
    let request = request.header("idempotency-key", key).header("content-type", "application/json");
    Http::send(request.body(json!({"callee": callee, "media": "audio"}).to_string())).await
}

/// The backend calls in the name of a user.
async fn invite_for(stage: &Stage, caller: &str, callee: &str) -> Reply {
    let body = json!({"caller": {"id": caller}, "callee": callee, "media": "audio"});
    stage.http.post("/v1/calls", service_bearer(), body).await
}

fn seconds(wait: u64) -> Duration {
    Duration::from_secs(wait)
}

#[tokio::test]
async fn a_user_hears_when_they_may_call_again_and_their_call_goes_on() {
    let stage = Stage::with("[limits]\ninvites_per_user = \"3/min\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    for callee in ["carol", "dave"] {
        invite(&stage, "alice", callee).await.expect(201);
    }
    let call = invite(&stage, "alice", "bob").await.expect(201)["call"]["id"].take();
    let wait = expect_limited(invite(&stage, "alice", "bob").await, "invites_per_user", "q=3;w=60");
    assert!((1..=20).contains(&wait), "{wait}");
    // It cancelled no call, as a second call of theirs to the same person would.
    stage.ring(&pixel, &call).await;
    assert_eq!(stage.seen_by("alice", &call).await["state"], "ringing");
    invite(&stage, "erin", "frank").await.expect(201);

    stage.clock.advance(seconds(wait));
    invite(&stage, "alice", "bob").await.expect(201);
    expect_limited(invite(&stage, "alice", "bob").await, "invites_per_user", "q=3;w=60");
    stage.clock.advance(seconds(3600));
    for _ in 0..3 {
        invite(&stage, "alice", "bob").await.expect(201);
    }
    expect_limited(invite(&stage, "alice", "bob").await, "invites_per_user", "q=3;w=60");
}

#[tokio::test]
async fn a_pair_has_a_rate_of_its_own_in_each_direction() {
    let stage = Stage::with("[limits]\ninvites_per_pair = \"2/h\"").await;
    for _ in 0..2 {
        invite(&stage, "alice", "bob").await.expect(201);
    }
    let wait = expect_limited(invite(&stage, "alice", "bob").await, "invites_per_pair", "q=2;w=3600");
    assert!(wait > 1700 && wait <= 1800, "{wait}");
    invite(&stage, "alice", "carol").await.expect(201);
    invite(&stage, "bob", "alice").await.expect(201);
}

#[tokio::test]
async fn a_thousand_accounts_cannot_keep_a_phone_ringing() {
    let stage = Stage::with("[limits]\ninvites_per_callee = \"2/min\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    stage.pixel("dave", "pixel-2").await;
    let call = invite(&stage, "alice", "bob").await.expect(201)["call"]["id"].take();
    stage.ring(&pixel, &call).await;
    invite(&stage, "carol", "bob").await.expect(201);
    let wait = expect_limited(invite(&stage, "erin", "bob").await, "invites_per_callee", "q=2;w=60");
    // Whoever was refused is on no line and has no call.
    assert_eq!(stage.http.get("/v1/calls", &bearer("erin")).await.expect(200)["calls"], json!([]));
    assert_eq!(invite(&stage, "erin", "dave").await.expect(201)["call"]["state"], "calling");
    assert_eq!(
        stage.http.get("/v1/calls", &bearer("bob")).await.expect(200)["calls"].as_array().map(Vec::len),
        Some(2)
    );

    stage.clock.advance(seconds(wait));
    invite(&stage, "frank", "bob").await.expect(201);
}

#[tokio::test]
async fn who_was_refused_for_the_callee_is_not_busy() {
    let stage = Stage::with("[limits]\ninvites_per_callee = \"1/min\"").await;
    for user in ["bob", "erin"] {
        stage.pixel(user, &format!("pixel-{user}")).await;
    }
    invite(&stage, "alice", "bob").await.expect(201);
    let wait = expect_limited(invite_with(&stage, "erin", "bob", "k").await, "invites_per_callee", "q=1;w=60");
    assert_eq!(invite(&stage, "carol", "erin").await.expect(201)["call"]["state"], "calling");
    // The same key may be tried again, and means one call then.
    stage.clock.advance(seconds(wait));
    let call = invite_with(&stage, "erin", "bob", "k").await.expect(201);
    assert_eq!(invite_with(&stage, "erin", "bob", "k").await.expect(201)["call"]["id"], call["call"]["id"]);
}

#[tokio::test]
async fn what_was_refused_is_charged_again_when_it_is_tried_again() {
    let stage = Stage::with("[limits]\ninvites_per_user = \"3/h\"\ninvites_per_callee = \"1/h\"").await;
    stage.pixel("bob", "pixel-bob").await;
    invite(&stage, "alice", "bob").await.expect(201);
    for _ in 0..3 {
        expect_limited(invite_with(&stage, "erin", "bob", "k").await, "invites_per_callee", "q=1;w=3600");
    }
    expect_limited(invite_with(&stage, "erin", "bob", "k").await, "invites_per_user", "q=3;w=3600");
}

#[tokio::test]
async fn a_replay_is_free() {
    let every = "[limits]\ninvites_per_user = \"1/h\"\ninvites_per_pair = \"1/h\"\ninvites_per_callee = \"1/h\"";
    let stage = Stage::with(every).await;
    stage.pixel("bob", "pixel-1").await;
    let first = invite_with(&stage, "alice", "bob", "k").await.expect(201);
    for _ in 0..5 {
        let again = invite_with(&stage, "alice", "bob", "k").await.expect(201);
        assert_eq!(again["call"]["id"], first["call"]["id"]);
    }
    assert_eq!(invite_with(&stage, "alice", "bob", "other").await.status, 429);
    // What was refused has reserved no key.
    stage.clock.advance(seconds(3600));
    invite_with(&stage, "alice", "bob", "other").await.expect(201);
}

#[tokio::test]
async fn replays_at_once_are_free_too() {
    let every = "[limits]\ninvites_per_user = \"1/h\"\ninvites_per_pair = \"1/h\"\ninvites_per_callee = \"1/h\"";
    let stage = Stage::with(every).await;
    stage.pixel("bob", "pixel-1").await;
    let answers = join_all((0..10).map(|_| invite_with(&stage, "alice", "bob", "k"))).await;
    let calls: HashSet<String> =
        answers.into_iter().map(|answer| answer.expect(201)["call"]["id"].to_string()).collect();
    assert_eq!(calls.len(), 1);
}

#[tokio::test]
async fn a_blocked_caller_uses_nothing_up_and_cannot_tell() {
    let stage = Stage::with("[limits]\ninvites_per_callee = \"2/min\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    stage.http.put("/v1/blocks/mallory", &bearer("bob"), json!({})).await.expect(204);
    for _ in 0..5 {
        assert_eq!(invite(&stage, "mallory", "bob").await.expect(201)["call"]["state"], "calling");
    }
    let call = invite(&stage, "alice", "bob").await.expect(201)["call"]["id"].take();
    stage.ring(&pixel, &call).await;
    invite(&stage, "carol", "bob").await.expect(201);

    let told = |reply: Reply| {
        let header = |name: &str| reply.headers[name].to_str().expect("a text").to_owned();
        let mut body = reply.json.clone();
        body["detail"] = Value::Null;
        assert!(reply.json["detail"].as_str().is_some_and(|detail| detail.contains("invites_per_callee")));
        (reply.status, header("ratelimit-policy"), body)
    };
    let (others, blocked) = (invite(&stage, "erin", "bob").await, invite(&stage, "mallory", "bob").await);
    assert_eq!(others.status, 429);
    assert_eq!(told(others), told(blocked));
}

#[tokio::test]
async fn what_answers_declines_and_ends_calls_is_never_limited() {
    let every = "[limits]\ninvites_per_user = \"1/h\"\ninvites_per_pair = \"1/h\"\ninvites_per_callee = \"1/h\"\n\
                 tokens_per_user = \"1/h\"\nregistrations_per_user = \"1/h\"";
    let stage = Stage::with(every).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let call = invite(&stage, "alice", "bob").await.expect(201)["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    for other in ["alice", "carol", "dave"] {
        assert_eq!(invite(&stage, other, "bob").await.status, 429);
    }
    for verb in ["alerting", "alerting", "answer", "answer", "answer"] {
        stage.http.post(&path(&call, verb), &ticket, json!({})).await.expect(200);
    }
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);

    let stage = Stage::with(every).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let call = invite(&stage, "alice", "bob").await.expect(201)["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    assert_eq!(invite(&stage, "carol", "bob").await.status, 429);
    stage.http.post(&path(&call, "decline"), &ticket, json!({})).await.expect(200);
    for _ in 0..3 {
        stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn the_backend_calls_for_users_as_often_as_it_likes_but_not_one_of_them() {
    let limits = "[limits]\ninvites_per_user = \"1/h\"\ninvites_per_pair = \"1/h\"\ninvites_per_callee = \"3/min\"";
    let stage = Stage::with(limits).await;
    for callee in ["bob", "bob", "carol", "dave", "bob"] {
        invite_for(&stage, "desk", callee).await.expect(201);
    }
    expect_limited(invite_for(&stage, "desk", "bob").await, "invites_per_callee", "q=3;w=60");
    // And what it calls is not the user's.
    invite(&stage, "desk", "erin").await.expect(201);
    expect_limited(invite(&stage, "desk", "frank").await, "invites_per_user", "q=1;w=3600");
}

#[tokio::test]
async fn gateways_on_one_redis_share_one_limit() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::with(&server.url(), 2, "[limits]\ninvites_per_user = \"4/h\"").await;
    for gateway in [0, 1, 1, 0] {
        invite(&fleet[gateway], "alice", "bob").await.expect(201);
    }
    for gateway in [0, 1] {
        expect_limited(invite(&fleet[gateway], "alice", "bob").await, "invites_per_user", "q=4;w=3600");
        invite(&fleet[gateway], "carol", "bob").await.expect(201);
    }
}
