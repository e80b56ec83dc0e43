//! Promises 2 and 8, and of 6 what is about answers: who has answered, who was told so, and who may join.

use super::{Case, Judged};
use crate::report::Kind;

impl Case<'_> {
    pub(super) fn answers(&self, judged: &mut Judged) {
        let (noted, record) = (self.noted, self.record);
        judged.look(Kind::OneAnswer, usize::from(record.answered_at.is_some()));
        if noted.winners.len() > 1 {
            self.violation(
                judged,
                Kind::OneAnswer,
                format!("each of {:?} was told that it had answered", noted.winners),
            );
        }
        for winner in &noted.winners {
            if record.answered_by.as_ref() != Some(winner) {
                let seen = format!("{winner} was told that it had answered; the record says {:?}", record.answered_by);
                self.violation(judged, Kind::OneAnswer, seen);
            }
        }
        for loser in &noted.losers {
            if record.answered_by.as_ref() == Some(loser) {
                let seen = format!("{loser} has answered, and was told that another device had");
                self.violation(judged, Kind::Replay, seen);
            }
            if record.answered_at.is_none() {
                let seen = format!("{loser} was told that another device had answered, and none has");
                self.violation(judged, Kind::OneAnswer, seen);
            }
        }
        if let Some((over, _)) = &noted.over
            && over != record
        {
            self.violation(judged, Kind::Replay, format!("it had ended as {over:?}, and is {record:?} now"));
        }
    }

    /// Every token must have been for a party that may join, and for a call that had not ended.
    pub(super) fn tokens(&self, judged: &mut Judged) {
        let record = self.record;
        judged.look(Kind::Tokens, self.noted.grants.len());
        for grant in &self.noted.grants {
            let is_winner = record.answered_by.is_some() && grant.device == record.answered_by;
            if grant.user != record.caller && !(grant.user == record.callee && is_winner) {
                let seen = format!(
                    "{} on {:?} got a token; caller {}, callee {} on {:?}",
                    grant.user, grant.device, record.caller, record.callee, record.answered_by
                );
                self.violation(judged, Kind::Tokens, seen);
            }
            if let Some((_, seen_at)) = &self.noted.over
                && grant.asked_at > *seen_at
            {
                self.violation(judged, Kind::Tokens, format!("{} got a token after the end", grant.user));
            }
        }
    }
}
