//! What happens in each kind of scene. Nothing is expected here: calls go on as they do while gateways die, and `check` judges.

use std::time::Duration;

use futures_util::future::join_all;

use super::Course;
use super::actor::{Actor, Call, Hand};
use crate::client::{GaveUp, Verb};
use crate::world::config::LONGEST_CALL_SECONDS;

type Done = Result<(), GaveUp>;

impl Actor<'_> {
    pub(super) async fn follow(&mut self, course: Course) -> Done {
        let [caller, callee, third] = self.cast;
        match course {
            Course::Glare => return self.glare(caller, callee).await,
            Course::Redial => return self.redial(caller, callee, third).await,
            Course::Probe => return self.probe(caller, callee).await,
            _ => {}
        }
        let Some(call) = self.call(caller, callee).await? else { return Ok(()) };
        if self.dice.chance(10) {
            self.try_what_nobody_may(&call, third).await?;
        }
        match course {
            Course::Answered => {
                if self.answer(&call).await?.is_some() {
                    self.wait(50..1500).await;
                    self.hang_up(&call).await?;
                }
            }
            Course::Race => self.race(&call).await?,
            Course::Declined => {
                let hand = self.ring(&call).await?;
                self.wait(50..1200).await;
                self.say(&hand, Verb::Decline, call.id).await?;
            }
            Course::Cancelled => {
                self.wait(20..2500).await;
                self.party(caller, Verb::Cancel, call.id).await?;
            }
            Course::Ignored => {
                if self.dice.chance(60) {
                    self.ring(&call).await?;
                }
            }
            Course::AllBusy => self.all_busy(&call).await?,
            Course::Quarrel => self.quarrel(&call).await?,
            Course::Busy => self.busy(&call, third).await?,
            Course::Forgotten => {
                self.answer(&call).await?;
            }
            Course::Glare | Course::Redial | Course::Probe => {}
        }
        self.finish(&call).await
    }

    /// Waits until the call is over, and does what comes too late then.
    async fn finish(&mut self, call: &Call) -> Done {
        let longest = Duration::from_secs(LONGEST_CALL_SECONDS);
        if self.see_end(call, call.view.ring_until + longest).await? {
            self.come_too_late(call).await?;
        }
        Ok(())
    }

    fn callee(&self, call: &Call) -> usize {
        self.number_of(&call.view.callee)
    }

    /// A phone rings, and says so more often than not.
    async fn ring(&mut self, call: &Call) -> Result<Hand, GaveUp> {
        let hand = self.any_phone(self.callee(call), call.id).await;
        if self.dice.chance(70) {
            self.say(&hand, Verb::Alerting, call.id).await?;
        }
        Ok(hand)
    }

    /// A phone answers; it, if it was the first.
    async fn answer(&mut self, call: &Call) -> Result<Option<Hand>, GaveUp> {
        let hand = self.ring(call).await?;
        self.wait(20..900).await;
        let reply = self.say(&hand, Verb::Answer, call.id).await?;
        if reply.status != 200 {
            return Ok(None);
        }
        self.join_in_wrongly(call, &hand).await?;
        if self.dice.chance(25) {
            self.stage.ledger.count(|tally| tally.repeated += 1);
            self.say(&hand, Verb::Answer, call.id).await?;
        }
        if self.dice.chance(20) {
            self.say(&hand, Verb::Token, call.id).await?;
        }
        Ok(Some(hand))
    }

    async fn hang_up(&mut self, call: &Call) -> Done {
        let caller = self.number_of(&call.view.caller);
        if self.dice.chance(20) {
            self.party(caller, Verb::Token, call.id).await?;
        }
        let party = if self.dice.chance(50) { caller } else { self.callee(call) };
        self.party(party, Verb::HangUp, call.id).await.map(drop)
    }

    async fn race(&mut self, call: &Call) -> Done {
        let callee = self.callee(call);
        let phones = 0..self.person(callee).phones.len();
        let hands = join_all(phones.map(|phone| self.pick_up(callee, phone, call.id))).await;
        let client = &self.stage.client;
        let mut dice: Vec<_> = hands.iter().map(|_| self.dice.fork()).collect();
        let answers = hands.iter().zip(&mut dice).enumerate().map(|(place, (hand, dice))| async move {
            // Each begins at another gateway.
            client.insist(&hand.ask(Verb::Answer, call.id), Some(place), dice).await
        });
        let replies = join_all(answers).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let winner = hands.iter().zip(&replies).find(|(_, reply)| reply.status == 200);
        if let Some((winner, _)) = winner {
            self.join_in_wrongly(call, winner).await?;
        }
        self.wait(50..800).await;
        self.hang_up(call).await
    }

    async fn glare(&mut self, one: usize, other: usize) -> Done {
        let (there, back) = (self.invite_to(one, other), self.invite_to(other, one));
        let apart = self.dice.millis(0..30);
        let (mut dice, mut others) = (self.dice.fork(), self.dice.fork());
        let client = &self.stage.client;
        let later = async {
            tokio::time::sleep(apart).await;
            client.ask(&back, &mut others).await
        };
        let (first, second) = tokio::join!(client.ask(&there, &mut dice), later);
        let mut calls: Vec<Call> = Vec::new();
        for (invite, reply) in [(there, first?), (back, second?)] {
            if let Some(view) = crate::view::View::of(&reply.body)
                && calls.iter().all(|known| known.id != view.id)
            {
                calls.push(Call { id: view.id, invite, view });
            }
        }
        self.wait(100..800).await;
        for call in &calls {
            self.hang_up(call).await?;
        }
        for call in &calls {
            self.finish(call).await?;
        }
        Ok(())
    }

    async fn redial(&mut self, caller: usize, callee: usize, third: usize) -> Done {
        let Some(first) = self.call(caller, callee).await? else { return Ok(()) };
        self.wait(50..1500).await;
        self.stage.ledger.wish(first.id, Verb::Cancel, self.clock.now());
        let again = if self.dice.chance(50) { callee } else { third };
        let second = self.call(caller, again).await?;
        if let Some(second) = &second {
            self.wait(50..1000).await;
            self.party(caller, Verb::Cancel, second.id).await?;
            self.finish(second).await?;
        }
        self.finish(&first).await
    }

    async fn probe(&mut self, one: usize, other: usize) -> Done {
        for (caller, callee) in [(one, other), (other, one)] {
            if let Some(call) = self.call(caller, callee).await? {
                self.party(caller, Verb::Cancel, call.id).await?;
                self.finish(&call).await?;
            }
        }
        Ok(())
    }

    async fn all_busy(&mut self, call: &Call) -> Done {
        let callee = self.callee(call);
        self.stage.ledger.may_be_busy(call.id);
        for phone in 0..self.person(callee).phones.len() {
            let hand = self.pick_up(callee, phone, call.id).await;
            let mut ask = hand.ask(Verb::Decline, call.id);
            ask.body["reason"] = "busy".into();
            self.stage.client.ask(&ask, &mut self.dice).await?;
        }
        Ok(())
    }

    async fn quarrel(&mut self, call: &Call) -> Done {
        let [caller, ..] = self.cast;
        let hand = self.ring(call).await?;
        let mut asks = vec![self.ask(caller, Verb::Cancel, Some(call.id)), hand.ask(Verb::Answer, call.id)];
        if self.dice.chance(50) {
            asks.push(self.any_phone(self.callee(call), call.id).await.ask(Verb::Decline, call.id));
        }
        let client = &self.stage.client;
        let mut dice: Vec<_> = asks.iter().map(|_| self.dice.fork()).collect();
        let all = asks.iter().zip(&mut dice).map(|(ask, dice)| client.ask(ask, dice));
        join_all(all).await.into_iter().try_for_each(|reply| reply.map(drop))?;
        // The answer may have come first; the cancel hung up then, or it did not arrive in time to.
        self.party(caller, Verb::HangUp, call.id).await.map(drop)
    }

    async fn busy(&mut self, call: &Call, third: usize) -> Done {
        if self.answer(call).await?.is_none() {
            return Ok(());
        }
        let callee = self.callee(call);
        for (from, to) in [(third, callee), (callee, third)] {
            let mut invite = self.invite_to(from, to);
            invite.may_be_busy = true;
            if let Some(other) = self.invite(invite).await? {
                self.party(from, Verb::Cancel, other.id).await?;
                self.finish(&other).await?;
            }
        }
        self.hang_up(call).await
    }
}
