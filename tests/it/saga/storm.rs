//! Some of the same people's calls at once, all moved in an order that is drawn, while leases pass and instances die.

use tokio::time::timeout;

use super::actors::{Actor, Odds, play};
use super::before::Before;
use super::ground::Ground;
use super::intruders::{Intruder, KEY};
use super::scene::{Scene, inviting};
use super::verdict::{Verdict, in_lines};
use crate::support::{Dice, SOON};

async fn round(ground: &Ground, dice: &mut Dice, death: Option<usize>) -> Vec<String> {
    let mut scene = Scene::free(ground).await;
    let before = Before::ALL[dice.roll(0..Before::ALL.len())];
    let mut said: Vec<_> = before.make(&scene).await.into_iter().collect();
    let mut names = Vec::new();
    let mut actors = vec![Actor::begin(ground, 0, |engine| {
        let first = inviting("the first", &engine, &scene.cast.ann, &scene.cast.bob, Some(KEY));
        async move { Some(first.await.expect("no panic")) }
    })];
    for number in 1..dice.roll(2..5) {
        let next = Intruder::ALL[dice.roll(0..Intruder::ALL.len())];
        names.push(next);
        actors.push(Actor::begin(ground, number, |engine| next.go(engine, scene.cast.clone())));
    }
    let (told, dead) = play(&mut scene, actors, Odds { late: 20, death }, dice).await;
    said.extend(told);
    let verdict = Verdict::on(&mut scene, &said, dead).await;
    let name = format!("{before:?}; {names:?}; dead: {dead}");
    verdict.problems.into_iter().map(|problem| format!("{name}: {problem}{}", in_lines(&said))).collect()
}

async fn rounds(ground: Option<Ground>, many: usize) {
    let Some(ground) = ground else { return };
    let mut dice = Dice::new("the saga in a storm");
    let mut problems = Vec::new();
    for number in 0..many {
        let death = (number % 3 == 0).then_some(25);
        match timeout(3 * SOON, round(&ground, &mut dice, death)).await {
            Ok(found) => problems.extend(found),
            Err(_) => problems.push(format!("round {number} hangs")),
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test]
async fn on_the_embedded_store() {
    rounds(Some(Ground::embedded()), 100).await;
}

#[tokio::test]
async fn on_redis() {
    rounds(Ground::redis().await, 200).await;
}
