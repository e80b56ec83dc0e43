//! Redis is started again: with all that it had, with nothing, or without its scripts.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{expect_ready, expect_unavailable, in_time, readiness, stage_on};
use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{BUSY, Stage, bearer, rfc3339, service_bearer};

#[tokio::test]
async fn calls_go_on_on_a_redis_that_was_killed_and_has_its_data() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let stage = stage_on(&redis.url()).await;
    let (mut phones, mut calls, mut readers) = (Vec::new(), Vec::new(), Vec::new());
    for (caller, callee) in [("ann", "ben"), ("cid", "dan"), ("eve", "fay")] {
        phones.push(stage.pixel(callee, "phone").await);
        readers.push(stage.events(&bearer(caller), "").await.0);
        let seconds = if caller == "ann" { 5 } else { 45 };
        calls.push(stage.invite_for(caller, callee, seconds).await.expect(201)["call"].clone());
    }
    let ids: Vec<Value> = calls.iter().map(|call| call["id"].clone()).collect();
    stage.answer(&phones[1], &ids[1]).await;
    redis.kill();
    sleep(Duration::from_millis(500)).await;
    redis.start_again().await;
    expect_ready(&stage.http).await;

    // The streams that were open hear of what happens now, by themselves.
    stage.answer(&phones[2], &ids[2]).await;
    readers[2].until("call.answered", &ids[2]).await;
    stage.http.post(&path(&ids[1], "hangup"), &bearer("dan"), json!({})).await.expect(200);
    assert_eq!(readers[1].until("call.ended", &ids[1]).await["data"]["reason"], "completed");
    let end = readers[0].until("call.ended", &ids[0]).await;
    assert_eq!(end["data"]["reason"], "timed_out");
    let (due, ended) = (rfc3339(&calls[0]["ring_until"]), rfc3339(&end["at"]));
    assert!(due <= ended && ended.since(due) <= BUSY, "due at {due:?}, ended at {ended:?}");
    assert_eq!(stage.seen_by("eve", &ids[2]).await["state"], "active");
}

/// Invites of a user, one after the other, until it is over and a few were acknowledged; the calls that were.
async fn invites(stage: &Stage, caller: &str, over: &Cell<bool>) -> Vec<Value> {
    let mut acknowledged = Vec::new();
    while !over.get() || acknowledged.len() < 5 {
        let reply = in_time(stage.invite_for(caller, "nobody", 45)).await;
        if reply.status == 201 {
            acknowledged.push(reply.json["call"]["id"].clone());
        } else {
            expect_unavailable(reply);
        }
    }
    acknowledged
}

#[tokio::test]
async fn no_acknowledged_call_is_lost_when_redis_is_killed_under_load() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let stage = stage_on(&redis.url()).await;
    let over = Cell::new(false);
    let callers: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    let load = join_all(callers.iter().map(|caller| invites(&stage, caller, &over)));
    let kill = async {
        for _ in 0..2 {
            sleep(Duration::from_millis(300)).await;
            redis.kill();
            sleep(Duration::from_millis(200)).await;
            redis.start_again().await;
        }
        over.set(true);
    };
    let (acknowledged, ()) = tokio::join!(load, kill);
    expect_ready(&stage.http).await;
    for call in acknowledged.concat() {
        assert_eq!(stage.call(&call).await["end_reason"], "unreachable");
    }
}

#[tokio::test]
async fn on_a_redis_that_has_lost_everything_the_gateway_begins_anew() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let stage = stage_on(&redis.url()).await;
    stage.pixel("bob", "phone").await;
    let lost = stage.invite("ann", "bob").await["call"]["id"].clone();
    let (mut reader, snapshot) = stage.events(&bearer("ann"), "").await;
    assert_eq!(snapshot["calls"][0]["id"], lost);
    let (mut idle, _) = stage.events(&bearer("cid"), "").await;
    redis.wipe();
    redis.start_again().await;
    expect_ready(&stage.http).await;

    stage.http.get(&path(&lost, ""), service_bearer()).await.expect_problem(404, "call-not-found");
    stage.http.post(&path(&lost, "cancel"), &bearer("ann"), json!({})).await.expect_problem(404, "call-not-found");
    assert_eq!(stage.http.get("/v1/devices", &bearer("bob")).await.expect(200)["devices"], json!([]));
    // A reader of what is lost begins anew too; another one goes on.
    while reader.next_or_end().await.is_some() {}
    let (_, snapshot) = stage.events(&bearer("ann"), &format!("?since={}:1", lost.as_str().expect("an id"))).await;
    assert_eq!(snapshot["calls"], json!([]));
    assert_eq!(stage.invite("cid", "bob").await["call"]["end_reason"], "unreachable");
    let phone = stage.pixel("bob", "phone").await;
    let call = stage.invite("cid", "bob").await["call"]["id"].clone();
    stage.answer(&phone, &call).await;
    idle.until("call.answered", &call).await;
}

#[tokio::test]
async fn a_flushed_script_cache_fails_no_request() {
    let Some(redis) = RedisServer::start().await else { return };
    let stage = stage_on(&redis.url()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let callers: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    let load = join_all(callers.iter().map(async |caller| {
        let mut made = 0;
        while Instant::now() < until {
            stage.pixel(caller, "phone").await;
            stage.invite(caller, "nobody").await;
            made += 1;
        }
        made
    }));
    let flush = async {
        while Instant::now() < until {
            redis.command(&["SCRIPT", "FLUSH"]).await;
        }
    };
    let (made, ()) = tokio::join!(load, flush);
    assert!(made.iter().all(|made| *made > 0), "{made:?}");
}

#[tokio::test]
async fn while_redis_reads_its_data_requests_are_told_to_come_back() {
    // Four seconds for two thousand keys, and now and then it looks who has come.
    let slowly = [("key-load-delay", "2000"), ("loading-process-events-interval-bytes", "1024")];
    let Some(mut redis) = RedisServer::with(&slowly).await else { return };
    let stage = stage_on(&redis.url()).await;
    let call = stage.invite("ann", "nobody").await["call"]["id"].clone();
    redis.command(&["EVAL", "for i = 1, 2000 do redis.call('SET', i, string.rep('x', 64)) end", "0"]).await;
    // What was rewritten is read key by key.
    redis.command(&["BGREWRITEAOF"]).await;
    while !redis.read::<String>(&["INFO", "persistence"]).await.contains("aof_rewrite_in_progress:0") {
        sleep(Duration::from_millis(20)).await;
    }
    redis.kill();
    let watch = async {
        loop {
            let (ready, why) = readiness(&stage.http).await;
            assert!(!ready, "not yet: {why}");
            if why.contains("LOADING") {
                return expect_unavailable(in_time(stage.invite_for("bob", "nobody", 45)).await);
            }
        }
    };
    tokio::join!(redis.start_again(), watch);
    expect_ready(&stage.http).await;
    assert_eq!(stage.call(&call).await["end_reason"], "unreachable");
    stage.invite("bob", "nobody").await;
}
