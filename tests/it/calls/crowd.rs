//! One hot callee: very many call the same user in one moment, each on a connection of their own.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::support::redis::RedisServer;
use crate::support::{Fleet, Reply, Stage};

const CALLERS: usize = 200;
/// Of all that a store is asked for one invite: devices, up to so many claims as there may be, the record of the call that rings.
const MOST_BYTES: usize = 16 * 1024;

/// What a caller is told, in a word.
fn word(reply: &Reply) -> String {
    let call = &reply.json["call"];
    let end = call["end_reason"].as_str().or(call["state"].as_str()).unwrap_or(&reply.text);
    format!("{} {end}", reply.status)
}

async fn everybody_calls_bob<G>(stage: &Stage<G>) {
    let callers: Vec<String> = (0..CALLERS).map(|number| format!("caller-{number}")).collect();
    let replies = join_all(callers.iter().map(|caller| stage.invite_for(caller, "bob", 60))).await;
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    for reply in &replies {
        *words.entry(word(reply)).or_default() += 1;
    }
    let expected = [("201 busy".to_owned(), CALLERS - 1), ("201 calling".to_owned(), 1)];
    assert_eq!(words, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_very_many_callers_at_once_one_rings_on_the_embedded_store() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel").await;
    everybody_calls_bob(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_very_many_callers_at_once_one_rings_on_redis() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::proxied(server, "").await;
    fleet[0].pixel("bob", "pixel").await;
    let before = fleet.proxy(0).traffic().bytes_to_client;
    everybody_calls_bob(&fleet[0]).await;
    let bytes = fleet.proxy(0).traffic().bytes_to_client - before;
    // However many call, what the store says to each does not grow.
    assert!(bytes < CALLERS * MOST_BYTES, "{} bytes an invite", bytes / CALLERS);
}
