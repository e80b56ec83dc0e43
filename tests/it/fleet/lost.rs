//! Announcements that never arrive: what is in the records is told all the same.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{BUSY, Device, Fleet, SOON, STORE_TIMEOUT, Sse, bearer};

/// How long a lost last notice may stay unnoticed: numbers are compared every five seconds, and what stood there at one comparison
/// must have been heard by the next.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

/// Alice, whose stream is at the first gateway, and bob, who is at the second.
struct Scene {
    fleet: Fleet,
    phone: Device,
    stream: Sse,
}

impl Scene {
    async fn set(server: &RedisServer) -> Self {
        let fleet = Fleet::behind_proxies(server, &[0, 0], 1).await;
        let phone = fleet[1].pixel("bob", "pixel").await;
        let stream = fleet[0].events(&bearer("alice"), "").await.0;
        Self { fleet, phone, stream }
    }

    /// Alice's call to bob, whose phone rings, and the ticket in its push.
    async fn ringing(&mut self) -> (Value, String) {
        let call = self.fleet[1].invite("alice", "bob").await["call"]["id"].take();
        let ticket = self.fleet[1].ring(&self.phone, &call).await;
        self.hear("call.ringing", &call, SOON).await;
        (call, ticket)
    }

    async fn say(&self, verb: &str, call: &Value, ticket: &str) {
        self.fleet[1].http.post(&path(call, verb), ticket, json!({})).await.expect(200);
    }

    /// Waits until alice hears of it, and says how long that took.
    async fn hear(&mut self, kind: &str, call: &Value, within: Duration) -> Duration {
        let began = Instant::now();
        let heard = async {
            loop {
                let event = self.stream.read().await.expect("the stream goes on");
                if event["type"] == kind && event["call_id"] == *call {
                    return;
                }
            }
        };
        timeout(within, heard).await.unwrap_or_else(|_| panic!("{kind} was not heard within {within:?}"));
        began.elapsed()
    }
}

#[tokio::test]
async fn what_was_done_while_the_connection_was_broken_is_heard_when_it_is_there_again() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut scene = Scene::set(server).await;
    let (call, ticket) = scene.ringing().await;
    scene.fleet.proxy(0).refuse(true);
    scene.fleet.proxy(0).cut().await;
    scene.say("answer", &call, &ticket).await;
    scene.say("hangup", &call, &ticket).await;
    scene.fleet.proxy(0).refuse(false);
    let took = scene.hear("call.answered", &call, SOON).await;
    scene.hear("call.ended", &call, SOON).await;
    println!("heard {took:?} after the connection could be made again");
}

#[tokio::test]
async fn what_was_done_while_nothing_passed_is_heard_afterwards() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut scene = Scene::set(server).await;
    let (call, ticket) = scene.ringing().await;
    scene.fleet.proxy(0).stall(true);
    scene.say("answer", &call, &ticket).await;
    scene.say("hangup", &call, &ticket).await;
    // Longer than a command waits, so that the gateway takes its connection for broken.
    tokio::time::sleep(STORE_TIMEOUT + Duration::from_millis(500)).await;
    scene.fleet.proxy(0).stall(false);
    scene.hear("call.answered", &call, SOON).await;
    scene.hear("call.ended", &call, SOON).await;
}

#[tokio::test]
async fn a_lost_notice_shows_with_the_next_one() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut scene = Scene::set(server).await;
    let mut took = Vec::new();
    for _ in 0..3 {
        let (call, ticket) = scene.ringing().await;
        scene.fleet.proxy(0).lose_notice(call.as_str().expect("an id").as_bytes());
        scene.say("answer", &call, &ticket).await;
        scene.say("hangup", &call, &ticket).await;
        took.push(scene.hear("call.answered", &call, SOON).await + scene.hear("call.ended", &call, SOON).await);
        assert!(!scene.fleet.proxy(0).awaits_notice());
    }
    // A comparison shows it after five seconds at least. A machine that is busy makes some of it slow.
    assert!(took.iter().min() < Some(&Duration::from_secs(3)), "{took:?}");
}

#[tokio::test]
async fn a_last_notice_that_was_lost_is_made_up_for() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut scene = Scene::set(server).await;
    let (call, ticket) = scene.ringing().await;
    scene.say("answer", &call, &ticket).await;
    scene.hear("call.answered", &call, SOON).await;
    scene.fleet.proxy(0).lose_notice(call.as_str().expect("an id").as_bytes());
    scene.say("hangup", &call, &ticket).await;
    let took = scene.hear("call.ended", &call, REPAIRED_WITHIN + BUSY).await;
    assert!(!scene.fleet.proxy(0).awaits_notice());
    println!("heard after {took:?}");
}

#[tokio::test]
async fn a_subscription_that_nothing_comes_from_is_replaced() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut scene = Scene::set(server).await;
    let (call, ticket) = scene.ringing().await;
    scene.fleet.proxy(0).silence_listeners();
    scene.say("answer", &call, &ticket).await;
    let took = scene.hear("call.answered", &call, REPAIRED_WITHIN + BUSY).await;
    println!("heard after {took:?}");
    // Not only what was lost: from now on everything is heard at once again, and nobody looks for it.
    scene.say("hangup", &call, &ticket).await;
    scene.hear("call.ended", &call, SOON).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.fleet.proxy(0).record();
    for _ in 0..3 {
        let (call, ticket) = scene.ringing().await;
        scene.say("decline", &call, &ticket).await;
        scene.hear("call.ended", &call, SOON).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let requests = scene.fleet.proxy(0).recorded();
    let looks = requests.iter().filter(|request| String::from_utf8_lossy(request).contains("history:alice")).count();
    assert_eq!(looks, 0, "alice's calls are read again and again");
}
