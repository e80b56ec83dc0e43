//! Events across instances: who is connected here hears of what is done there, in order and without a gap.

use std::time::Instant;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Stream;
use super::moving::move_about;
use crate::support::people::path;
use crate::support::redis::{RedisCluster, RedisServer};
use crate::support::{Device, Dice, Fleet, bearer};

/// What bob's phone or alice does at the other gateway, and what is heard of it.
const COURSES: [(&[&str], &[&str]); 5] = [
    (&["alerting", "answer", "hangup"], &["call.invited", "call.ringing", "call.answered", "call.ended"]),
    (&["answer", "hangup"], &["call.invited", "call.answered", "call.ended"]),
    (&["alerting", "decline"], &["call.invited", "call.ringing", "call.declined", "call.ended"]),
    (&["decline"], &["call.invited", "call.declined", "call.ended"]),
    (&["alerting", "cancel"], &["call.invited", "call.ringing", "call.cancelled", "call.ended"]),
];

/// Every course, with alice's streams at the first gateway and all that is done at the second.
async fn hear_every_course(fleet: &Fleet) {
    let phone = fleet[1].pixel("bob", "pixel").await;
    let mut streams = Stream::both(&fleet[0], "alice", "").await;
    let mut slowest = std::time::Duration::ZERO;
    for (verbs, expected) in COURSES {
        let call = fleet[0].invite("alice", "bob").await["call"]["id"].take();
        let ticket = fleet[1].ticket(&phone, &call).await;
        let alice = bearer("alice");
        for verb in verbs {
            let token = if *verb == "cancel" { &alice } else { &ticket };
            fleet[1].http.post(&path(&call, verb), token, json!({})).await.expect(200);
        }
        let done = Instant::now();
        for stream in &mut streams {
            assert_eq!(stream.story(&call).await, *expected, "{verbs:?}");
        }
        slowest = slowest.max(done.elapsed());
    }
    println!("the last event was heard within {slowest:?} of the answer to the last request");
}

#[tokio::test]
async fn what_is_done_at_one_gateway_is_heard_at_the_other_in_order() {
    let Some(server) = RedisServer::shared().await else { return };
    hear_every_course(&Fleet::start(server, 2).await).await;
}

#[tokio::test]
async fn what_is_done_at_one_gateway_is_heard_at_the_other_also_on_a_cluster() {
    let Some(cluster) = RedisCluster::shared().await else { return };
    let fleet = Fleet::at(&cluster.url(), 3).await;
    // Calls of every node.
    for _ in 0..3 {
        hear_every_course(&fleet).await;
    }
    move_about(&fleet, 3).await;
}

/// Requests that race for a call, each at a gateway that the dice choose; one of them at least ends it.
async fn race(fleet: &Fleet, dice: &mut Dice, call: &Value, callers: &str, phones: &[Device]) {
    let mut requests = vec![("cancel", bearer(callers), dice.roll(0..3))];
    for phone in phones {
        let ticket = fleet[0].ticket(phone, call).await;
        for verb in ["alerting", ["answer", "decline"][dice.roll(0..2)]] {
            requests.push((verb, ticket.clone(), dice.roll(0..3)));
        }
    }
    dice.shuffle(&mut requests);
    let sent = requests.iter().map(|(verb, token, gateway)| async move {
        let reply = fleet[*gateway].http.post(&path(call, verb), token, json!({})).await;
        assert!([200, 409].contains(&reply.status), "{verb}: {}", reply.text);
    });
    join_all(sent).await;
}

#[tokio::test]
async fn both_parties_hear_the_same_story_at_every_gateway_whoever_races() {
    const PAIRS: usize = 8;
    const CALLS: usize = 4;
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = &Fleet::start(server, 3).await;
    let pair = async |pair: usize| {
        let mut dice = Dice::new("racing requests");
        let (caller, callee) = (format!("caller-{pair}"), format!("callee-{pair}"));
        let phones = [fleet[0].pixel(&callee, "pixel").await, fleet[1].iphone(&callee, "iphone").await];
        let mut streams = Vec::new();
        for user in [&caller, &callee] {
            for gateway in 0..3 {
                streams.extend(Stream::both(&fleet[gateway], user, "").await);
            }
        }
        for _ in 0..CALLS {
            let call = fleet[dice.roll(0..3)].invite(&caller, &callee).await["call"]["id"].take();
            race(fleet, &mut dice, &call, &caller, &phones).await;
            let stories = join_all(streams.iter_mut().map(|stream| stream.story(&call))).await;
            for story in &stories {
                assert_eq!(story, &stories[0]);
            }
        }
    };
    join_all((0..PAIRS).map(pair)).await;
}
