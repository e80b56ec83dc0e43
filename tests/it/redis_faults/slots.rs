//! A slot of a cluster moves to another master while it is used.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{TIMEOUT, expect_unavailable, in_time, stage_with};
use crate::support::people::path;
use crate::support::redis::{RedisCluster, store_config};
use crate::support::{Stage, bearer};

/// How long a slot is between two masters.
const MOVE: Duration = Duration::from_millis(200);

/// Two gateways on a cluster.
async fn gateways(cluster: &RedisCluster) -> (Stage, Stage) {
    let config = store_config(&cluster.url(), &[]);
    (stage_with(config.clone()).await, stage_with(config).await)
}

/// The slot of the key that ends so.
async fn slot_of(cluster: &RedisCluster, end: &str) -> u16 {
    for master in &cluster.masters {
        let keys: Vec<String> = master.read(&["KEYS", &format!("*:{end}")]).await;
        if let Some(key) = keys.first() {
            return cluster.slot(key).await;
        }
    }
    panic!("no master has {end}")
}

/// Moves a slot from where it is to the next master.
async fn move_on(cluster: &RedisCluster, slot: u16) {
    let to = (cluster.owner(slot).await + 1) % cluster.masters.len();
    let moving = cluster.begin_move(slot, to).await;
    sleep(MOVE).await;
    moving.finish().await;
}

#[tokio::test]
async fn a_call_goes_on_while_its_slot_moves_and_its_events_arrive() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let (here, there) = gateways(&cluster).await;
    let phone = there.pixel("bob", "phone").await;
    let call = there.invite("ann", "bob").await["call"]["id"].clone();
    let slot = slot_of(&cluster, &format!("call:{}", call.as_str().expect("an id"))).await;
    let (mut reader, _) = here.events(&bearer("ann"), "").await;
    let ticket = there.ticket(&phone, &call).await;
    // What is asked while the slot is between two masters waits for the move.
    let says = async |verb: &str, token: &str| {
        sleep(MOVE / 2).await;
        let path = path(&call, verb);
        loop {
            match in_time(there.http.post(&path, token, json!({}))).await {
                reply if reply.status == 200 => return,
                reply => expect_unavailable(reply),
            }
        }
    };
    let (ann, mut took) = (bearer("ann"), Vec::new());
    for (verb, token, event) in
        [("alerting", &ticket, "call.ringing"), ("answer", &ticket, "call.answered"), ("hangup", &ann, "call.ended")]
    {
        tokio::join!(move_on(&cluster, slot), says(verb, token));
        let begun = Instant::now();
        reader.until(event, &call).await;
        took.push(begun.elapsed());
    }
    // What is lost on its way is found out after five seconds at least. A machine that is busy makes some of it slow.
    assert!(took.iter().min() < Some(&(2 * TIMEOUT)), "{took:?}");
}

/// The ids of all calls of a user.
async fn history(stage: &Stage, user: &str) -> Vec<Value> {
    let page = stage.http.get("/v1/calls?limit=100", &bearer(user)).await.expect(200);
    page["calls"].as_array().expect("calls").iter().map(|call| call["id"].clone()).collect()
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_while_slots_move_under_load() {
    let Some(cluster) = RedisCluster::start().await else { return };
    let (stage, _) = gateways(&cluster).await;
    let callers = ["ann", "ben", "cid", "dan"];
    for caller in callers {
        stage.invite(caller, "nobody").await;
    }
    let over = Cell::new(false);
    let load = join_all(callers.iter().map(async |caller| {
        let mut acknowledged = Vec::new();
        while !over.get() && acknowledged.len() < 90 || acknowledged.len() < 10 {
            let reply = in_time(stage.invite_for(caller, "nobody", 45)).await;
            if reply.status == 201 {
                acknowledged.push(reply.json["call"]["id"].clone());
            } else {
                expect_unavailable(reply);
            }
            sleep(Duration::from_millis(20)).await;
        }
        acknowledged
    }));
    let moves = async {
        for caller in callers {
            let slot = slot_of(&cluster, &format!("history:{caller}")).await;
            for _ in 0..2 {
                move_on(&cluster, slot).await;
            }
        }
        over.set(true);
    };
    let (load, ()) = tokio::join!(load, moves);
    for (caller, acknowledged) in callers.iter().zip(load) {
        let history = history(&stage, caller).await;
        assert!(acknowledged.iter().all(|call| history.contains(call)), "{caller} has all of {}", acknowledged.len());
    }
}
