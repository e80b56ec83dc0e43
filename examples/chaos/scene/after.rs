//! What should get nobody anything: tokens for those who may not join, and inputs that come twice or too late.

use super::actor::{Actor, Call, Hand};
use crate::client::{Ask, GaveUp, Verb};

type Done = Result<(), GaveUp>;

impl Actor<'_> {
    /// A stranger, and the callee before there is an answer, ask for a token.
    pub(super) async fn try_what_nobody_may(&mut self, call: &Call, stranger: usize) -> Done {
        let by_stranger = self.ask(stranger, Verb::Token, Some(call.id));
        let hand = self.any_phone(self.number_of(&call.view.callee), call.id).await;
        for ask in [by_stranger, hand.ask(Verb::Token, call.id)] {
            self.try_in_vain(ask).await?;
        }
        Ok(())
    }

    /// After an answer, the callee's other phones ask for a token, and sometimes a stranger does.
    pub(super) async fn join_in_wrongly(&mut self, call: &Call, winner: &Hand) -> Done {
        let callee = self.number_of(&call.view.callee);
        for phone in 0..self.person(callee).phones.len() {
            if self.person(callee).phones[phone].id != winner.device && self.dice.chance(30) {
                let hand = self.pick_up(callee, phone, call.id).await;
                self.try_in_vain(hand.ask(Verb::Token, call.id)).await?;
            }
        }
        if self.dice.chance(10) {
            let [.., stranger] = self.cast;
            self.try_in_vain(self.ask(stranger, Verb::Token, Some(call.id))).await?;
        }
        Ok(())
    }

    async fn try_in_vain(&mut self, ask: Ask) -> Done {
        self.stage.ledger.count(|tally| tally.tried += 1);
        let ask = Ask { is_tried: true, ..ask };
        self.stage.client.ask(&ask, &mut self.dice).await.map(drop)
    }

    /// After the end: the invite is sent again, and phones and parties say what they might have said before.
    pub(super) async fn come_too_late(&mut self, call: &Call) -> Done {
        if self.dice.chance(25) {
            self.stage.ledger.count(|tally| tally.repeated += 1);
            self.stage.client.ask(&call.invite, &mut self.dice).await?;
        }
        if !self.dice.chance(25) {
            return Ok(());
        }
        let caller = self.number_of(&call.view.caller);
        let callee = self.number_of(&call.view.callee);
        let hand = self.any_phone(callee, call.id).await;
        for verb in [Verb::Answer, Verb::Alerting, Verb::Decline] {
            self.stage.ledger.count(|tally| tally.repeated += 1);
            self.say(&hand, verb, call.id).await?;
        }
        for (party, verb) in [(caller, Verb::Cancel), (callee, Verb::HangUp)] {
            self.stage.ledger.count(|tally| tally.repeated += 1);
            self.party(party, verb, call.id).await?;
        }
        self.try_in_vain(self.ask(caller, Verb::Token, Some(call.id))).await?;
        self.try_in_vain(hand.ask(Verb::Token, call.id)).await?;
        // It must still be as it was.
        self.look(call).await.map(drop)
    }
}
