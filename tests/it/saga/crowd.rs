//! Many who want the same line, or each other's, at once: nobody waits for ever, and the line has one call.

use std::time::Duration;

use bellwire::domain::{EndReason, UserId};
use bellwire::store::{Admits, CLAIMS_BEFORE, Role};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::ground::{Ground, LONGER_THAN_ITS_LEASE};
use super::scene::{Said, Scene, invite, inviting, on_phone, rings};
use super::verdict::Verdict;
use crate::store_laws::fixture::{claim, user};
use crate::support::SOON;
use crate::two_engines::stops::Stops;

const CALLERS: usize = 20;

fn callers(scene: &Scene<'_>) -> Vec<UserId> {
    (0..CALLERS).map(|number| user(&format!("caller-{number}-of-{}", scene.cast.bob))).collect()
}

/// Everybody calls Bob, one half at one instance and one at the other.
async fn everybody_calls_bob(scene: &Scene<'_>) -> Vec<Said> {
    let callers = callers(scene);
    let calls = callers.iter().enumerate().map(|(number, caller)| {
        let engine = if number % 2 == 0 { &scene.there.engine } else { &scene.aside.engine };
        invite("a caller", engine, caller, &scene.cast.bob, None)
    });
    timeout(SOON, join_all(calls)).await.expect("nobody is stuck")
}

/// One rings; the others are told that he is busy.
fn expect_one_ring(said: &[Said]) {
    let answers = said.iter().map(|told| told.call().unwrap_or_else(|| panic!("{told}")));
    let (ringing, others): (Vec<_>, Vec<_>) = answers.partition(|call| rings(call));
    assert_eq!(ringing.len(), 1, "{said:?}");
    assert!(others.iter().all(|call| call.end_reason == Some(EndReason::Busy)), "{said:?}");
}

async fn expect_no_problem(scene: &mut Scene<'_>, said: &[Said]) {
    let verdict = Verdict::on(scene, said, false).await;
    assert!(verdict.problems.is_empty(), "{:?}\n{said:?}", verdict.problems);
}

async fn of_twenty_callers_at_once_one_rings(ground: Ground) {
    for _ in 0..5 {
        let mut scene = Scene::free(&ground).await;
        let said = everybody_calls_bob(&scene).await;
        expect_one_ring(&said);
        expect_no_problem(&mut scene, &said).await;
    }
}

async fn behind_an_invite_that_stands_still_one_rings(ground: Ground) {
    // It has claimed Bob's line.
    let stops = Stops::behind(4);
    let mut scene = Scene::new(&ground, &stops, &Stops::none()).await;
    let cast = scene.cast.clone();
    let first = inviting("ann", &scene.here.engine, &cast.ann, &cast.bob, Some("key"));
    stops.held().await;
    let waiting = async {
        scene.there.stops.held_or_at(200).await;
        ground.clock.advance(LONGER_THAN_ITS_LEASE);
    };
    let (mut said, ()) = tokio::join!(everybody_calls_bob(&scene), waiting);
    expect_one_ring(&said);
    stops.release();
    said.push(timeout(SOON, first).await.expect("it is not stuck").expect("no panic"));
    expect_one_ring(&said);
    expect_no_problem(&mut scene, &said).await;
}

/// Their gateways died between claim and commit.
async fn behind_a_crowd_of_the_dead_one_rings(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    for _ in 0..=CLAIMS_BEFORE {
        let dead = claim(&ground.clock, scene.cast.bob.as_str(), "nobody", Role::Callee);
        ground.store().ring_line(dead, &[], Admits::All).await.expect("a callee");
    }
    ground.clock.advance(LONGER_THAN_ITS_LEASE);
    let said = everybody_calls_bob(&scene).await;
    expect_one_ring(&said);
    expect_no_problem(&mut scene, &said).await;
}

async fn when_the_one_that_rings_is_cancelled_the_next_one_rings(ground: Ground) {
    let mut scene = Scene::free(&ground).await;
    let mut said = Vec::new();
    for _ in 0..3 {
        // Nobody takes those that are over off the line but who meets them.
        let next = everybody_calls_bob(&scene).await;
        expect_one_ring(&next);
        for call in next.iter().filter_map(Said::call).filter(|call| rings(call)) {
            scene.aside.engine.cancel(call.id, &on_phone(&call.caller.id)).await.expect("cancelled");
        }
        said.extend(next);
    }
    expect_no_problem(&mut scene, &said).await;
}

async fn who_cannot_be_rung_is_unreachable_to_each_of_many(ground: Ground) {
    let scene = Scene::free(&ground).await;
    let nobody = user("nobody-has-a-phone");
    let callers = callers(&scene);
    let calls = callers.iter().map(|caller| invite("a caller", &scene.there.engine, caller, &nobody, None));
    let said = timeout(SOON, join_all(calls)).await.expect("nobody is stuck");
    for told in said {
        assert_eq!(told.call().and_then(|call| call.end_reason), Some(EndReason::Unreachable), "{told}");
    }
}

/// Each of three has claimed their own line when they come to the next one's. That one's own call is about to come, or else it waits as
/// they do: nobody may wait for as long as an invite may stand still.
async fn who_call_each_other_in_a_circle_are_not_stuck(ground: Ground) {
    let mut took = Vec::new();
    for round in 0..5 {
        let mut scene = Scene::free(&ground).await;
        let cast = scene.cast.clone();
        let stops = [0; 3].map(|_| Stops::behind(2));
        let mut calls = Vec::new();
        for (stops, [from, to]) in
            stops.iter().zip([[&cast.ann, &cast.bob], [&cast.bob, &cast.cid], [&cast.cid, &cast.ann]])
        {
            let instance = ground.instance(calls.len(), stops);
            calls.push(inviting("one in the circle", &instance.engine, from, to, None));
            scene.others.push(instance);
            stops.held().await;
        }
        let began = Instant::now();
        for stops in &stops {
            stops.release();
        }
        let said = timeout(SOON, join_all(calls)).await.unwrap_or_else(|_| panic!("round {round}: they are stuck"));
        let said: Vec<Said> = said.into_iter().map(|said| said.expect("no panic")).collect();
        took.push(began.elapsed());
        expect_no_problem(&mut scene, &said).await;
    }
    // One that was not slowed down by what else runs here: who is stuck is so for 1.5 s at least.
    assert!(took.iter().min() < Some(&Duration::from_millis(1500)), "{took:?}");
}

super::on_each_store! {
    of_twenty_callers_at_once_one_rings,
    behind_an_invite_that_stands_still_one_rings,
    behind_a_crowd_of_the_dead_one_rings,
    when_the_one_that_rings_is_cancelled_the_next_one_rings,
    who_cannot_be_rung_is_unreachable_to_each_of_many,
    who_call_each_other_in_a_circle_are_not_stuck,
}
