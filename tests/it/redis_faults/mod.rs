//! What a gateway promises while its Redis fails: each request is answered in time, nothing acknowledged is lost while Redis keeps
//! it, and the gateway is well again by itself when Redis is.

mod away;
mod cluster;
mod connecting;
mod cuts;
mod demoted;
mod listening;
mod lost_answers;

mod program;
mod restarts;
mod slots;
mod slow;
mod start;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwire::clock::Clock;
use bellwire::config;
use bellwire::config::store::StoreUrl;
use bellwire::store::redis::Redis;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::proxy::Proxy;
use crate::support::redis::{RedisServer, store_config};
use crate::support::{APP, BUSY, Http, Reply, SOON, Stage, bearer, service_bearer};

type Cut = fn(&Proxy, &[u8]);
/// Where the connection of a request can break.
const CUTS: [Cut; 2] = [Proxy::cut_before_request, Proxy::cut_before_reply];

/// `store.timeout`, as it is by default.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a request is tried that must not wait for more than one command that fails: a machine that is busy makes some of them slow, and a
/// gateway that waits for several makes all.
const TRIES: usize = 5;

/// A gateway on a Redis, with keys of its own.
async fn stage_on(url: &str) -> Stage {
    stage_with(store_config(url, &[])).await
}

/// A gateway on a Redis.
async fn stage_with(redis: config::store::Redis) -> Stage {
    Stage::configured("", |config| {
        config.store.timeout = TIMEOUT;
        config.store.url = StoreUrl::Redis(redis);
    })
    .await
}

/// A store on a Redis, with keys of its own.
async fn store_on(url: &str) -> (Arc<Redis>, Clock) {
    let clock = Clock::system();
    (store_with(&store_config(url, &[]), &clock).await, clock)
}

/// A store on a Redis.
async fn store_with(redis: &config::store::Redis, clock: &Clock) -> Arc<Redis> {
    Arc::new(Redis::open(redis, TIMEOUT, clock.clone()).await.expect("a store"))
}

/// The same keys by another way.
fn by_way_of(redis: &config::store::Redis, url: &str) -> config::store::Redis {
    config::store::Redis { nodes: store_config(url, &[]).nodes, ..redis.clone() }
}

/// How many connections a server has taken so far.
async fn connections(server: &RedisServer) -> u64 {
    let info: String = server.read(&["INFO", "stats"]).await;
    let number = info.split_once("total_connections_received:").and_then(|(_, rest)| rest.lines().next());
    number.and_then(|number| number.parse().ok()).expect("a number")
}

/// The answer, which must come in time whatever it is.
async fn in_time(request: impl Future<Output = Reply>) -> Reply {
    timeout(BUSY, request).await.expect("it does not wait for Redis")
}

/// Checks that a request was told to come back.
fn expect_unavailable(reply: Reply) {
    assert!(reply.headers.contains_key("retry-after"), "{}", reply.text);
    reply.expect_problem(503, "unavailable");
}

/// What `/readyz` says of the store, and whether it is ready.
async fn readiness(http: &Http) -> (bool, String) {
    let reply = in_time(http.get("/readyz", "")).await;
    let store = &reply.json["parts"][0];
    assert_eq!(store["name"], "store", "{}", reply.text);
    assert_eq!(reply.json["ready"], reply.status == 200, "{}", reply.text);
    (reply.status == 200, store["detail"].as_str().expect("words").to_owned())
}

/// Waits until the gateway is ready again by itself.
async fn expect_ready(http: &Http) {
    let ready = async {
        while !readiness(http).await.0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, ready).await.expect("ready again");
}

/// One of each kind of request that needs the store, where `call` is a call from ann to bob, by method, path, token and body.
fn every_request(call: &Value) -> Vec<(Method, String, String, Value)> {
    let call = format!("/v1/calls/{}", call.as_str().expect("a call id"));
    let (ann, bob, service) = (bearer("ann"), bearer("bob"), service_bearer().to_owned());
    let (none, phone) = (json!({}), json!({"device_id": "phone"}));
    let verb = |verb: &str| format!("{call}/{verb}");
    let device = json!({"platform": "android", "app": APP, "fcm_token": "another"});
    let to = |path: &str| path.to_owned();
    vec![
        (Method::PUT, to("/v1/devices/another"), bob.clone(), device),
        (Method::GET, to("/v1/devices"), bob.clone(), Value::Null),
        (Method::DELETE, to("/v1/devices/another"), bob.clone(), Value::Null),
        (Method::POST, to("/v1/calls"), bearer("carol"), json!({"callee": "dan", "media": "audio"})),
        (Method::GET, to("/v1/calls"), ann.clone(), Value::Null),
        (Method::GET, call.clone(), ann.clone(), Value::Null),
        (Method::POST, verb("alerting"), bob.clone(), phone.clone()),
        (Method::POST, verb("answer"), bob.clone(), phone.clone()),
        (Method::POST, verb("decline"), bob, phone),
        (Method::POST, verb("cancel"), ann.clone(), none.clone()),
        (Method::POST, verb("hangup"), ann.clone(), none.clone()),
        (Method::POST, verb("token"), ann.clone(), none.clone()),
        (Method::GET, to("/v1/events"), ann.clone(), Value::Null),
        (Method::GET, to("/v1/events?device_id=web"), ann.clone(), Value::Null),
        (Method::PUT, to("/v1/blocks/eve"), ann.clone(), none.clone()),
        (Method::GET, to("/v1/blocks"), ann.clone(), Value::Null),
        (Method::DELETE, to("/v1/blocks/eve"), ann, Value::Null),
        (Method::PUT, to("/v1/bans/eve"), service.clone(), none),
        (Method::GET, to("/v1/bans/eve"), service.clone(), Value::Null),
        (Method::GET, to("/v1/bans"), service.clone(), Value::Null),
        (Method::DELETE, to("/v1/bans/eve"), service, Value::Null),
    ]
}

/// Sends one of each kind of request at once, and checks that each is told to come back when its first command has failed.
async fn expect_none_is_served(http: &Http, call: &Value) {
    let requests = every_request(call).into_iter().map(async |(method, path, token, body)| {
        for _ in 0..TRIES {
            let request = http.request(method.clone(), &path).bearer_auth(&token).header("accept", "text/event-stream");
            let request = match &body {
                Value::Null => request,
                body => request.header("content-type", "application/json").body(body.to_string()),
            };
            let begun = Instant::now();
            expect_unavailable(in_time(Http::send(request)).await);
            if begun.elapsed() < 2 * TIMEOUT {
                return;
            }
        }
        panic!("{method} {path} waits for several commands");
    });
    join_all(requests).await;
}
