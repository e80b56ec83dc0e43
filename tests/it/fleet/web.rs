//! A browser needs no push, but somebody must know that it listens: it is rung by an invite at any gateway while it has a stream open
//! at any living one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Stream;
use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{APP, BUSY, Fleet, SOON, Stage, bearer};

/// How long after its last sign of life an instance counts as dead, and how much later than it died that sign may be missed.
const COUNTS_AS_DEAD_AFTER: Duration = Duration::from_secs(16);

async fn register<G>(stage: &Stage<G>, user: &str) {
    stage.http.put("/v1/devices/browser", &bearer(user), json!({"platform": "web", "app": APP})).await.expect(200);
}

/// A stream of the browser.
async fn listen<G>(stage: &Stage<G>, user: &str) -> Stream {
    Stream::socket(stage, user, "?device_id=browser").await
}

/// Whether an invite rings the browser; the call is over afterwards.
async fn rings<G>(stage: &Stage<G>, callee: &str) -> bool {
    let call = stage.invite("alice", callee).await["call"].take();
    if call["state"] == "ended" {
        assert_eq!(call["end_reason"], "unreachable");
        return false;
    }
    stage.http.post(&path(&call["id"], "cancel"), &bearer("alice"), json!({})).await.expect(200);
    true
}

/// Waits until invites ring it no more.
async fn until_silent<G>(stage: &Stage<G>, callee: &str, within: Duration) -> Duration {
    let began = Instant::now();
    while rings(stage, callee).await {
        assert!(began.elapsed() < within, "still rung after {:?}", began.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_browser_that_listens_at_one_gateway_is_rung_by_an_invite_at_the_other() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 2).await;
    register(&fleet[0], "bob").await;
    assert!(!rings(&fleet[0], "bob").await, "nobody listens");
    let mut stream = listen(&fleet[1], "bob").await;
    let call = fleet[0].invite("alice", "bob").await["call"].take();
    assert_eq!(call["state"], "calling");
    let event = stream.next().await;
    assert_eq!((&event["type"], &event["call_id"]), (&json!("call.invited"), &call["id"]));
    let answer =
        fleet[1].http.post(&path(&call["id"], "answer"), &bearer("bob"), json!({"device_id": "browser"})).await;
    assert_eq!(answer.expect(200)["call"]["answered_by"], "browser");
    fleet[0].http.post(&path(&call["id"], "hangup"), &bearer("alice"), json!({})).await.expect(200);
    drop(stream);
    until_silent(&fleet[0], "bob", SOON).await;
}

#[tokio::test]
async fn a_browser_with_a_stream_here_and_one_there_is_rung_until_both_are_closed() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 3).await;
    register(&fleet[0], "bob").await;
    let first = listen(&fleet[0], "bob").await;
    let second = listen(&fleet[1], "bob").await;
    drop(second);
    // Its end is noted soon; if the browser were silent then, it would be from then on.
    for _ in 0..10 {
        assert!(rings(&fleet[2], "bob").await, "it still listens");
        sleep(Duration::from_millis(50)).await;
    }
    drop(first);
    until_silent(&fleet[2], "bob", SOON).await;
}

#[tokio::test]
async fn a_browser_at_a_gateway_that_has_just_started_is_rung_at_once() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    register(&fleet[0], "bob").await;
    fleet[1].gateway.terminate();
    fleet[1].gateway.exit().await;
    fleet[1].start_again().await;
    let _stream = listen(&fleet[1], "bob").await;
    assert!(rings(&fleet[0], "bob").await, "the other gateway has not heard of this one yet");
}

#[tokio::test]
async fn a_browser_is_rung_also_after_a_fail_over_that_forgot_that_it_listens() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::behind_proxies(server, &[0, 0], 1).await;
    register(&fleet[1], "bob").await;
    let _stream = listen(&fleet[0], "bob").await;
    let keys: Vec<String> = server.read(&["KEYS", &format!("{}:*:attached:bob", fleet.prefix)]).await;
    server.command(&["DEL", &keys[0]]).await;
    assert!(!rings(&fleet[1], "bob").await, "that is how it is known");
    // A fail-over breaks every connection.
    fleet.proxy(0).cut().await;
    let rung = async {
        while !rings(&fleet[1], "bob").await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, rung).await.expect("it is rung again");
}

#[tokio::test]
async fn a_browser_whose_gateway_was_killed_is_rung_no_more_when_that_counts_as_dead() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    for user in ["bob", "carol"] {
        register(&fleet[0], user).await;
    }
    let _there = listen(&fleet[1], "bob").await;
    let _here = listen(&fleet[0], "carol").await;
    assert!(rings(&fleet[0], "bob").await);
    fleet[1].gateway.kill().await;
    let took = until_silent(&fleet[0], "bob", COUNTS_AS_DEAD_AFTER + BUSY).await;
    println!("rung in vain for {took:?}");
    assert!(rings(&fleet[0], "carol").await, "who listens at the other one is rung");
    let seen: Value = fleet[0].seen_by("carol", &fleet[0].invite("alice", "carol").await["call"]["id"]).await;
    assert_eq!(seen["state"], "calling");
}
