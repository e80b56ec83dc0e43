//! Promise 5 over SIGKILL: nobody stays busy.

use std::time::{Duration, Instant};

use bellwire::domain::UserId;
use bellwire::store::embedded::Embedded;
use bellwire::store::{Admits, Claim, Role, Store};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::people::{invite_body, path};
use crate::support::{Dice, Process, SOON, Stage, bearer, service_bearer};

/// Puts a claim on a user's line, as an invite does that dies before its commit.
async fn orphan(stage: &Stage<Process>, store: &Embedded, user: &str, peer: &str, role: Role, age: Duration) {
    let id = |name: &str| UserId::new(name).expect("a user");
    let at = stage.clock.now() - age;
    let call = stage.clock.call_id();
    let claim = Claim { user: id(user), call, peer: id(peer), role, at, until: at + Duration::from_hours(5) };
    match role {
        Role::Caller => drop(store.open_line(claim, None, &[]).await.expect("a claim")),
        Role::Callee => drop(store.ring_line(claim, &[], Admits::All).await.expect("a claim")),
    }
}

/// Has a user called, who must not be busy.
async fn call(stage: &Stage<Process>, callee: &str) {
    let call = stage.invite(&format!("caller-of-{callee}"), callee).await["call"].take();
    assert_eq!(call["state"], "calling", "{callee}: {call}");
}

#[tokio::test]
async fn promise_5_claims_of_invites_that_died_hold_nobody_up_for_long() {
    let mut stage = Stage::of_process("").await;
    let erins: Vec<String> = (0..5).map(|number| format!("erin-{number}")).collect();
    for callee in ["bob", "carol", "dave"].into_iter().chain(erins.iter().map(String::as_str)) {
        stage.iphone(callee, "iphone").await;
    }
    stage.gateway.kill().await;
    let file = stage.config_file.with_file_name("calls.redb");
    let store = Embedded::open(&file, Duration::from_secs(5), stage.clock.clone()).expect("the store");
    let new = Duration::ZERO;
    let old = Duration::from_mins(10);
    // Somebody was calling bob; carol was calling somebody; dave was calling his caller (glare); each erin, all of it and long ago.
    orphan(&stage, &store, "bob", "zoe", Role::Callee, new).await;
    orphan(&stage, &store, "carol", "zoe", Role::Caller, new).await;
    orphan(&stage, &store, "dave", "caller-of-dave", Role::Caller, new).await;
    orphan(&stage, &store, "caller-of-dave", "dave", Role::Callee, new).await;
    for erin in &erins {
        let caller = format!("caller-of-{erin}");
        orphan(&stage, &store, erin, "zoe", Role::Callee, old).await;
        orphan(&stage, &store, erin, &caller, Role::Caller, old).await;
        orphan(&stage, &store, &caller, erin, Role::Caller, old).await;
    }
    store.close().await;
    drop(store);
    stage.start_again().await;
    let called = ["bob", "carol", "dave"].map(|callee| call(&stage, callee));
    timeout(SOON, join_all(called)).await.expect("a claim holds nobody up for hours");
    let mut took = Vec::new();
    for erin in &erins {
        let began = Instant::now();
        call(&stage, erin).await;
        took.push(began.elapsed());
    }
    // A new one holds up for 1.5 s. A machine that is busy makes some of them slow.
    assert!(took.iter().min() < Some(&Duration::from_secs(1)), "an old claim holds nobody up: {took:?}");
}

#[tokio::test]
async fn promise_5_killed_in_a_burst_and_all_can_be_called_again_when_their_calls_are_over() {
    const PAIRS: usize = 60;
    /// How many are under way at a time, so that the kill comes in the midst of them.
    const AT_ONCE: usize = 12;
    let mut stage = Stage::of_process("").await;
    let mut dice = Dice::new("killed in a burst of calls");
    join_all((0..PAIRS).flat_map(|n| [format!("caller-{n}"), format!("callee-{n}")]).map(|user| {
        let stage = &stage;
        async move { stage.pixel(&user, "pixel").await }
    }))
    .await;
    let http = &stage.http.clone();
    let course = |n: usize| async move {
        let caller = bearer(&format!("caller-{n}"));
        let reply = http.try_post("/v1/calls", &caller, &invite_body(&format!("callee-{n}"), 5)).await.ok()?;
        let call = reply.expect(201)["call"]["id"].take();
        // A third hang up at once; of two thirds the call rings on.
        let ended = n.is_multiple_of(3) && http.try_post(&path(&call, "cancel"), &caller, &json!({})).await.is_ok();
        Some((call, ended))
    };
    let mut courses = stream::iter((0..PAIRS).map(course)).buffer_unordered(AT_ONCE);
    let (mut done, kill_at) = (0, dice.roll(1..PAIRS));
    while courses.next().await.is_some() {
        done += 1;
        if done == kill_at {
            stage.gateway.kill().await;
        }
    }
    stage.start_again().await;
    // Acknowledged or not: whatever call there is ends here, and then everybody is free at once.
    join_all((0..PAIRS).map(|n| end_calls(&stage, n))).await;
    let again = |n: usize| {
        let stage = &stage;
        async move {
            for user in [format!("callee-{n}"), format!("caller-{n}")] {
                let call = stage.invite(&format!("friend-of-{user}"), &user).await["call"].take();
                assert_eq!(call["state"], "calling", "{user} is still busy");
            }
        }
    };
    join_all((0..PAIRS).map(again)).await;
}

/// Ends whatever calls a caller has.
async fn end_calls(stage: &Stage<Process>, n: usize) {
    let mine = stage.http.get("/v1/calls", &bearer(&format!("caller-{n}"))).await.expect(200);
    let calls: Vec<Value> = mine["calls"].as_array().expect("calls").clone();
    for call in calls.iter().filter(|call| call["state"] != "ended") {
        stage.http.post(&path(&call["id"], "cancel"), service_bearer(), json!({})).await.expect(200);
    }
}
