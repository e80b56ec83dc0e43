//! Promise 1 over SIGKILL: a call that was acknowledged ends, at the right time.

use std::collections::HashMap;
use std::time::Duration;

use bellwire::domain::Timestamp;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::people::{invite_body, push_data};
use crate::support::{BUSY, Device, Dice, Process, SOON, Stage, bearer, rfc3339};

/// Invites in a burst.
const BURST: usize = 200;
/// How many are under way at a time: few enough that the kill comes in the midst of them, and not when all are answered.
const AT_ONCE: usize = 40;
/// The shortest ring that there is, in seconds.
const RING: u64 = 5;

#[tokio::test]
async fn promise_1_killed_in_a_burst_of_invites_and_every_acknowledged_call_ends() {
    let mut dice = Dice::new("killed in a burst of invites");
    let moments: Vec<usize> = (0..3).map(|_| dice.roll(1..BURST)).collect();
    let late = futures_util::future::join_all(moments.into_iter().map(killed_in_a_burst)).await;
    let mut late: Vec<Duration> = late.into_iter().flatten().collect();
    late.sort();
    println!("{} calls: median {:?} late, the last {:?}", late.len(), late[late.len() / 2], late[late.len() - 1]);
}

/// Kills the gateway when so many invites are acknowledged, and tells how late the calls ended.
async fn killed_in_a_burst(acknowledged: usize) -> Vec<Duration> {
    let mut stage = Stage::of_process("").await;
    let phones = register(&stage).await;
    let calls = burst(&mut stage, acknowledged).await;
    let ready = stage.start_again().await;
    assert!(calls.len() >= acknowledged);
    println!("killed at {acknowledged} of {BURST}; {} were acknowledged", calls.len());
    for (n, call) in &calls {
        let now = stage.call(&call["id"]).await;
        assert_eq!((&now["created_at"], &now["ring_until"]), (&call["created_at"], &call["ring_until"]));
        let missed = stage.push("missed", &phones[*n].notice_token, &call["id"]).await;
        assert_eq!(push_data(&missed)["caller_id"], format!("caller-{n}"));
    }
    let mut late = Vec::new();
    for call in calls.values() {
        late.push(lateness(&stage, call, ready).await);
    }
    late
}

/// How late a call ended, which it must not have done before it was due.
async fn lateness(stage: &Stage<Process>, call: &Value, ready: Timestamp) -> Duration {
    let ended = stage.call(&call["id"]).await;
    assert_eq!(ended["end_reason"], "timed_out", "{ended}");
    let (due, at) = (rfc3339(&call["ring_until"]), rfc3339(&ended["ended_at"]));
    assert!(at >= due, "ended {:?} before it was due", due.since(at));
    let late = at.since(due.max(ready));
    assert!(late <= BUSY, "{late:?} late");
    late
}

async fn register(stage: &Stage<Process>) -> Vec<Device> {
    let phones = (0..BURST).map(|n| {
        let user = format!("callee-{n}");
        async move { if n % 2 == 0 { stage.iphone(&user, "phone").await } else { stage.pixel(&user, "phone").await } }
    });
    futures_util::future::join_all(phones).await
}

/// Sends a burst of invites, kills the gateway when so many are acknowledged, and gives those that were.
async fn burst(stage: &mut Stage<Process>, acknowledged: usize) -> HashMap<usize, Value> {
    let http = &stage.http.clone();
    let invite = |n| async move {
        let body = invite_body(&format!("callee-{n}"), RING);
        (n, http.try_post("/v1/calls", &bearer(&format!("caller-{n}")), &body).await)
    };
    let mut invites = stream::iter((0..BURST).map(invite)).buffer_unordered(AT_ONCE);
    let mut calls = HashMap::new();
    while let Some((n, reply)) = timeout(SOON, invites.next()).await.expect("in time") {
        if let Ok(reply) = reply {
            calls.insert(n, reply.expect(201)["call"].take());
            if calls.len() == acknowledged {
                stage.gateway.kill().await;
            }
        }
    }
    calls
}
