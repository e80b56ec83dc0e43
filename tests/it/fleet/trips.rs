//! What a call costs at a real Redis: round trips in sequence of what a person waits for, and commands and bytes of the whole.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Device, Fleet, bearer};

/// What a gateway does beside (sweeps, signs of life) counts in, so the fewest of several tries is the truth.
const TRIES: usize = 20;

/// A callee with two phones, and a gateway behind a proxy that has made a call before: it knows the scripts.
async fn scene(server: &RedisServer) -> (Fleet, [Device; 2]) {
    let fleet = Fleet::behind_proxies(server, &[0, 0], 1).await;
    let phones = [fleet[0].iphone("bob", "iphone").await, fleet[0].pixel("bob", "pixel").await];
    whole_call(&fleet, &phones).await;
    (fleet, phones)
}

/// Alice calls bob, whose phones ring and one of whom answers, and hangs up; each step at the gateway that the proxy counts.
async fn whole_call(fleet: &Fleet, phones: &[Device; 2]) -> [u64; 2] {
    let gateway = &fleet[0];
    let before = fleet.proxy(0).turns();
    let call = gateway.invite("alice", "bob").await["call"]["id"].take();
    let invite = fleet.proxy(0).turns() - before;
    let tickets = [gateway.ticket(&phones[0], &call).await, gateway.ticket(&phones[1], &call).await];
    let alerting = path(&call, "alerting");
    join_all(tickets.iter().map(|ticket| gateway.http.post(&alerting, ticket, json!({})))).await;
    settled(fleet, &call).await;
    let before = fleet.proxy(0).turns();
    gateway.http.post(&path(&call, "answer"), &tickets[1], json!({})).await.expect(200);
    let answer = fleet.proxy(0).turns() - before;
    gateway.push("cancel", &phones[0].notice_token, &call).await;
    gateway.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    settled(fleet, &call).await;
    [invite, answer]
}

/// Waits until nothing is left to be done for a call: its record changes no more.
async fn settled(fleet: &Fleet, call: &Value) {
    let id = bellwire::domain::CallId::parse(call.as_str().expect("an id")).expect("an id");
    let quiet = async {
        loop {
            let call = fleet[1].gateway.engine.call(id, &bellwire::engine::Asker::Service).await.expect("a call");
            if call.tasks.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::support::SOON, quiet).await.expect("its tasks are done");
}

#[tokio::test]
async fn an_invite_takes_at_most_four_round_trips_and_an_answer_three() {
    let Some(server) = RedisServer::shared().await else { return };
    let (fleet, phones) = scene(server).await;
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        tries.push(whole_call(&fleet, &phones).await);
    }
    let fewest = [0, 1].map(|step| tries.iter().map(|took| took[step]).min().expect("tries"));
    println!("round trips in sequence: invite {}, answer {}; of all tries {tries:?}", fewest[0], fewest[1]);
    assert!(fewest[0] <= 4 && fewest[1] <= 3, "{fewest:?}");
}

/// The command of a request; of a script's, on how many keys: commit 5, claim of the caller 4 and of the callee 6, with 2 and 1
/// rates; a freed line 1.
fn command(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let words: Vec<&str> = text.split("\r\n").collect();
    let name = words.get(2).copied().unwrap_or_default().to_uppercase();
    if name == "EVALSHA" { format!("{name} on {} keys", words[6]) } else { name }
}

/// Whether a gateway asks this on its own, calls or not.
fn is_idle(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let of_sweep = text.contains("ZRANGE") && text.contains("BYSCORE");
    of_sweep
        || text.contains(":notices\r\n") && text.contains("\r\nGET\r\n")
        || text.contains("\r\nTIME\r\n")
        || text.contains(":instances\r\n")
}

/// What passed the proxy while something was done: requests of its own accord, those of the gateway's own accord, and bytes of answers.
async fn passed<T>(fleet: &Fleet, doing: impl Future<Output = T>) -> (Vec<Vec<u8>>, usize, usize) {
    let before = fleet.proxy(0).traffic().bytes_to_client;
    fleet.proxy(0).record();
    doing.await;
    let (idle, requests): (Vec<_>, Vec<_>) =
        fleet.proxy(0).recorded().into_iter().partition(|request| is_idle(request));
    (requests, idle.len(), fleet.proxy(0).traffic().bytes_to_client - before)
}

#[tokio::test]
async fn commands_and_bytes_of_a_call_are_counted() {
    let Some(server) = RedisServer::shared().await else { return };
    let (fleet, phones) = scene(server).await;
    let (_, idle, idle_bytes) = passed(&fleet, tokio::time::sleep(Duration::from_secs(3))).await;
    let calls = async {
        for _ in 0..TRIES {
            whole_call(&fleet, &phones).await;
        }
    };
    let (requests, beside, answered) = passed(&fleet, calls).await;
    let answered = answered.saturating_sub(idle_bytes * beside / idle);
    let mut by_command: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for request in &requests {
        let (count, bytes) = by_command.entry(command(request)).or_default();
        (*count, *bytes) = (*count + 1, *bytes + request.len());
    }
    let sent: usize = requests.iter().map(Vec::len).sum();
    let commands = requests.len() / TRIES;
    println!(
        "a call from invite to end, two phones: {commands} commands, {} bytes to Redis, about {} from it",
        sent / TRIES,
        answered / TRIES
    );
    for (command, (count, bytes)) in &by_command {
        println!("  {command}: {:.1} a call, {} bytes each", ratio(*count, TRIES), bytes / count);
    }
    // Three steps of an invite, two pushes and rings, an answer, an end with its stops and lines: no more than a few for each.
    assert!(commands <= 60, "{by_command:?}");
}

fn ratio(count: usize, of: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a few")) / f64::from(u32::try_from(of).expect("a few"))
}
