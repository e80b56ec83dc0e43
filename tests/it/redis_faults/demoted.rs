//! The master becomes a replica: by hand, and by a fail-over of Sentinel.

use std::cell::Cell;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use super::{expect_ready, expect_unavailable, in_time, readiness, stage_on};
use crate::support::people::path;
use crate::support::redis::{RedisServer, Sentinels};
use crate::support::{Stage, bearer, service_bearer};

#[tokio::test]
async fn a_server_that_is_a_replica_for_a_while_is_used_again_when_it_is_a_master() {
    let (Some(redis), Some(other)) = (RedisServer::start().await, RedisServer::start().await) else { return };
    let stage = stage_on(&redis.url()).await;
    stage.pixel("bob", "phone").await;
    let call = stage.invite("ann", "bob").await["call"]["id"].clone();
    // The other one has everything before it is the master, so nothing is lost.
    follow(&other, &redis).await;
    other.command(&["REPLICAOF", "NO", "ONE"]).await;
    follow(&redis, &other).await;
    expect_unavailable(in_time(stage.http.post(&path(&call, "cancel"), &bearer("ann"), json!({}))).await);
    expect_unavailable(in_time(stage.invite_for("cid", "bob", 45)).await);
    let (ready, why) = readiness(&stage.http).await;
    assert!(!ready && why.contains("replica"), "{why}");
    assert_eq!(in_time(stage.http.get("/livez", "")).await.status, 200);
    redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    expect_ready(&stage.http).await;
    assert_eq!(stage.seen_by("ann", &call).await["state"], "calling");
    in_time(stage.http.post(&path(&call, "cancel"), &bearer("ann"), json!({}))).await.expect(200);
}

/// Makes a server the replica of another one, and waits until it has all of its data.
async fn follow(replica: &RedisServer, master: &RedisServer) {
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).await;
    while !replica.read::<String>(&["INFO", "replication"]).await.contains("master_link_status:up") {
        sleep(Duration::from_millis(20)).await;
    }
}

/// What holds over a fail-over: requests are answered in time, and the calls from before go on where the gateway finds the new master.
async fn expect_to_survive(stage: &Stage, fail_over: impl Future<Output = ()>) {
    let phone = stage.pixel("bob", "phone").await;
    let call = stage.invite("ann", "bob").await["call"]["id"].clone();
    let (mut reader, _) = stage.events(&bearer("ann"), "").await;
    let over = Cell::new(false);
    let load = join_all((0..4).map(async |number| {
        while !over.get() {
            let reply = in_time(stage.invite_for(&format!("user{number}"), "nobody", 45)).await;
            if reply.status != 201 {
                expect_unavailable(reply);
            }
        }
    }));
    let fail_over = async {
        fail_over.await;
        expect_ready(&stage.http).await;
        over.set(true);
    };
    tokio::join!(load, fail_over);
    in_time(stage.http.get(&path(&call, ""), service_bearer())).await.expect(200);
    stage.answer(&phone, &call).await;
    loop {
        // The stream may have ended while the calls could not be read.
        match reader.next_or_end().await {
            Some(event) if event["type"] == "call.answered" => break,
            Some(_) => {}
            None => {
                let since = format!("?since={}:1", call.as_str().expect("an id"));
                reader = stage.events(&bearer("ann"), &since).await.0;
            }
        }
    }
    stage.http.post(&path(&call, "hangup"), &bearer("ann"), json!({})).await.expect(200);
}

#[tokio::test]
async fn the_new_master_is_found_when_sentinel_changes_the_two() {
    let Some(sentinels) = Sentinels::start().await else { return };
    let stage = stage_on(&sentinels.url()).await;
    for _ in 0..2 {
        expect_to_survive(&stage, sentinels.fail_over()).await;
    }
}

#[tokio::test]
async fn the_new_master_is_found_when_the_old_one_was_killed_and_one_sentinel_answers_nothing() {
    let Some(mut sentinels) = Sentinels::start().await else { return };
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = mute.local_addr().expect("its address");
    let stage = stage_on(&sentinels.url().replace("://", &format!("://{address},"))).await;
    expect_to_survive(&stage, async {
        sentinels.kill_master().await;
    })
    .await;
}
