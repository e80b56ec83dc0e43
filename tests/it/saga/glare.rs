//! Two who call each other at two instances in the same moment: whatever the order of their steps, there is one live call, and
//! both are in it.

use std::sync::Arc;

use bellwire::domain::{Call, State};
use bellwire::engine::joins;
use bellwire::store::Slot;
use tokio::time::timeout;

use super::actors::{Actor, Odds, play};
use super::ground::Ground;
use super::scene::{Said, Scene, inviting, on_phone};
use super::verdict::Verdict;
use crate::support::{Dice, SOON};

/// More steps than any round has.
const NEVER: usize = usize::MAX;

/// Both were told of one call, which is answered, and each may have a token for its room; nothing else lives.
async fn expect_one_call(scene: &mut Scene<'_>, said: &[Said], round: &str) {
    let told: Vec<&Arc<Call>> = said.iter().filter_map(Said::call).collect();
    let [one, other] = told[..] else { panic!("{round}: {said:?}") };
    assert_eq!((one.id, &one.room), (other.id, &other.room), "{round}: {said:?}");
    let Slot::Call(call) = scene.ground.store().load(one.id).await.expect("a slot") else { panic!("{round}: lost") };
    let call = Arc::from(call);
    for user in [&scene.cast.ann, &scene.cast.bob] {
        let joined = joins(&call, &on_phone(user)).unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!(joined, *user, "{round}");
        let page = scene.aside.engine.history(user, None, 10).await.expect("a page");
        let live: Vec<_> =
            page.calls.iter().filter(|call| !call.is_ended()).map(|call| (call.id, call.state)).collect();
        assert_eq!(live, [(call.id, State::Active)], "{round}: {said:?}");
    }
    let verdict = Verdict::on(scene, said, false).await;
    assert!(verdict.problems.is_empty(), "{round}: {:?}", verdict.problems);
}

async fn drawn_round(ground: &Ground, number: usize, dice: &mut Dice) {
    let mut scene = Scene::free(ground).await;
    let cast = scene.cast.clone();
    // With a key and without; now and then the time of their leases passes.
    let key = number.is_multiple_of(2).then_some("key");
    let late = if number % 4 < 2 { NEVER } else { 10 };
    let begin = |which, from, to| {
        let (from, to) = (Clone::clone(from), Clone::clone(to));
        Actor::begin(ground, which, |engine| async move {
            Some(inviting("one", &engine, &from, &to, key).await.expect("no panic"))
        })
    };
    let actors = vec![begin(0, &cast.ann, &cast.bob), begin(1, &cast.bob, &cast.ann)];
    let (said, _) = play(&mut scene, actors, Odds { late, death: None }, dice).await;
    expect_one_call(&mut scene, &said, &format!("round {number}")).await;
}

async fn drawn_rounds(ground: Option<Ground>, many: usize) {
    let Some(ground) = ground else { return };
    let mut dice = Dice::new("glare step by step");
    for number in 0..many {
        let round = drawn_round(&ground, number, &mut dice);
        timeout(2 * SOON, round).await.unwrap_or_else(|_| panic!("round {number} hangs"));
    }
}

#[tokio::test]
async fn step_by_step_on_redis() {
    drawn_rounds(Ground::redis().await, 200).await;
}

#[tokio::test]
async fn step_by_step_on_the_embedded_store() {
    drawn_rounds(Some(Ground::embedded()), 50).await;
}

async fn at_once(ground: Option<Ground>, many: usize) {
    let Some(ground) = ground else { return };
    let mut dice = Dice::new("glare at once");
    for number in 0..many {
        let mut scene = Scene::free(&ground).await;
        let cast = scene.cast.clone();
        let (one, other) = (scene.here.engine.clone(), scene.there.engine.clone());
        let pauses = [dice.roll(0..8), dice.roll(0..8)];
        let both = async {
            let one = tokio::spawn(async move {
                (0..pauses[0]).for_each(|_| std::thread::yield_now());
                inviting("ann", &one, &cast.ann, &cast.bob, Some("key")).await.expect("no panic")
            });
            let cast = scene.cast.clone();
            let other = tokio::spawn(async move {
                (0..pauses[1]).for_each(|_| std::thread::yield_now());
                inviting("bob", &other, &cast.bob, &cast.ann, None).await.expect("no panic")
            });
            [one.await.expect("no panic"), other.await.expect("no panic")]
        };
        let said = timeout(SOON, both).await.unwrap_or_else(|_| panic!("round {number} hangs"));
        expect_one_call(&mut scene, &said, &format!("round {number}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_once_on_redis() {
    at_once(Ground::redis().await, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_once_on_the_embedded_store() {
    at_once(Some(Ground::embedded()), 50).await;
}
