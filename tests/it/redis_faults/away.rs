//! Redis is away: killed, stopped where it stands, or behind a network that is gone.

use serde_json::{Value, json};

use super::{expect_none_is_served, expect_ready, in_time, readiness, stage_on};
use crate::support::livekit::{API_KEY, API_SECRET};
use crate::support::livekit_fake::webhook_token;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use crate::support::{Http, Stage};

/// A gateway, and a call on it from ann to bob, who has two phones.
async fn with_a_call(url: &str) -> (Stage, Value) {
    let stage = stage_on(url).await;
    stage.pixel("bob", "phone").await;
    stage.pixel("dan", "phone").await;
    let call = stage.invite("ann", "bob").await["call"]["id"].clone();
    (stage, call)
}

/// What holds while Redis is away, for whatever reason.
async fn expect_away(http: &Http, call: &Value) {
    expect_none_is_served(http, call).await;
    assert_eq!(in_time(http.get("/livez", "")).await.status, 200);
    let (ready, why) = readiness(http).await;
    assert!(!ready, "{why}");
    assert!(why.contains("the store is not available: "), "{why}");
}

/// What holds once Redis is back with all that it had.
async fn expect_back(stage: &Stage, call: &Value) {
    expect_ready(&stage.http).await;
    assert_eq!(stage.seen_by("ann", call).await["state"], "calling");
    stage.invite("carol", "dan").await;
}

#[tokio::test]
async fn while_redis_is_killed_requests_are_told_to_come_back_and_nothing_is_lost() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let (stage, call) = with_a_call(&redis.url()).await;
    redis.kill();
    expect_away(&stage.http, &call).await;
    redis.start_again().await;
    expect_back(&stage, &call).await;
}

#[tokio::test]
async fn while_redis_answers_nothing_requests_are_told_to_come_back() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let (stage, call) = with_a_call(&redis.url()).await;
    redis.pause();
    expect_away(&stage.http, &call).await;
    redis.resume();
    expect_ready(&stage.http).await;
}

#[tokio::test]
async fn while_the_network_is_gone_requests_are_told_to_come_back() {
    let Some(redis) = RedisServer::shared().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let (stage, call) = with_a_call(&format!("redis://{}", proxy.address())).await;
    proxy.stall(true);
    expect_away(&stage.http, &call).await;
    proxy.stall(false);
    expect_ready(&stage.http).await;
}

#[tokio::test]
async fn while_redis_is_away_livekit_is_told_to_send_its_webhook_again() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let stage = stage_on(&redis.url()).await;
    stage.pixel("bob", "phone").await;
    let room = stage.invite("ann", "bob").await["livekit"]["room"].clone();
    let event = json!({"event": "participant_joined", "id": "EV_1", "room": {"name": room},
        "participant": {"sid": "PA_1", "identity": "ann"}});
    let body = event.to_string().into_bytes();
    let token = webhook_token(&stage.clock, API_KEY, API_SECRET, &body, |_| ());
    redis.kill();
    for _ in 0..2 {
        in_time(stage.webhook(&token, &body)).await.expect_problem(503, "unavailable");
    }
    redis.start_again().await;
    expect_ready(&stage.http).await;
    assert_eq!(stage.webhook(&token, &body).await.status, 200);
}
