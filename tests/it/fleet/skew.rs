//! Machines whose clocks are wrong by twenty seconds either way: nothing is early, nothing late, and nobody notices.

use std::time::Duration;

use bellwire::clock::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::moving::move_about;
use crate::support::people::path;
use crate::support::proxy::{Direction, Proxy};
use crate::support::redis::RedisServer;
use crate::support::{BUSY, Fleet, Stage, bearer, rfc3339};

const WRONG_BY_MS: [i64; 3] = [20_000, -20_000, 0];
/// The shortest ring that there is, in seconds.
const RING: u64 = 5;
/// How exactly instances measure the time: half of a round trip, on a machine that is busy. Far less than clocks are wrong by.
const EXACT_TO: Duration = Duration::from_secs(2);

/// How far a clock is from the right one, which is that of Redis.
fn off(clock: &Clock) -> Duration {
    let (theirs, right) = (clock.now(), Clock::system().now());
    theirs.since(right).max(right.since(theirs))
}

#[tokio::test]
async fn clocks_that_are_wrong_are_corrected_before_the_first_call() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::with_clocks(server, &WRONG_BY_MS).await;
    for n in 0..WRONG_BY_MS.len() {
        assert!(off(&fleet[n].clock) <= EXACT_TO, "off by {:?}", off(&fleet[n].clock));
    }
}

#[tokio::test]
async fn a_clock_is_corrected_also_by_a_redis_that_is_slow() {
    let Some(server) = RedisServer::shared().await else { return };
    let proxy = Proxy::start(server.port()).await;
    let slow = Duration::from_millis(150);
    proxy.delay(Direction::ToServer, slow);
    proxy.delay(Direction::ToClient, slow);
    let config = crate::support::redis::store_config(&format!("redis://{}", proxy.address()), &[]);
    let clock = Clock::off_by_ms(20_000);
    let opened = bellwire::store::redis::Redis::open(&config, Duration::from_secs(1), clock.clone()).await;
    let _store = opened.expect("a store");
    assert!(off(&clock) <= slow + EXACT_TO, "off by {:?}", off(&clock));
}

/// Waits for the timeout of a call at a gateway, by the right clock.
async fn timed_out(stage: &Stage, caller: &str, call: &Value) {
    let right = Clock::system();
    let due = rfc3339(&call["ring_until"]);
    assert_eq!(stage.ended(caller, &call["id"]).await, "timed_out");
    let heard = right.now();
    let ended = rfc3339(&stage.call(&call["id"]).await["ended_at"]);
    assert!(ended >= due && heard + EXACT_TO >= due, "early: due {due:?}, ended {ended:?}, heard {heard:?}");
    assert!(ended.since(due) <= BUSY, "{:?} late", ended.since(due));
}

#[tokio::test]
async fn calls_end_in_time_also_where_their_gateway_is_cut_off() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = &Fleet::behind_proxies(server, &WRONG_BY_MS, 2).await;
    let right = Clock::system();
    let mut calls = Vec::new();
    for owner in 0..WRONG_BY_MS.len() {
        let callee = format!("callee-{owner}");
        fleet[0].pixel(&callee, "pixel").await;
        let caller = format!("caller-{owner}");
        let before = right.now();
        let call = fleet[owner].invite_for(&caller, &callee, RING).await.expect(201)["call"].take();
        let (created, due) = (rfc3339(&call["created_at"]), rfc3339(&call["ring_until"]));
        assert!(created + EXACT_TO >= before && created <= right.now() + EXACT_TO, "made at {created:?}");
        assert_eq!(due, created + Duration::from_secs(RING));
        calls.push((caller, call));
    }
    // The two whose clocks are wrong can do nothing any more.
    for owner in 0..2 {
        fleet.proxy(owner).refuse(true);
        fleet.proxy(owner).cut().await;
    }
    join_all(calls.iter().map(|(caller, call)| timed_out(&fleet[2], caller, call))).await;
}

#[tokio::test]
async fn calls_end_in_time_where_only_gateways_with_wrong_clocks_are_left() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = &Fleet::behind_proxies(server, &[0, 20_000, -20_000], 1).await;
    fleet[0].pixel("bob", "pixel").await;
    let call = fleet[0].invite_for("alice", "bob", RING).await.expect(201)["call"].take();
    fleet.proxy(0).refuse(true);
    fleet.proxy(0).cut().await;
    timed_out(&fleet[1], "alice", &call).await;
}

#[tokio::test]
async fn tickets_are_good_everywhere_and_calls_stand_in_the_order_in_which_they_were_made() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = &Fleet::with_clocks(server, &WRONG_BY_MS).await;
    let phone = fleet[0].pixel("bob", "pixel").await;
    let mut calls = Vec::new();
    for (inviting, answering) in [(0, 1), (1, 0), (0, 2), (2, 1), (1, 2), (2, 0)] {
        let call = fleet[inviting].invite("alice", "bob").await["call"]["id"].take();
        let ticket = fleet[answering].ring(&phone, &call).await;
        fleet[answering].http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        fleet[answering].http.post(&path(&call, "token"), &ticket, json!({})).await.expect(200);
        fleet[inviting].http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
        calls.push(call);
        // The next one is made later than clocks are wrong when they are corrected.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    calls.reverse();
    for n in 0..WRONG_BY_MS.len() {
        let history = fleet[n].http.get("/v1/calls", &bearer("bob")).await.expect(200);
        let listed: Vec<Value> =
            history["calls"].as_array().expect("calls").iter().map(|call| call["id"].clone()).collect();
        assert_eq!(listed, calls, "newest first");
    }
}

#[tokio::test]
async fn readers_on_the_move_between_wrong_clocks_miss_nothing() {
    let Some(server) = RedisServer::shared().await else { return };
    move_about(&Fleet::with_clocks(server, &WRONG_BY_MS).await, WRONG_BY_MS.len()).await;
}
