//! What people in a scene can do, each as one step: call, pick up a phone, speak, look how a call stands.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{CallId, Timestamp};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Course, Stage};
use crate::client::{Ask, GaveUp, Reply, Rung, Verb};
use crate::dice::Dice;
use crate::people::{Person, Phone};
use crate::view::View;

/// How long a person waits for a phone to ring before they open the app.
const RINGS_WITHIN: Duration = Duration::from_millis(2500);
/// How often an app looks how its call stands.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long after it is due the end of a call is waited for.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Whoever acts in one scene.
pub(super) struct Actor<'a> {
    pub stage: &'a Stage,
    pub cast: [usize; 3],
    pub dice: Dice,
    number: u64,
    invites: usize,
    pub clock: Clock,
}

/// A call that was acknowledged, with its invite.
pub(super) struct Call {
    pub id: CallId,
    pub invite: Ask,
    pub view: View,
}

/// A phone of the callee in somebody's hand.
#[derive(Clone)]
pub(super) struct Hand {
    pub user: String,
    pub device: String,
    bearer: String,
    /// The ticket names the device; the user's token does not.
    by_ticket: bool,
}

impl<'a> Actor<'a> {
    pub fn new(stage: &'a Stage, number: u64, cast: [usize; 3], dice: Dice) -> Self {
        Self { stage, cast, dice, number, invites: 0, clock: Clock::system() }
    }

    /// Plays the scene to its end, when all its calls are over.
    pub async fn act(mut self, course: Course) -> Result<(), GaveUp> {
        for person in self.cast {
            self.stage.renew(person, &mut self.dice).await?;
        }
        self.follow(course).await
    }

    pub fn person(&self, number: usize) -> &'a Person {
        &self.stage.people[number]
    }

    /// A request of a user by their own token.
    pub fn ask(&self, user: usize, verb: Verb, call: Option<CallId>) -> Ask {
        Ask::new(self.person(user), verb, call)
    }

    /// The invite of a new call.
    pub fn invite_to(&mut self, caller: usize, callee: usize) -> Ask {
        self.invites += 1;
        let key = format!("{}-{}", self.number, self.invites);
        let seconds = if self.dice.chance(25) { 11 } else { 5 };
        let device = self.person(caller).phones[0].id.clone();
        let phones = self.person(callee).phones.iter();
        let rung = phones.map(|phone| Rung {
            device: phone.id.clone(),
            is_iphone: phone.is_iphone,
            token: phone.ring_token(),
        });
        let body = json!({
            "callee": self.person(callee).id, "media": "audio", "ring_seconds": seconds, "device_id": device,
        });
        let ask = self.ask(caller, Verb::Invite, None);
        Ask { key: Some(key), device: Some(device), body, rung: rung.collect(), ..ask }
    }

    /// Calls somebody. `None`: the caller is told that they are on a call themselves.
    pub async fn invite(&mut self, ask: Ask) -> Result<Option<Call>, GaveUp> {
        // One that is refused may be sent again under its key, so a copy on its way would be another call later on.
        let reply = if ask.may_be_busy {
            self.stage.client.insist(&ask, None, &mut self.dice).await?
        } else {
            self.stage.client.ask(&ask, &mut self.dice).await?
        };
        Ok(View::of(&reply.body).map(|view| Call { id: view.id, invite: ask, view }))
    }

    /// Calls somebody who has not yet been spoken of in this scene.
    pub async fn call(&mut self, caller: usize, callee: usize) -> Result<Option<Call>, GaveUp> {
        let ask = self.invite_to(caller, callee);
        self.invite(ask).await
    }

    pub async fn wait(&mut self, millis: std::ops::Range<u64>) {
        sleep(self.dice.millis(millis)).await;
    }

    /// Picks up a phone, by its ticket if it rings, else in the app.
    pub async fn pick_up(&self, user: usize, phone: usize, call: CallId) -> Hand {
        let (person, phone) = (self.person(user), &self.person(user).phones[phone]);
        let ticket = self.stage.pushes.ticket(call, &phone.ring_token(), RINGS_WITHIN).await;
        Hand {
            user: person.id.clone(),
            device: phone.id.clone(),
            by_ticket: ticket.is_some(),
            bearer: ticket.unwrap_or_else(|| person.token.clone()),
        }
    }

    /// Any phone of somebody.
    pub async fn any_phone(&mut self, user: usize, call: CallId) -> Hand {
        let phone = self.dice.below(self.person(user).phones.len());
        self.pick_up(user, phone, call).await
    }

    /// Whether there is no call here any more in which somebody could act.
    pub async fn is_over(&mut self, call: &Call) -> Result<bool, GaveUp> {
        Ok(self.look(call).await?.is_none_or(|view| view.is_ended()))
    }

    /// How a call stands, as its caller sees it.
    pub async fn look(&mut self, call: &Call) -> Result<Option<View>, GaveUp> {
        let ask = self.ask(self.number_of(&call.view.caller), Verb::Read, Some(call.id));
        let reply = self.stage.client.insist(&ask, None, &mut self.dice).await?;
        Ok(View::of(&reply.body))
    }

    /// The number of a person of this scene.
    pub fn number_of(&self, user: &str) -> usize {
        self.cast.into_iter().find(|number| self.person(*number).id == user).unwrap_or(self.cast[0])
    }

    /// A phone says something.
    pub async fn say(&mut self, hand: &Hand, verb: Verb, call: CallId) -> Result<Reply, GaveUp> {
        let ask = hand.ask(verb, call);
        self.stage.client.ask(&ask, &mut self.dice).await
    }

    /// A party does something that needs no phone.
    pub async fn party(&mut self, user: usize, verb: Verb, call: CallId) -> Result<Reply, GaveUp> {
        let ask = self.ask(user, verb, Some(call));
        self.stage.client.ask(&ask, &mut self.dice).await
    }

    /// Waits until a call is over, which must be soon after this; whether it is.
    pub async fn see_end(&mut self, call: &Call, due: Timestamp) -> Result<bool, GaveUp> {
        let gives_up = Instant::now() + due.since(self.clock.now()) + END_WITHIN;
        loop {
            if self.is_over(call).await? {
                return Ok(true);
            }
            if Instant::now() > gives_up {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Hand {
    pub fn ask(&self, verb: Verb, call: CallId) -> Ask {
        let body = if self.by_ticket { json!({}) } else { json!({"device_id": self.device}) };
        let ask = Ask::of(&self.user, &self.bearer, verb, Some(call));
        Ask { device: Some(self.device.clone()), body, ..ask }
    }
}

impl Stage {
    /// Registers every phone of a person whose token was called dead.
    pub async fn renew(&self, person: usize, dice: &mut Dice) -> Result<(), GaveUp> {
        let person = &self.people[person];
        for phone in &person.phones {
            if phone.renew() {
                self.register(person, phone, dice).await?;
            }
        }
        Ok(())
    }

    /// Registers every phone of a person.
    pub async fn register_all(&self, person: usize, dice: &mut Dice) -> Result<(), GaveUp> {
        let person = &self.people[person];
        for phone in &person.phones {
            self.register(person, phone, dice).await?;
        }
        Ok(())
    }

    async fn register(&self, person: &Person, phone: &Phone, dice: &mut Dice) -> Result<(), GaveUp> {
        let ask = Ask {
            device: Some(phone.id.clone()),
            body: phone.registration(),
            ..Ask::new(person, Verb::Register, None)
        };
        self.client.ask(&ask, dice).await.map(drop)
    }
}
