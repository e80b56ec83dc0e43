//! An invite that is held at each place on its way to the store, whatever it found there, while somebody does each of the things that
//! concern the same people, in each order.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use bellwire::domain::EndReason;
use tokio::time::timeout;

use super::before::Before;
use super::ground::{Ground, LONGER_THAN_ITS_LEASE};
use super::intruders::{Intruder, KEY};
use super::scene::{Said, Scene, inviting};
use super::verdict::{Verdict, ended_as, in_lines};
use crate::support::SOON;
use crate::two_engines::stops::{Place, Side, Stops};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The invite stands still for longer than its lease; the intruder goes all its way; the invite goes on.
    Late,
    /// The intruder goes on until it has to wait for the invite, which then goes on.
    Meanwhile,
    /// The instance of the invite dies; after the lease comes the intruder.
    Dead,
}

struct Case {
    before: Before,
    /// How many places the invite passes.
    passes: usize,
    held: Place,
    intruder: Intruder,
    order: Order,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, held, intruder, order, .. } = self;
        write!(f, "{before:?}; held {held}; {intruder:?}; {order:?}")
    }
}

impl Case {
    async fn problems(&self, ground: &Ground) -> Vec<String> {
        match timeout(SOON, self.run(ground)).await {
            Ok(problems) => problems,
            Err(_) => vec![format!("{self}: it hangs")],
        }
    }

    async fn run(&self, ground: &Ground) -> Vec<String> {
        let mut scene = Scene::new(ground, &Stops::behind(self.passes), &Stops::none()).await;
        let mut said: Vec<_> = self.before.make(&scene).await.into_iter().collect();
        let (first, intruder) = self.play(&mut scene).await;
        said.extend((self.order != Order::Dead).then_some(first));
        let later = intruder.as_ref().and_then(|said| said.call().cloned());
        said.extend(intruder);

        let mut verdict = Verdict::on(&mut scene, &said, self.order == Order::Dead).await;
        // One that is held before its first request has claimed nothing yet, and comes later than the intruder.
        if self.intruder.redials()
            && self.passes > 0
            && later.is_some_and(|later| ended_as(&verdict, &later) == Some(EndReason::Cancelled))
        {
            verdict.problems.push("the later invite of the same caller was cancelled by the earlier one".to_owned());
        }
        verdict.problems.into_iter().map(|problem| format!("{self}: {problem}{}", in_lines(&said))).collect()
    }

    /// What came of the invite and of the intruder.
    async fn play(&self, scene: &mut Scene<'_>) -> (Said, Option<Said>) {
        let cast = scene.cast.clone();
        let (here, there) = (Arc::clone(&scene.here.stops), Arc::clone(&scene.there.stops));
        let first = inviting("the one under fire", &scene.here.engine, &cast.ann, &cast.bob, Some(KEY));
        here.held().await;
        match self.order {
            Order::Late => scene.ground.clock.advance(LONGER_THAN_ITS_LEASE),
            Order::Meanwhile => {}
            Order::Dead => {
                here.kill();
                scene.ground.clock.advance(LONGER_THAN_ITS_LEASE);
            }
        }
        let mut intruder = tokio::spawn(self.intruder.go(scene.there.engine.clone(), cast));
        let waits = async {
            match self.order {
                // It looks for the invite again and again.
                Order::Meanwhile => there.held_or_at(30).await,
                Order::Late | Order::Dead => pending().await,
            }
        };
        let ended = tokio::select! {
            ended = &mut intruder => Some(ended),
            () = waits => None,
        };
        scene.look_for_tombstones().await;
        here.release();
        let first = first.await.expect("no panic");
        let ended = match ended {
            Some(ended) => ended,
            None => intruder.await,
        };
        (first, ended.expect("no panic"))
    }
}

/// The places that the invite comes to when nobody holds it up.
async fn places(ground: &Ground, before: Before) -> Vec<Place> {
    let stops = Stops::none();
    let scene = Scene::new(ground, &stops, &Stops::none()).await;
    before.make(&scene).await;
    let cast = scene.cast.clone();
    inviting("the one under fire", &scene.here.engine, &cast.ann, &cast.bob, Some(KEY)).await.expect("no panic");
    stops.places()
}

impl Case {
    /// Whether it is another case than those at the places next to it, as far as anybody can see.
    fn is_told_apart(&self) -> bool {
        let made_before_it_is_held = matches!(self.held.request, "open_line" | "ring_line" | "commit (first)");
        match (self.order, self.held.side) {
            (Order::Late, side) => side == Side::After || made_before_it_is_held,
            (Order::Meanwhile | Order::Dead, side) => side == Side::After && self.intruder.meets_its_claims(),
        }
    }
}

/// Every case of what was before, in these orders.
async fn every_case(ground: Ground, before: Before, orders: &[Order]) {
    let mut problems = Vec::new();
    for (passes, held) in places(&ground, before).await.into_iter().enumerate() {
        for intruder in Intruder::ALL {
            for order in orders.iter().copied() {
                let case = Case { before, passes, held, intruder, order };
                if case.is_told_apart() {
                    problems.extend(case.problems(&ground).await);
                }
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

macro_rules! table {
    ($($name:ident: $before:ident,)*) => {
        mod embedded {
            use super::{Before, Ground, Order, every_case};
            // The engine is the same, and writing to a disk takes longer.
            $(#[tokio::test]
            async fn $name() {
                every_case(Ground::embedded(), Before::$before, &[Order::Late]).await;
            })*
        }
        mod redis {
            use super::{Before, Ground, Order, every_case};
            $(#[tokio::test]
            async fn $name() {
                let Some(ground) = Ground::redis().await else { return };
                every_case(ground, Before::$before, &[Order::Late, Order::Meanwhile, Order::Dead]).await;
            })*
        }
    };
}

table! {
    on_free_lines: Nothing,
    that_cancels_an_own_call: AnnCallsDan,
    that_answers_a_call: BobCallsAnn,
    to_who_is_rung: CidCallsBob,
    to_who_talks: BobTalksWithCid,
    on_lines_with_calls_that_are_over: OverButOnTheLines,
    after_an_own_one_died: AnnToDanDied,
    after_one_from_the_other_side_died: BobToAnnDied,
    after_one_of_a_third_died: CidToBobDied,
    that_died_with_one_line: DiedWithOneLine,
    that_died_with_both_lines: DiedWithBothLines,
    that_died_and_was_buried: DiedAndBuried,
}
