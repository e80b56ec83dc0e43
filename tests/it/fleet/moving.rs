//! Readers that go from one gateway to another with the last event that they saw: each event once, in order, none left out.

use std::time::Duration;

use futures_util::future::{join, join_all};
use serde_json::json;

use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Dice, Fleet, Reader, bearer};

/// Pairs of users, who call each other so often.
const PAIRS: usize = 6;
const CALLS: usize = 6;

/// Calls whose every step is taken at a gateway that the dice choose.
async fn call_often(fleet: &Fleet, gateways: usize, pair: usize) {
    let mut dice = Dice::new("gateways");
    let (caller, callee) = (format!("caller-{pair}"), format!("callee-{pair}"));
    let phone = fleet[0].pixel(&callee, "pixel").await;
    for round in 0..CALLS {
        let mut at = || &fleet[dice.roll(0..gateways)];
        let call = at().invite(&caller, &callee).await["call"]["id"].take();
        let ticket = at().ring(&phone, &call).await;
        if round % 2 == 0 {
            at().http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        }
        at().http.post(&path(&call, "cancel"), &bearer(&caller), json!({})).await.expect(200);
    }
}

async fn read_all(fleet: &Fleet, gateways: usize, user: String) {
    let mut dice = Dice::new("a reader on the move");
    let mut reader = Reader::new(&user, dice.roll(0..2) == 0);
    while reader.ended() < CALLS {
        let gateway = &fleet[dice.roll(0..gateways)];
        assert!(reader.read(&gateway.http, dice.roll(1..6), CALLS).await, "the stream broke off");
    }
}

/// Users call one another, and all of them read what happens, now here and now there.
pub(super) async fn move_about(fleet: &Fleet, gateways: usize) {
    let calling = join_all((0..PAIRS).map(|pair| call_often(fleet, gateways, pair)));
    let users = (0..PAIRS).flat_map(|pair| ["caller", "callee"].map(|role| format!("{role}-{pair}")));
    join(calling, join_all(users.map(|user| read_all(fleet, gateways, user)))).await;
}

#[tokio::test]
async fn a_reader_that_goes_from_one_gateway_to_another_misses_nothing() {
    let Some(server) = RedisServer::shared().await else { return };
    move_about(&Fleet::start(server, 3).await, 3).await;
}

#[tokio::test]
async fn events_whose_times_go_back_repeat_nothing_to_a_reader_that_comes_back() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 2).await;
    let phone = fleet[0].pixel("bob", "pixel").await;
    // As wrong as a clock may be, and not corrected.
    fleet[1].clock.advance(Duration::from_secs(2));
    let (mut stream, _) = fleet[0].events(&bearer("alice"), "").await;
    let over = fleet[0].invite("alice", "bob").await["call"]["id"].take();
    fleet[0].http.post(&path(&over, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    stream.until("call.ended", &over).await;
    let call = fleet[1].invite("alice", "bob").await["call"]["id"].take();
    fleet[0].ring(&phone, &call).await;
    stream.until("call.ringing", &call).await;

    let since = format!("?since={}", stream.last_id.take().expect("an id"));
    let (mut stream, _) = fleet[0].events(&bearer("alice"), &since).await;
    fleet[0].http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let event = stream.next().await;
    assert_eq!((&event["call_id"], &event["type"]), (&call, &json!("call.cancelled")), "{since}: {event}");
}
