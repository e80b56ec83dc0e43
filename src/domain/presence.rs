//! Who is in the LiveKit room, as webhooks tell it, and when LiveKit must be asked.
//!
//! Webhooks come late, twice, out of order or never. They may begin things (`connected`, a grace period); only LiveKit's own
//! list of participants, asked for by a task, ends a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::event::EventKind;
use super::ids::UserId;
use super::state::{EndReason, State};
use super::task::TaskKind;
use super::time::{Timestamp, millis};
use super::unknown::Unknown;
pub use super::visit::Visit;
use super::visit::{LISTED, ON_PURPOSE};

/// How long a call that LiveKit could not be asked about waits to ask again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long one that LiveKit could not be asked about waits where both parties are thought to be there and nothing gave reason to doubt it.
const ASK_AGAIN_IN_PEACE: Duration = Duration::from_mins(1);

/// How long a call waits that both have left of their own will. Apps that leave before they hang up, or load a page anew, are quicker.
const BOTH_GONE_FOR: Duration = Duration::from_secs(5);

/// LiveKit's words for a session that ends because its party goes on in another one.
const GOES_ON: [&str; 2] = ["DUPLICATE_IDENTITY", "MIGRATION"];
/// Who is in the room, and what that adds up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The caller's last visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Visit>,
    /// The callee's last visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee: Option<Visit>,
    /// When both were there for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<Timestamp>,
    /// Since when both have been there, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together_since: Option<Timestamp>,
    /// How long they were together before that, in milliseconds.
    #[serde(default)]
    pub talk_ms: u64,
    /// The most that were there at a time.
    #[serde(default)]
    pub peak: u8,
    /// LiveKit was asked and could not answer: this is when it is asked again, or not before it, where a party still has time to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_at: Option<Timestamp>,
    /// When LiveKit last said who is there, where it is asked now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Presence {
    /// Milliseconds that both were there, until `now`.
    pub fn talk_ms_until(&self, now: Timestamp) -> u64 {
        self.talk_ms.saturating_add(self.together_since.map_or(0, |since| millis(now.since(since))))
    }

    /// How many are thought to be in the room.
    pub fn count(&self) -> u8 {
        u8::from(Visit::is_there(self.caller.as_ref())) + u8::from(Visit::is_there(self.callee.as_ref()))
    }

    fn absent_since(&self) -> Option<Timestamp> {
        [&self.caller, &self.callee].into_iter().flatten().filter_map(|visit| visit.left_at).min()
    }

    /// Since when both are gone, if both left of their own will.
    fn both_gone_since(&self) -> Option<Timestamp> {
        let gone = |visit: &Option<Visit>| visit.as_ref().filter(|visit| visit.on_purpose)?.left_at;
        Some(gone(&self.caller)?.max(gone(&self.callee)?))
    }
}

impl Call {
    pub(super) fn visit_mut(&mut self, user: &UserId) -> Option<&mut Option<Visit>> {
        if self.caller.id == *user {
            Some(&mut self.presence.caller)
        } else if self.callee.id == *user {
            Some(&mut self.presence.callee)
        } else {
            None
        }
    }

    /// A party came in. Returns whether that was news.
    pub(super) fn joined(&mut self, user: &UserId, session: &str, now: Timestamp) -> bool {
        let Some(visit) = self.visit_mut(user) else { return false };
        if visit.as_ref().is_some_and(|known| known.knows(session)) {
            return false;
        }
        self.enter(user, session, now);
        true
    }

    fn enter(&mut self, user: &UserId, session: &str, now: Timestamp) {
        let Some(visit) = self.visit_mut(user) else { return };
        let returns = visit.as_ref().is_some_and(|known| known.left_at.is_some());
        match visit {
            Some(known) if known.knows(session) => known.resume(session),
            Some(known) => known.renew(session),
            None => *visit = Some(Visit::new(session)),
        }
        if let Some(known) = visit {
            known.since.get_or_insert(now);
            known.came_at.get_or_insert(now);
        }
        if returns && self.presence.connected_at.is_some() && self.state == State::Active {
            self.tell(EventKind::Reconnected { user_id: user.clone() }, now);
        }
        self.meet(now);
    }

    /// Takes note when both are there and the call has been answered.
    pub(super) fn meet(&mut self, now: Timestamp) {
        self.presence.peak = self.presence.peak.max(self.presence.count());
        if self.state != State::Active || self.presence.count() < 2 || self.presence.together_since.is_some() {
            return;
        }
        self.presence.together_since = Some(now);
        self.presence.ask_at = None;
        if self.presence.connected_at.is_none() {
            self.presence.connected_at = Some(now);
            self.tell(EventKind::Connected {}, now);
        }
        self.record_once_connected(now);
    }

    /// A party left the session that it was in. Returns whether that was news.
    pub(super) fn left(&mut self, user: &UserId, session: &str, reason: &str, now: Timestamp) -> bool {
        if GOES_ON.contains(&reason) {
            return self.went_on(user, session, reason, now);
        }
        let Some(visit) = self.visit_mut(user) else { return false };
        match visit {
            Some(known) if known.session == session && known.left_at.is_some() => return known.left_indeed(reason),
            Some(known) if known.session == session => {}
            Some(known) if known.knows(session) => return false,
            // LiveKit's list showed the party before the webhook of this session came, if it ever does.
            Some(known) if known.session == LISTED && known.left_at.is_none() => session.clone_into(&mut known.session),
            // The webhook of the leaving was quicker than that of the coming.
            Some(known) => {
                known.remember(session.to_owned());
                return true;
            }
            None => *visit = Some(Visit::new(session)),
        }
        self.leave(user, Some(reason), now);
        true
    }

