//! Pushes of missed calls: told at once, and not again and again.

use std::time::Duration;

use bellwire::store::{MISSED_PERSISTENT_EVERY, MISSED_TOLD_AN_HOUR, MISSED_TOLD_EVERY};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use super::until;
use crate::support::people::{path, push_data};
use crate::support::{Stage, bearer};

impl Stage {
    fn missed_pushes(&self, token: &str) -> usize {
        let is_it = |push: &std::sync::Arc<bellwire::simulator::Received>| {
            push.target.as_deref() == Some(token) && push_data(push)["type"] == "missed"
        };
        self.pushes().all().iter().filter(|push| is_it(push)).count()
    }
}

/// Bob talks to Alice, so that whoever else calls finds him busy.
async fn busy_bob(stage: &Stage) -> [crate::support::Device; 2] {
    let phones = [stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await];
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.answer(&phones[0], &call).await;
    phones
}

#[tokio::test]
async fn a_thousand_busy_calls_of_one_caller_send_two_pushes_a_device() {
    const CALLS: usize = 1000;
    let stage = Stage::new().await;
    let phones = busy_bob(&stage).await;
    let calls = stream::iter(0..CALLS).map(|_| stage.invite("carol", "bob")).buffered(1).collect::<Vec<_>>().await;
    assert!(calls.iter().all(|call| call["call"]["end_reason"] == "busy"));
    // The longest pause: on a slow machine a thousand calls are told of in between.
    stage.clock.advance(MISSED_PERSISTENT_EVERY);
    let to_pixel = |push: &std::sync::Arc<bellwire::simulator::Received>| {
        push.target.as_deref() == Some(&phones[1].ring_token) && push_data(push)["type"] == "missed"
    };
    let newest = || {
        let last = stage.pushes().all().into_iter().rev().find(to_pixel);
        last.is_some_and(|push| push_data(&push)["count"] == json!(CALLS.to_string()))
    };
    until("told of the last", async || newest()).await;
    until("told", async || stage.missed_pushes(&phones[0].notice_token) >= 2).await;
    stage.pass().await;
    for phone in &phones {
        let told = stage.missed_pushes(&phone.notice_token);
        println!("{}: {told} pushes for {CALLS} calls", phone.id);
        // The first call at once, the last number at the end, and one between if the thousand took longer than the short pause.
        assert!((2..=3).contains(&told), "{told} pushes");
    }
    assert!(newest(), "nothing older comes after it");
}

#[tokio::test]
async fn busy_calls_of_many_callers_send_thirty_pushes_an_hour() {
    let stage = Stage::new().await;
    let phones = busy_bob(&stage).await;
    for batch in 0..4 {
        join_all((0..25).map(|n| {
            let caller = format!("caller-{batch}-{n}");
            let stage = &stage;
            async move { stage.invite(&caller, "bob").await }
        }))
        .await;
    }
    for phone in &phones {
        until("told", async || stage.missed_pushes(&phone.notice_token) >= MISSED_TOLD_AN_HOUR).await;
    }
    stage.clock.advance(Duration::from_mins(10));
    stage.pass().await;
    for phone in &phones {
        assert_eq!(stage.missed_pushes(&phone.notice_token), MISSED_TOLD_AN_HOUR);
    }
}

#[tokio::test]
async fn a_pixel_that_is_told_later_is_stopped_at_once() {
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let first = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.ring(&phone, &first).await;
    stage.cancel("alice", &first).await;
    // Here the push of the missed call is what stops the ring.
    stage.push("missed", &phone.ring_token, &first).await;
    assert!(stage.pushes_of("cancel", &phone.ring_token, &first).is_empty());

    let second = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.ring(&phone, &second).await;
    stage.cancel("alice", &second).await;
    let stop = stage.push("cancel", &phone.ring_token, &second).await;
    assert_eq!(push_data(&stop)["reason"], "cancelled");
    stage.clock.advance(MISSED_TOLD_EVERY);
    let missed = stage.push("missed", &phone.ring_token, &second).await;
    assert_eq!(push_data(&missed)["count"], "2");
    assert_eq!(stage.pushes_of("cancel", &phone.ring_token, &second).len(), 1, "once");
}

#[tokio::test]
async fn who_has_talked_to_a_caller_has_missed_nothing_of_them() {
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let mut counts = Vec::new();
    for answered in [false, false, true, false] {
        stage.clock.advance(MISSED_TOLD_EVERY);
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        if answered {
            stage.answer(&phone, &call).await;
            stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
            stage.pass().await;
        } else {
            stage.push("ring", &phone.ring_token, &call).await;
            stage.cancel("alice", &call).await;
            counts.push(push_data(&*stage.push("missed", &phone.ring_token, &call).await)["count"].clone());
        }
    }
    assert_eq!(counts, ["1", "2", "1"]);
}

#[tokio::test]
async fn missed_calls_can_be_switched_off() {
    let stage = Stage::with("[push]\nmissed_call = false").await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    stage.ring(&phone, &call).await;
    stage.cancel("alice", &call).await;
    stage.push("cancel", &phone.ring_token, &call).await;
    stage.pass().await;
    assert_eq!(stage.missed_pushes(&phone.ring_token), 0);
}
