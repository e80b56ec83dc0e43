//! Connections that break, that nobody answers on, or that are of no use: they are replaced, and not too often.

use bellwire::store::{Store, StoreError};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::{TIMEOUT, TRIES, connections, expect_ready, expect_unavailable, in_time, stage_on, store_on};
use crate::store_laws::fixture::user;
use crate::support::SOON;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

/// A command that has no time for more than one try counts against `store.timeout` from when it was asked for.
#[tokio::test]
async fn waiting_for_a_connection_counts() {
    let Some(redis) = RedisServer::shared().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let (store, _) = store_on(&format!("redis://{}", proxy.address())).await;
    // New connections are taken, and nothing is answered on them.
    proxy.stall(true);
    proxy.cut().await;
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let begun = Instant::now();
        let error = store.blocks(&user("ann")).await.expect_err("nothing answers");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        took.push(begun.elapsed());
    }
    took.sort();
    assert!((TIMEOUT..2 * TIMEOUT).contains(&took[0]), "{took:?}");
    proxy.stall(false);
    let back = async { while store.blocks(&user("ann")).await.is_err() {} };
    timeout(SOON, back).await.expect("connected again");
}

/// The network has forgotten the connection, and told nobody.
#[tokio::test]
async fn a_half_open_connection_is_replaced() {
    let Some(redis) = RedisServer::shared().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let stage = stage_on(&format!("redis://{}", proxy.address())).await;
    proxy.forget();
    expect_ready(&stage.http).await;
    stage.invite("ann", "bob").await;
}

#[tokio::test]
async fn a_broken_connection_is_no_failure() {
    let Some(redis) = RedisServer::shared().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let stage = stage_on(&format!("redis://{}", proxy.address())).await;
    for _ in 0..20 {
        let requests = (0..4).map(|number| stage.invite(["ann", "ben", "cid", "dan"][number], "eve"));
        tokio::join!(join_all(requests), proxy.cut());
    }
}

/// A server that takes connections and refuses what it is asked is no reason to connect again and again.
#[tokio::test]
async fn connections_that_lead_nowhere_are_made_less_and_less_often() {
    let (Some(redis), Some(other)) = (RedisServer::start().await, RedisServer::start().await) else { return };
    let stage = stage_on(&redis.url()).await;
    redis.command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]).await;
    let before = connections(&redis).await;
    let until = Instant::now() + 4 * TIMEOUT;
    let requests = (0..20).map(async |number| {
        while Instant::now() < until {
            expect_unavailable(in_time(stage.invite_for(&format!("user{number}"), "bob", 45)).await);
        }
    });
    join_all(requests).await;
    let made = connections(&redis).await - before;
    assert!((1..=60).contains(&made), "{made} connections");
}