    /// A session ended because its party is there in another one, of which nothing may be known yet.
    fn went_on(&mut self, user: &UserId, session: &str, reason: &str, now: Timestamp) -> bool {
        let Some(visit) = self.visit_mut(user) else { return false };
        match visit {
            Some(known) if known.session == session && known.left_at.is_none() => known.renew(LISTED),
            Some(known) if known.knows(session) => return false,
            Some(known) => known.remember(session.to_owned()),
            None => {
                self.enter(user, LISTED, now);
                return self.went_on(user, session, reason, now);
            }
        }
        if let Some(known) = visit {
            known.note_reason(reason);
        }
        true
    }

    /// A party is gone: for this reason, or nobody knows why.
    fn leave(&mut self, user: &UserId, reason: Option<&str>, now: Timestamp) {
        let Some(Some(visit)) = self.visit_mut(user) else { return };
        visit.stays_no_more(now);
        visit.left_at = Some(now);
        visit.on_purpose = reason == Some(ON_PURPOSE);
        visit.unlisted = reason.is_none();
        visit.note_reason(reason.unwrap_or_default());
        // A pause that was for a call in peace must not make the other party wait.
        self.presence.ask_at = None;
        self.part(now);
        if self.state == State::Active && self.presence.connected_at.is_some() {
            self.tell(EventKind::Reconnecting { user_id: user.clone() }, now);
        }
    }

    /// Adds the time together to the talk time.
    pub(super) fn part(&mut self, now: Timestamp) {
        self.presence.talk_ms = self.presence.talk_ms_until(now);
        self.presence.together_since = None;
    }

    /// Ends the count of the time that each party is there.
    pub(super) fn nobody_stays(&mut self, now: Timestamp) {
        for visit in [&mut self.presence.caller, &mut self.presence.callee].into_iter().flatten() {
            visit.stays_no_more(now);
        }
    }

    /// When LiveKit must be asked who is there: after the connect timeout, after the grace of a lost party, and now and then where
    /// all seems well.
    pub(super) fn presence_deadline(&self) -> Option<Timestamp> {
        let asking = self.tasks.iter().any(|task| task.kind == TaskKind::AskPresence);
        if !self.rules.presence || asking {
            return None;
        }
        let again = self.presence.ask_at;
        match self.presence.together_since {
            Some(since) => again.or_else(|| self.next_check(since)),
            None => self.patience_ends().map(|wanted| again.map_or(wanted, |at| at.max(wanted))),
        }
    }

    /// When LiveKit is asked again about a call in which all seems well since `since`: up to a fifth sooner than `ask_every_ms`, each call
    /// by its own share, so that calls that were asked about at once are not for ever.
    fn next_check(&self, since: Timestamp) -> Option<Timestamp> {
        let last = self.presence.asked_at.map_or(since, |at| at.max(since));
        let every = self.rules.ask_every_ms;
        let sooner = (every / 5).saturating_mul(self.id.random_byte().into()) / 256;
        (every > 0).then(|| last + Duration::from_millis(every - sooner))
    }

    /// Until when a party that is not there may still come.
    fn patience_ends(&self) -> Option<Timestamp> {
        if self.presence.connected_at.is_none() {
            Some(self.answered_at? + Duration::from_millis(self.rules.connect_timeout_ms))
        } else {
            let grace_ends = self.presence.absent_since()? + Duration::from_millis(self.rules.reconnect_grace_ms);
            let both_gone = self.presence.both_gone_since().map(|since| since + BOTH_GONE_FOR);
            Some(both_gone.map_or(grace_ends, |ends| ends.min(grace_ends)))
        }
    }

    /// LiveKit could not say who is there: the call stays, and LiveKit is asked again.
    pub(super) fn presence_unknown(&mut self, now: Timestamp) {
        let by_itself =
            self.presence.together_since.and_then(|since| self.next_check(since)).is_some_and(|at| at <= now);
        self.presence.ask_at = Some(now + if by_itself { ASK_AGAIN_IN_PEACE } else { ASK_AGAIN });
    }

    /// LiveKit's list shows a party in this session.
    fn listed(&mut self, user: &UserId, session: &str, asked: Timestamp, now: Timestamp) {
        let Some(visit) = self.visit_mut(user) else { return };
        let is_news = match visit {
            Some(known) if known.left_at.is_some() => !known.knows(session) || known.may_resume(asked),
            Some(known) => !known.knows(session) && session != LISTED,
            None => true,
        };
        if is_news {
            self.enter(user, session, now);
        }
    }

    /// LiveKit, asked at `asked`, says who is there, and in which session. Returns how the call ends, if it does.
    pub(super) fn present(
        &mut self,
        there: &[(UserId, String)],
        asked: Timestamp,
        now: Timestamp,
    ) -> Option<EndReason> {
        self.presence.ask_at = None;
        if self.rules.ask_every_ms > 0 {
            self.presence.asked_at = Some(now);
        }
        for party in [self.caller.id.clone(), self.callee.id.clone()] {
            // Webhooks that would have told were lost, or are still on their way; LiveKit's word stands in for them.
            match there.iter().find(|(user, _)| *user == party) {
                Some((_, session)) => self.listed(&party, session, asked, now),
                None if Visit::is_there(self.visit_mut(&party)?.as_ref()) => self.leave(&party, None, now),
                None => {}
            }
        }
        if self.presence.together_since.is_some() {
            return None;
        }
        if self.presence.connected_at.is_some() && self.presence.both_gone_since().is_some() {
            return Some(EndReason::Completed);
        }
        match self.presence.connected_at {
            // Asked early, for the room was closed: whoever is missing still has their time to come.
            _ if self.patience_ends()? > now => None,
            None => Some(EndReason::NotConnected),
            Some(_) => Some(EndReason::ConnectionLost),
        }
    }
}
