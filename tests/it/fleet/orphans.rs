//! What a gateway that was killed leaves behind: its calls end in time, and what it was doing is done by another.

use std::time::Duration;

use bellwire::domain::Timestamp;
use bellwire::simulator::Received;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::redis::RedisServer;
use crate::support::{BUSY, Device, Fleet, Process, SOON, Stage, bearer, rfc3339};

/// The shortest ring that there is, in seconds.
const RING: u64 = 5;

/// So many callees with a phone each.
async fn phones(stage: &Stage<Process>, count: usize) -> Vec<Device> {
    let register = |n: usize| async move {
        let callee = format!("callee-{n}");
        if n.is_multiple_of(2) { stage.iphone(&callee, "phone").await } else { stage.pixel(&callee, "phone").await }
    };
    join_all((0..count).map(register)).await
}

async fn invite(stage: &Stage<Process>, n: usize) -> Value {
    let reply = stage.invite_for(&format!("caller-{n}"), &format!("callee-{n}"), RING).await;
    reply.expect(201)["call"].take()
}

/// Waits for the timeout of a call, as its caller hears it here, and gives how late that was.
async fn timed_out(stage: &Stage<Process>, call: &Value, caller: &str) -> Duration {
    let due = rfc3339(&call["ring_until"]);
    assert_eq!(stage.ended(caller, &call["id"]).await, "timed_out");
    let heard = stage.clock.now();
    let ended = rfc3339(&stage.call(&call["id"]).await["ended_at"]);
    assert!(ended >= due && heard >= due, "early: due {due:?}, ended {ended:?}, heard {heard:?}");
    let late = ended.since(due);
    assert!(late <= BUSY, "{late:?} late");
    late
}

fn print_lateness(mut late: Vec<Duration>) {
    late.sort();
    println!("{} calls: median {:?} late, the last {:?}", late.len(), late[late.len() / 2], late[late.len() - 1]);
}

#[tokio::test]
async fn calls_of_a_killed_gateway_are_timed_out_by_another_in_time() {
    const CALLS: usize = 60;
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    let phones = phones(&fleet[0], CALLS).await;
    let calls = join_all((0..CALLS).map(|n| invite(&fleet[0], n))).await;
    for (phone, call) in phones.iter().zip(&calls).take(CALLS / 3) {
        fleet[0].ring(phone, &call["id"]).await;
    }
    fleet[0].gateway.kill().await;
    let survivor = &fleet[1];
    let timed_out =
        calls.iter().enumerate().map(async |(n, call)| timed_out(survivor, call, &format!("caller-{n}")).await);
    print_lateness(join_all(timed_out).await);
    for (phone, call) in phones.iter().zip(&calls) {
        survivor.push("missed", &phone.notice_token, &call["id"]).await;
    }
}

#[tokio::test]
async fn a_gateway_killed_in_the_midst_of_its_timeouts_leaves_none_out() {
    const CALLS: usize = 80;
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    let phones = phones(&fleet[0], CALLS).await;
    let calls = join_all((0..CALLS).map(|n| invite(&fleet[0], n))).await;
    let is_missed = |push: &Received| push_data(push)["type"] == "missed";
    fleet.pushes().wait_for(Duration::from_secs(RING) + SOON, is_missed).await.expect("the first timeout");
    fleet[0].gateway.kill().await;
    let ended_by_it = fleet.pushes().all().iter().filter(|push| is_missed(push)).count();
    let survivor = &fleet[1];
    let timed_out =
        calls.iter().enumerate().map(async |(n, call)| timed_out(survivor, call, &format!("caller-{n}")).await);
    print_lateness(join_all(timed_out).await);
    println!("{ended_by_it} of {CALLS} were pushed about before the kill");
    for (phone, call) in phones.iter().zip(&calls) {
        survivor.push("missed", &phone.notice_token, &call["id"]).await;
    }
}

/// How long after `since` the second push of a kind came to a device; there is no third.
async fn second_push(fleet: &Fleet<Process>, token: &str, kind: &str, since: Timestamp) -> Duration {
    let is_it = |push: &Received| push.target.as_deref() == Some(token) && push_data(push)["type"] == kind;
    let first = fleet.pushes().wait_for(SOON, is_it).await.expect("the first push");
    let is_next = |push: &Received| is_it(push) && push.number > first.number;
    let second = fleet.pushes().wait_for(SOON, is_next).await.expect("another push");
    second.at.since(since)
}

#[tokio::test]
async fn a_push_whose_gateway_was_killed_is_begun_again_by_one_other_after_its_lease() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 3, "").await;
    let iphone = fleet[0].iphone("bob", "iphone").await;
    let pixel = fleet[0].pixel("bob", "pixel").await;
    // One provider never answers, the other one late.
    for rule in ["apns half-open", "fcm delay 30s"] {
        fleet.simulator().add_rule(rule.parse().expect("a rule"));
    }
    let call = fleet[0].invite("alice", "bob").await["call"].take();
    let begun = rfc3339(&call["created_at"]);
    for phone in [&iphone, &pixel] {
        fleet[0].push("ring", &phone.ring_token, &call["id"]).await;
    }
    fleet[0].gateway.kill().await;
    fleet.simulator().clear_rules();
    let (apns, fcm) = tokio::join!(
        second_push(&fleet, &iphone.ring_token, "ring", begun),
        second_push(&fleet, &pixel.ring_token, "ring", begun),
    );
    println!("begun again after {apns:?} (lease 3 s) and {fcm:?} (lease 5 s)");
    for (took, lease) in [(apns, Duration::from_secs(3)), (fcm, Duration::from_secs(5))] {
        assert!(took >= lease, "{took:?}: the lease of {lease:?} is not over");
        assert!(took <= lease + BUSY, "{took:?} with a lease of {lease:?}");
    }
    let pushes = fleet[1].pushed("ring", &call["id"]);
    assert_eq!(pushes, 4, "two gateways live, and each push is begun again by one of them");
    fleet[1].http.post(&path(&call["id"], "cancel"), &bearer("alice"), json!({})).await.expect(200);
}

#[tokio::test]
async fn what_the_end_of_a_call_asked_for_is_done_though_its_gateway_was_killed() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 2, "").await;
    let iphone = fleet[0].iphone("bob", "iphone").await;
    let call = fleet[0].invite("alice", "bob").await["call"]["id"].take();
    fleet[0].ring(&iphone, &call).await;
    fleet.simulator().add_rule("apns half-open".parse().expect("a rule"));
    fleet[0].http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let ended = rfc3339(&fleet[1].call(&call).await["ended_at"]);
    for kind in ["cancel", "missed"] {
        fleet[0].push(kind, &iphone.notice_token, &call).await;
    }
    fleet[0].gateway.kill().await;
    fleet.simulator().clear_rules();
    let (stop, missed) = tokio::join!(
        second_push(&fleet, &iphone.notice_token, "cancel", ended),
        second_push(&fleet, &iphone.notice_token, "missed", ended),
    );
    println!("stop again after {stop:?}, missed call after {missed:?} (lease 3 s)");
    for took in [stop, missed] {
        assert!(took <= Duration::from_secs(3) + BUSY, "{took:?}");
    }
}
