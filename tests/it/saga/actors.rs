//! Several at once, each at an instance of their own, moved from place to place in an order that is drawn.

use bellwire::engine::Engine;
use tokio::task::JoinHandle;

use super::ground::{Ground, Instance, LONGER_THAN_ITS_LEASE};
use super::scene::{Said, Scene};
use crate::support::Dice;
use crate::two_engines::stops::Stops;

/// Somebody who does one thing.
pub struct Actor {
    instance: Instance,
    doing: JoinHandle<Option<Said>>,
    done: bool,
    /// What came of it; nothing for one whose instance died.
    said: Option<Said>,
}

impl Actor {
    /// Begins to do it at an instance that is held at its first place.
    pub fn begin<F>(ground: &Ground, number: usize, does: impl FnOnce(Engine) -> F) -> Self
    where
        F: Future<Output = Option<Said>> + Send + 'static,
    {
        let instance = ground.instance(number, &Stops::behind(0));
        let doing = tokio::spawn(does(instance.engine.clone()));
        Self { instance, doing, done: false, said: None }
    }

    /// Waits until it is held, or done.
    async fn settle(&mut self) {
        if !self.done {
            tokio::select! {
                said = &mut self.doing => (self.done, self.said) = (true, said.expect("no panic")),
                () = self.instance.stops.held() => {}
            }
        }
    }

    async fn pass(&mut self, places: usize) {
        self.instance.stops.pass_more(places);
        self.settle().await;
    }

    async fn die(&mut self) {
        self.instance.stops.kill();
        (&mut self.doing).await.expect("no panic");
        self.done = true;
    }
}

/// What may happen beside the actors' steps, each of so many steps.
#[derive(Clone, Copy)]
pub struct Odds {
    /// The time of everybody's leases passes.
    pub late: usize,
    /// An instance dies.
    pub death: Option<usize>,
}

/// Moves the actors until all are done. The answer is what they were told, and whether an instance died.
pub async fn play(scene: &mut Scene<'_>, mut actors: Vec<Actor>, odds: Odds, dice: &mut Dice) -> (Vec<Said>, bool) {
    let mut dead = false;
    for actor in &mut actors {
        actor.settle().await;
    }
    loop {
        let mut going: Vec<&mut Actor> = actors.iter_mut().filter(|actor| !actor.done).collect();
        if going.is_empty() {
            break;
        }
        let next = dice.roll(0..going.len());
        if odds.death.is_some_and(|odds| dice.roll(0..odds) == 0) {
            going[next].die().await;
            dead = true;
        } else {
            if dice.roll(0..odds.late) == 0 {
                scene.ground.clock.advance(LONGER_THAN_ITS_LEASE);
            }
            let places = dice.roll(1..4);
            going[next].pass(places).await;
        }
    }
    let mut said = Vec::new();
    for actor in actors {
        said.extend(actor.said);
        scene.others.push(actor.instance);
    }
    (said, dead)
}
