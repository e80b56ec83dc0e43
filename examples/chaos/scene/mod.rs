//! A scene: two or three people, what happens between them, and one call or two that come of it. All of it is decided by the seed
//! and the scene's number; only when things happen depends on the gateways.

mod actor;
mod after;
mod course;

use std::sync::Arc;

use crate::client::Client;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::people::Person;
use crate::pushes::Pushes;
use actor::Actor;

/// What scenes play in.
pub struct Stage {
    pub people: Arc<[Person]>,
    pub client: Client,
    pub pushes: Arc<Pushes>,
    pub ledger: Arc<Ledger>,
    pub seed: u64,
}

/// What happens in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// A phone answers, and one of the two hangs up.
    Answered,
    Declined,
    /// The caller gives up.
    Cancelled,
    /// Nobody does anything until the ring is over.
    Ignored,
    /// All phones of the callee answer at once, through different gateways.
    Race,
    /// Both call each other at once.
    Glare,
    /// A third one calls, and is called, while the two talk.
    Busy,
    /// Every phone says that it is on another call.
    AllBusy,
    /// The caller calls again, or somebody else, before there was an answer.
    Redial,
    /// Answer and cancel, and perhaps a decline, at once.
    Quarrel,
    /// Answered, and forgotten: it lasts as long as it may.
    Forgotten,
    /// Each calls the other, which must ring; for the end of a run.
    Probe,
}

/// How many of a hundred scenes take which course.
const COURSES: [(Course, usize); 11] = [
    (Course::Answered, 22),
    (Course::Declined, 11),
    (Course::Cancelled, 11),
    (Course::Ignored, 15),
    (Course::Race, 11),
    (Course::Glare, 8),
    (Course::Busy, 6),
    (Course::AllBusy, 2),
    (Course::Redial, 4),
    (Course::Quarrel, 6),
    (Course::Forgotten, 4),
];

/// Who plays what.
pub struct Scene {
    number: u64,
    course: Course,
    /// Caller, callee, and somebody else; as numbers of people.
    cast: [usize; 3],
    dice: Dice,
}

impl Scene {
    /// One in which two people find out whether they can call each other.
    pub fn probe(number: u64, one: usize, other: usize, third: usize) -> Self {
        Self { number, course: Course::Probe, cast: [one, other, third], dice: Dice::new(number, 0) }
    }
}

/// All scenes of a seed, one after the other.
pub struct Script {
    seed: u64,
    next: u64,
    dice: Dice,
    people: usize,
    /// Those who have not played since it was shuffled, so that everybody has time for their scene.
    waiting: Vec<usize>,
}

impl Script {
    pub fn new(seed: u64, people: usize) -> Self {
        Self { seed, next: 0, dice: Dice::new(seed, 0), people, waiting: Vec::new() }
    }

    pub fn next(&mut self) -> Scene {
        if self.waiting.len() < 3 {
            self.waiting = (0..self.people).collect();
            self.dice.shuffle(&mut self.waiting);
        }
        let cast = std::array::from_fn(|_| self.waiting.pop().unwrap_or_default());
        self.next += 1;
        let mut dice = Dice::new(self.seed, 1000 + self.next);
        let mut left = dice.below(100);
        let course = COURSES.iter().find(|(_, share)| match left.checked_sub(*share) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        });
        Scene { number: self.next, course: course.map_or(Course::Answered, |(course, _)| *course), cast, dice }
    }
}

/// Plays a scene, once its people have left the one before.
pub async fn play(stage: Arc<Stage>, scene: Scene) {
    let mut turns = Vec::new();
    let mut order = scene.cast;
    // In order of number, so that no two scenes wait for each other.
    order.sort_unstable();
    for person in order {
        turns.push(stage.people[person].turn.lock().await);
    }
    let Scene { number, course, cast, dice } = scene;
    stage.ledger.write(|| format!("scene {number}: {course:?} of {cast:?}"));
    // Whoever gives up has had it noted.
    let _ = Actor::new(&stage, number, cast, dice).act(course).await;
}
