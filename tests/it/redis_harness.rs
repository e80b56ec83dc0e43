//! The Redis servers and the proxy that other tests are made with do what they promise.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisResult, ServerErrorKind, TlsCertificates, Value};
use tokio::time::{sleep, timeout};

use crate::support::SOON;
use crate::support::proxy::{Direction, Proxy};
use crate::support::redis::{PASSWORD, RedisCluster, RedisServer, Sentinels, USER, fresh_prefix};

#[tokio::test]
async fn a_killed_server_comes_back_with_its_data_and_a_wiped_one_without() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.command(&["SET", "kept", "1"]).await;
    redis.kill();
    assert!(redis.try_command(&["PING"]).await.is_err());
    redis.start_again().await;
    assert_eq!(redis.read::<Option<u8>>(&["GET", "kept"]).await, Some(1));
    redis.wipe();
    redis.start_again().await;
    assert_eq!(redis.command(&["GET", "kept"]).await, Value::Nil);
}

#[tokio::test]
async fn a_server_has_the_settings_that_it_was_given() {
    let settings = [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")];
    let Some(redis) = RedisServer::with(&settings).await else { return };
    for (name, value) in settings {
        assert_eq!(redis.read::<[String; 2]>(&["CONFIG", "GET", name]).await, [name, value]);
    }
}

#[tokio::test]
async fn a_paused_server_answers_when_it_goes_on() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.pause();
    let waiting = timeout(Duration::from_millis(300), redis.try_command(&["PING"])).await;
    assert!(waiting.is_err(), "{waiting:?}");
    redis.resume();
    redis.command(&["PING"]).await;
}

#[tokio::test]
async fn killed_tests_leave_no_server_and_no_folder() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.abandon();
    let gone = async {
        while redis.try_command(&["PING"]).await.is_ok() || !redis.log().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, gone).await.expect("gone in time");
}

#[tokio::test]
async fn the_user_of_a_server_with_access_control_has_its_own_keys_only() {
    let Some(redis) = RedisServer::shared_with_tls_and_acl().await else { return };
    assert!(redis.url().starts_with("rediss://"));
    let mut connection = connect_user(redis, redis.port()).await;
    let key = format!("{}:{{1}}:call:1", fresh_prefix());
    send(&mut connection, &["SET", &key, "1"]).await.expect("its own key");
    for refused in [&["SET", "other", "1"][..], &["SPUBLISH", "other", "1"], &["FLUSHALL"]] {
        let error = send(&mut connection, refused).await.expect_err("not its own");
        assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm), "{error}");
    }
    let plain = Client::open(redis.url().replace("rediss", "redis")).expect("a client");
    assert!(plain.get_multiplexed_async_connection().await.is_err());
}

#[tokio::test]
async fn a_shared_server_is_one_and_the_same() {
    let Some(redis) = RedisServer::shared().await else { return };
    let again = RedisServer::shared().await.expect("the same");
    assert_eq!(redis.url(), again.url());
    assert_ne!(fresh_prefix(), fresh_prefix());
}

#[tokio::test]
async fn a_slot_of_a_cluster_moves_with_its_keys_while_it_is_used() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let nodes: Vec<_> = cluster.masters.iter().map(RedisServer::url).collect();
    let client = ClusterClient::new(nodes).expect("a client");
    let mut connection = client.get_async_connection().await.expect("a connection");
    let mut set = async |key: &str| redis::cmd("SET").arg(key).arg(1).exec_async(&mut connection).await.expect("set");
    set("{a}1").await;
    let slot = cluster.slot("{a}").await;
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    let moving = cluster.begin_move(slot, to).await;
    set("{a}2").await;
    moving.finish().await;
    set("{a}3").await;
    assert_eq!(cluster.owner(slot).await, to);
    let count = ["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()];
    assert_eq!(cluster.masters[to].read::<u8>(&count).await, 3);
    assert_eq!(cluster.masters[from].read::<u8>(&count).await, 0);
    cluster.move_slot(slot, from).await;
    assert_eq!(cluster.masters[from].read::<u8>(&count).await, 3);
}

