//! Promise 2 over SIGKILL: a device that was told that it holds the call holds it afterwards, and no other ever does.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Dice, Reply, Stage};

/// Calls that are answered at once.
const CALLS: usize = 12;
/// Devices that answer each.
const DEVICES: usize = 5;

/// One device in one call.
struct Racer {
    call: Value,
    device: String,
    ticket: String,
}

async fn racers(stage: &Stage<crate::support::Process>) -> Vec<Racer> {
    let of_call = |n: usize| async move {
        let callee = format!("callee-{n}");
        let phones = join_all((0..DEVICES).map(|device| {
            let callee = callee.clone();
            async move { stage.pixel(&callee, &format!("phone-{device}")).await }
        }))
        .await;
        let call = stage.invite(&format!("caller-{n}"), &callee).await["call"]["id"].take();
        let racer = |phone| {
            let call = call.clone();
            async move {
                let phone: &crate::support::Device = phone;
                let ticket = stage.ticket(phone, &call).await;
                Racer { call, device: phone.id.clone(), ticket }
            }
        };
        join_all(phones.iter().map(racer)).await
    };
    join_all((0..CALLS).map(of_call)).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn promise_2_a_device_that_was_told_that_it_holds_the_call_holds_it_after_a_kill() {
    let mut stage = Stage::of_process("").await;
    let mut dice = Dice::new("killed while devices race");
    let mut racers = racers(&stage).await;
    dice.shuffle(&mut racers);
    let kill_at = dice.roll(1..racers.len());

    let http = &stage.http.clone();
    let mut answers: FuturesUnordered<_> =
        racers
            .iter()
            .map(|racer| async move {
                (racer, http.try_post(&path(&racer.call, "answer"), &racer.ticket, &json!({})).await)
            })
            .collect();
    let mut told: HashMap<String, String> = HashMap::new();
    let mut replies = 0;
    while let Some((racer, reply)) = answers.next().await {
        if reply.is_ok_and(|reply| holds(&reply)) {
            let other = told.insert(racer.call.to_string(), racer.device.clone());
            assert_eq!(other, None, "two were told that they hold {}", racer.call);
        }
        replies += 1;
        if replies == kill_at {
            stage.gateway.kill().await;
        }
    }
    println!("{} of {CALLS} calls were answered before the kill", told.len());
    drop(answers);
    stage.start_again().await;

    dice.shuffle(&mut racers);
    let again = |racer| {
        let http = &stage.http;
        async move {
            let racer: &Racer = racer;
            (racer, http.post(&path(&racer.call, "answer"), &racer.ticket, json!({})).await)
        }
    };
    let mut holders: HashMap<String, &str> = HashMap::new();
    for (racer, reply) in join_all(racers.iter().map(again)).await {
        if holds(&reply) {
            assert_eq!(holders.insert(racer.call.to_string(), &racer.device), None, "two hold {}", racer.call);
        }
    }
    assert_eq!(holders.len(), CALLS);
    for racer in &racers {
        let holder = holders[&racer.call.to_string()];
        assert_eq!(stage.call(&racer.call).await["answered_by"], holder);
    }
    for (call, device) in told {
        assert_eq!(holders[&call], device, "what was told before the kill holds");
    }
}

fn holds(reply: &Reply) -> bool {
    assert!([200, 409].contains(&reply.status), "{}", reply.text);
    assert_eq!(reply.status == 200, reply.json["livekit"]["token"].is_string());
    reply.status == 200
}
