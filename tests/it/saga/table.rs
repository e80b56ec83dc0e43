//! An invite that is held at each place on its way to the store, whatever it found there, while somebody does each of the things that
//! concern the same people, in each order.

use std::fmt;

use bellwire::domain::EndReason;
use tokio::time::timeout;

use super::before::Before;
use super::ground::{Ground, LONGER_THAN_ITS_LEASE};
use super::intruders::{Intruder, KEY};
use super::scene::{Scene, inviting};
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
        let (here, there) = (Stops::behind(self.passes), Stops::none());
        let mut scene = Scene::new(ground, &here, &there).await;
        let mut said: Vec<_> = self.before.make(&scene).await.into_iter().collect();
        let cast = scene.cast.clone();
        let first = inviting("the one under fire", &scene.here.engine, &cast.ann, &cast.bob, Some(KEY));
        here.held().await;
        if self.order == Order::Dead {
            here.kill();
        }
        if self.order != Order::Meanwhile {
            ground.clock.advance(LONGER_THAN_ITS_LEASE);
        }
        let mut intruder = tokio::spawn(self.intruder.go(scene.there.engine.clone(), cast));
        let ended = if self.order == Order::Meanwhile {
            // It waits for the invite once it looks for it again and again.
            tokio::select! {
                ended = &mut intruder => Some(ended),
                () = there.held_or_at(30) => None,
            }
        } else {
            Some((&mut intruder).await)
        };
        here.release();
        let first = first.await.expect("no panic");
        let ended = match ended {
            Some(ended) => ended,
            None => intruder.await,
        };
        let redialled = ended.expect("no panic");
        said.extend((self.order != Order::Dead).then_some(first));
        let later = redialled.as_ref().and_then(|said| said.call().cloned());
        said.extend(redialled);

        let mut verdict = Verdict::on(&mut scene, &said, self.order == Order::Dead).await;
        // Who holds before the first request has claimed nothing yet, and comes later.
        if self.intruder.redials()
            && self.passes >= 1
            && later.is_some_and(|later| ended_as(&verdict, &later) == Some(EndReason::Cancelled))
        {
            verdict.problems.push("the later invite of the same caller was cancelled by the earlier one".to_owned());
        }
        verdict.problems.into_iter().map(|problem| format!("{self}: {problem}{}", in_lines(&said))).collect()
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

/// The cases of what was before. All of them take a while: on the embedded store there are only those of one order, at every other place.
async fn every_case(ground: Ground, before: Before, all: bool) {
    let (mut cases, mut problems) = (0, Vec::new());
    let began = std::time::Instant::now();
    for (passes, held) in places(&ground, before).await.into_iter().enumerate() {
        for intruder in Intruder::ALL {
            for order in [Order::Late, Order::Meanwhile, Order::Dead] {
                // Who dies after a request and before the next one, or does not stand still for long, has asked for nothing in between.
                let is_told_apart = held.side == Side::Before && order == Order::Late;
                if (is_told_apart && all) || held.side == Side::After && (all || order == Order::Late) {
                    cases += 1;
                    problems.extend(Case { before, passes, held, intruder, order }.problems(&ground).await);
                }
            }
        }
    }
    println!("{before:?}: {cases} cases in {:?}", began.elapsed());
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

macro_rules! table {
    ($($name:ident: $before:ident,)*) => {
        mod embedded {
            use super::{Before, Ground, every_case};
            $(#[tokio::test]
            async fn $name() {
                every_case(Ground::embedded(), Before::$before, false).await;
            })*
        }
        mod redis {
            use super::{Before, Ground, every_case};
            $(#[tokio::test]
            async fn $name() {
                let Some(ground) = Ground::redis().await else { return };
                every_case(ground, Before::$before, true).await;
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