#[tokio::test]
async fn each_master_of_the_shared_cluster_takes_keys() {
    let Some(cluster) = RedisCluster::shared().await else { return };
    let mut takers = BTreeSet::new();
    for number in 0..64 {
        let key = format!("{}:{{{number}}}", fresh_prefix());
        let owner = cluster.owner(cluster.slot(&key).await).await;
        cluster.masters[owner].command(&["SET", &key, "1"]).await;
        takers.insert(owner);
    }
    assert_eq!(takers.len(), cluster.masters.len());
}

#[tokio::test]
async fn a_cluster_fails_without_a_master_and_is_well_when_it_is_back() {
    let Some(mut cluster) = RedisCluster::start().await else { return };
    assert!(cluster.url().starts_with("redis-cluster://127.0.0.1:"));
    cluster.masters[2].kill();
    cluster.expect_state("fail").await;
    let error = cluster.masters[0].try_command(&["GET", "{a}"]).await.expect_err("no cluster");
    assert_eq!(error.code(), Some("CLUSTERDOWN"), "{error}");
    cluster.masters[2].start_again().await;
    cluster.expect_state("ok").await;
}

#[tokio::test]
async fn a_fail_over_leaves_the_old_master_read_only() {
    let Some(redis) = Sentinels::start().await else { return };
    assert!(redis.url().starts_with("redis-sentinel://127.0.0.1:"));
    let old = redis.master().await;
    redis.servers[old].command(&["SET", "kept", "1"]).await;
    redis.fail_over().await;
    assert_eq!(redis.servers[redis.master().await].read::<u8>(&["GET", "kept"]).await, 1);
    let error = redis.servers[old].try_command(&["SET", "kept", "2"]).await.expect_err("a replica");
    assert_eq!(error.code(), Some("READONLY"), "{error}");
}

#[tokio::test]
async fn a_sentinel_replaces_a_master_that_was_killed() {
    let Some(mut redis) = Sentinels::start().await else { return };
    let old = redis.kill_master().await;
    assert_ne!(redis.master().await, old);
    redis.servers[redis.master().await].command(&["SET", "kept", "1"]).await;
}

/// A server, a proxy before it, and a connection through that.
async fn proxied() -> Option<(&'static RedisServer, Proxy, MultiplexedConnection)> {
    let redis = RedisServer::shared().await?;
    let proxy = Proxy::start(redis.port()).await;
    let connection = connect(&proxy).await.expect("a connection");
    Some((redis, proxy, connection))
}

async fn connect(proxy: &Proxy) -> RedisResult<MultiplexedConnection> {
    let client = Client::open(format!("redis://{}", proxy.address())).expect("a client");
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(SOON));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A connection of the gateway's user, to the server's port or that of a proxy.
async fn connect_user(redis: &RedisServer, port: u16) -> MultiplexedConnection {
    let ca = std::fs::read(redis.ca_file()).expect("the authority");
    let url = format!("rediss://{USER}:{PASSWORD}@127.0.0.1:{port}");
    let client = Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert: Some(ca) });
    client.expect("a client").get_multiplexed_async_connection().await.expect("a connection")
}

async fn send(connection: &mut MultiplexedConnection, words: &[&str]) -> RedisResult<()> {
    redis::cmd(words[0]).arg(&words[1..]).exec_async(connection).await
}

#[tokio::test]
async fn a_proxy_delays_each_way_by_itself() {
    let Some((_, proxy, mut connection)) = proxied().await else { return };
    for direction in [Direction::ToServer, Direction::ToClient] {
        let delay = Duration::from_millis(200);
        proxy.delay(direction, delay);
        let begun = Instant::now();
        send(&mut connection, &["PING"]).await.expect("an answer");
        assert!(begun.elapsed() >= delay);
        proxy.delay(direction, Duration::ZERO);
    }
}

