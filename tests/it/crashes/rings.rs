//! Promises 3 and 4 over SIGKILL: every device is tried although the gateway died between commit and send, and none rings
//! for a call that had ended.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use crate::support::people::{invite_body, path, push_data};
use crate::support::{BUSY, Device, Dice, Process, SOON, Stage, bearer, rfc3339};

const CALLS: usize = 20;
/// How many invites are under way at a time, so that the kill comes in the midst of them.
const AT_ONCE: usize = 6;

async fn phones(stage: &Stage<Process>) -> Vec<[Device; 2]> {
    join_all((0..CALLS).map(|n| async move {
        let user = format!("callee-{n}");
        [stage.iphone(&user, "iphone").await, stage.pixel(&user, "pixel").await]
    }))
    .await
}

#[tokio::test]
async fn promise_3_killed_with_pushes_in_flight_or_not_sent_and_every_device_is_tried() {
    // Nothing is ever answered before the kill: every ring is in flight, or not sent yet.
    let tried = [("apns delay 1m", "fcm delay 1m"), ("apns half-open", "fcm half-open")].map(|rules| async move {
        let mut stage = Stage::of_process("").await;
        let mut dice = Dice::new("killed with pushes in flight");
        let phones = phones(&stage).await;
        for rule in [rules.0, rules.1] {
            stage.simulator.add_rule(rule.parse().expect(rule));
        }
        let calls = invite_until_killed(&mut stage, dice.roll(1..CALLS)).await;
        let before = stage.pushes().count();
        let sent: HashMap<(String, String), String> = ring_ids(&stage);
        stage.simulator.clear_rules();
        let ready = stage.start_again().await;

        let mut waited = Vec::new();
        for (n, call) in &calls {
            for (phone, lease) in phones[*n].iter().zip([3, 5].map(Duration::from_secs)) {
                let is_it = |push: &bellwire::simulator::Received| {
                    let data = push_data(push);
                    push.number > before
                        && push.target.as_deref() == Some(&phone.ring_token)
                        && data["type"] == "ring"
                        && data["call_id"] == call["id"]
                };
                let ring = stage.pushes().wait_for(SOON, is_it).await;
                let ring = ring.unwrap_or_else(|| panic!("{} {} was not tried", phone.user, phone.id));
                let due = (rfc3339(&call["created_at"]) + lease).max(ready);
                assert!(ring.at <= due + BUSY, "{:?} after its lease", ring.at.since(due));
                waited.push(ring.at.since(due));
                if let (Some(id), Some(earlier)) =
                    (ring.header("apns-id"), sent.get(&(call["id"].to_string(), phone.ring_token.clone())))
                {
                    assert_eq!(id, earlier, "the same push again has the same id");
                }
            }
        }
        let longest = waited.iter().max().expect("calls");
        println!("{}: {} calls, taken up at most {longest:?} after lease or start", rules.0, calls.len());
    });
    join_all(tried).await;
}

/// The `apns-id` of each ring so far, by call and token.
fn ring_ids(stage: &Stage<Process>) -> HashMap<(String, String), String> {
    let pushes = stage.pushes().all();
    let id = |push: &std::sync::Arc<bellwire::simulator::Received>| {
        let key = (push_data(push)["call_id"].to_string(), push.target.clone()?);
        Some((key, push.header("apns-id")?.to_owned()))
    };
    pushes.iter().filter_map(id).collect()
}

/// Sends an invite to every callee, kills the gateway when so many are acknowledged, and gives those that were.
async fn invite_until_killed(stage: &mut Stage<Process>, acknowledged: usize) -> Vec<(usize, Value)> {
    let http = &stage.http.clone();
    let invite = |n| async move {
        let body = invite_body(&format!("callee-{n}"), 20);
        (n, http.try_post("/v1/calls", &bearer(&format!("caller-{n}")), &body).await)
    };
    let mut invites = stream::iter((0..CALLS).map(invite)).buffer_unordered(AT_ONCE);
    let mut calls = Vec::new();
    while let Some((n, reply)) = invites.next().await {
        if let Ok(reply) = reply {
            calls.push((n, reply.expect(201)["call"].take()));
            if calls.len() == acknowledged {
                stage.gateway.kill().await;
            }
        }
    }
    calls
}

#[tokio::test]
async fn promise_4_killed_after_calls_have_ended_and_nothing_rings_for_them() {
    let mut stage = Stage::of_process("").await;
    let mut dice = Dice::new("killed among cancels");
    let phones = phones(&stage).await;
    for rule in ["50% of apns 503", "50% of fcm 503", "apns delay 300ms", "fcm delay 300ms"] {
        stage.simulator.add_rule(rule.parse().expect(rule));
    }
    let calls = join_all((0..CALLS).map(|n| {
        let stage = &stage;
        async move { stage.invite(&format!("caller-{n}"), &format!("callee-{n}")).await["call"]["id"].take() }
    }))
    .await;
    // One of each, so that rings are out, in flight and waiting to be tried again.
    stage.push("ring", &phones[0][0].ring_token, &calls[0]).await;
    stage.push("ring", &phones[0][1].ring_token, &calls[0]).await;
    let http = &stage.http.clone();
    let mut cancels: FuturesUnordered<_> = calls
        .iter()
        .enumerate()
        .map(|(n, call)| async move {
            (n, http.try_post(&path(call, "cancel"), &bearer(&format!("caller-{n}")), &json!({})).await)
        })
        .collect();
    let (mut ended, kill_at) = (HashMap::new(), dice.roll(1..CALLS));
    while let Some((n, reply)) = cancels.next().await {
        if let Ok(reply) = reply {
            ended.insert(n, rfc3339(&reply.expect(200)["call"]["ended_at"]));
            if ended.len() == kill_at {
                stage.gateway.kill().await;
            }
        }
    }
    let before = stage.pushes().count();
    stage.simulator.clear_rules();
    stage.start_again().await;
    for n in ended.keys() {
        for phone in &phones[*n] {
            stage.push("missed", &phone.notice_token, &calls[*n]).await;
        }
    }
    for push in stage.pushes().all().iter().filter(|push| push_data(push)["type"] == "ring") {
        let n = calls.iter().position(|call| *call == push_data(push)["call_id"]).expect("one of the calls");
        if let Some(at) = ended.get(&n) {
            assert!(push.at.since(*at) <= BUSY, "a ring {:?} after the end", push.at.since(*at));
            assert!(push.number <= before, "a ring of an ended call after the restart");
        }
    }
}