#[tokio::test]
async fn a_proxy_cuts_what_is_open_and_refuses_what_is_new() {
    let Some((_, proxy, mut connection)) = proxied().await else { return };
    proxy.refuse(true);
    send(&mut connection, &["PING"]).await.expect("it is open already");
    assert!(connect(&proxy).await.is_err());
    proxy.cut().await;
    assert!(send(&mut connection, &["PING"]).await.is_err());
    proxy.refuse(false);
    let mut connection = connect(&proxy).await.expect("a connection");
    send(&mut connection, &["PING"]).await.expect("an answer");
}

#[tokio::test]
async fn a_stalled_proxy_ends_nothing_and_lets_all_pass_afterwards() {
    let Some((_, proxy, mut connection)) = proxied().await else { return };
    proxy.stall(true);
    let mut ping = pin!(send(&mut connection, &["PING"]));
    assert!(timeout(Duration::from_millis(300), &mut ping).await.is_err());
    proxy.stall(false);
    ping.await.expect("an answer");
}

/// Whether the server carries out a long request that the proxy cuts at; the client is left without an answer.
async fn carried_out(cut: impl Fn(&Proxy, &[u8])) -> Option<bool> {
    let (redis, proxy, mut connection) = proxied().await?;
    let key = fresh_prefix();
    cut(&proxy, key.as_bytes());
    send(&mut connection, &["SET", "another", "1"]).await.expect("an answer");
    assert!(proxy.awaits_cut());
    assert!(send(&mut connection, &["SET", &key, &"long".repeat(100_000)]).await.is_err());
    assert!(!proxy.awaits_cut());
    send(&mut connect(&proxy).await.expect("a connection"), &["PING"]).await.expect("an answer");
    Some(redis.read(&["EXISTS", &key]).await)
}

#[tokio::test]
async fn a_cut_before_the_reply_loses_the_answer_alone() {
    let Some(carried_out) = carried_out(Proxy::cut_before_reply).await else { return };
    assert!(carried_out);
}

#[tokio::test]
async fn a_cut_before_the_request_loses_it() {
    let Some(carried_out) = carried_out(Proxy::cut_before_request).await else { return };
    assert!(!carried_out);
}

#[tokio::test]
async fn a_proxy_counts_round_trips_requests_and_bytes() {
    let Some((_, proxy, mut connection)) = proxied().await else { return };
    let before = proxy.traffic();
    for _ in 0..3 {
        send(&mut connection, &["PING"]).await.expect("an answer");
    }
    assert_eq!(proxy.turns(), before.turns + 3);
    let mut together = redis::pipe();
    for _ in 0..10 {
        together.cmd("PING");
    }
    together.exec_async(&mut connection).await.expect("answers");
    let after = proxy.traffic();
    assert_eq!((after.turns - before.turns, after.requests - before.requests), (4, 13));
    assert_eq!(after.bytes_to_server - before.bytes_to_server, 13 * b"*1\r\n$4\r\nPING\r\n".len());
    assert_eq!(after.bytes_to_client - before.bytes_to_client, 13 * b"+PONG\r\n".len());
}

#[tokio::test]
async fn a_proxy_may_stand_before_tls() {
    let Some(redis) = RedisServer::shared_with_tls_and_acl().await else { return };
    let proxy = Proxy::start(redis.port()).await;
    let mut connection = connect_user(redis, proxy.address().port()).await;
    let key = format!("{}:{{1}}:call:1", fresh_prefix());
    send(&mut connection, &["SET", &key, &"long".repeat(100_000)]).await.expect("an answer");
    assert!(proxy.traffic().bytes_to_server > 400_000);
    proxy.cut().await;
    assert!(send(&mut connection, &["PING"]).await.is_err());
}
