//! Who is in the LiveKit room, as webhooks tell it, and when LiveKit must be asked.
//!
//! Webhooks come late, twice, out of order or never. They may begin things (`connected`, a grace period); only LiveKit's own
//! list of participants, asked for by a task, ends a call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::{Call, EndReason, State};
use super::event::EventKind;
use super::ids::UserId;
use super::task::TaskKind;
use super::time::{Timestamp, millis};

/// How long a call that LiveKit could not be asked about waits to ask again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

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
    /// LiveKit was asked and could not answer; not before this is it asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_at: Option<Timestamp>,
}

/// One stay of a party in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// LiveKit's id of this stay.
    pub session: String,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// Whether the party left of their own will.
    #[serde(default)]
    pub on_purpose: bool,
}

impl Visit {
    fn is_there(visit: Option<&Self>) -> bool {
        visit.is_some_and(|visit| visit.left_at.is_none())
    }
}

impl Presence {
    /// Milliseconds that both were there, until `now`.
    pub fn talk_ms_until(&self, now: Timestamp) -> u64 {
        self.talk_ms + self.together_since.map_or(0, |since| millis(now.since(since)))
    }

    fn count(&self) -> u8 {
        u8::from(Visit::is_there(self.caller.as_ref())) + u8::from(Visit::is_there(self.callee.as_ref()))
    }

    fn absent_since(&self) -> Option<Timestamp> {
        [&self.caller, &self.callee].into_iter().flatten().filter_map(|visit| visit.left_at).min()
    }
}

impl Call {
    fn visit_mut(&mut self, user: &UserId) -> Option<&mut Option<Visit>> {
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
        if visit.as_ref().is_some_and(|known| known.session == session) {
            return false;
        }
        let returns = visit.as_ref().is_some_and(|known| known.left_at.is_some());
        *visit = Some(Visit { session: session.to_owned(), left_at: None, on_purpose: false });
        if returns && self.presence.connected_at.is_some() && self.state == State::Active {
            self.tell(EventKind::Reconnected { user_id: user.clone() }, now);
        }
        self.meet(now);
        true
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
    }

    /// A party left the session that it was in. Returns whether that was news.
    pub(super) fn left(&mut self, user: &UserId, session: &str, on_purpose: bool, now: Timestamp) -> bool {
        let Some(visit) = self.visit_mut(user) else { return false };
        match visit {
            Some(known) if known.session == session && known.left_at.is_none() => {
                known.left_at = Some(now);
                known.on_purpose = on_purpose;
            }
            _ => return false,
        }
        self.part(now);
        if self.state == State::Active && self.presence.connected_at.is_some() {
            self.tell(EventKind::Reconnecting { user_id: user.clone() }, now);
        }
        true
    }

    /// Adds the time together to the talk time.
    pub(super) fn part(&mut self, now: Timestamp) {
        self.presence.talk_ms = self.presence.talk_ms_until(now);
        self.presence.together_since = None;
    }

    /// When LiveKit must be asked who is there: after the connect timeout, or after the grace of a lost party.
    pub(super) fn presence_deadline(&self) -> Option<Timestamp> {
        let asking = self.tasks.iter().any(|task| task.kind == TaskKind::AskPresence);
        let answered_at = self.answered_at?;
        if !self.rules.presence || asking || self.presence.together_since.is_some() {
            return None;
        }
        let due = if self.presence.connected_at.is_none() {
            answered_at + Duration::from_millis(self.rules.connect_timeout_ms)
        } else {
            self.presence.absent_since()? + Duration::from_millis(self.rules.reconnect_grace_ms)
        };
        Some(self.presence.ask_at.map_or(due, |at| at.max(due)))
    }

    /// LiveKit could not say who is there: the call stays, and LiveKit is asked again.
    pub(super) fn presence_unknown(&mut self, now: Timestamp) {
        self.presence.ask_at = Some(now + ASK_AGAIN);
    }

    /// LiveKit says who is there. Returns how the call ends, if it does.
    pub(super) fn present(&mut self, users: &[UserId], now: Timestamp) -> Option<EndReason> {
        let parties = [self.caller.id.clone(), self.callee.id.clone()];
        let missing: Vec<_> = parties.iter().filter(|party| !users.contains(party)).collect();
        if missing.is_empty() {
            // The webhooks that would have told were lost; LiveKit's word stands in for them.
            for party in &parties {
                self.joined(party, "listed", now);
            }
            return None;
        }
        let meant_it = |visit: &Option<Visit>| visit.as_ref().is_some_and(|v| v.left_at.is_some() && v.on_purpose);
        let both_left = meant_it(&self.presence.caller) && meant_it(&self.presence.callee);
        Some(match (self.presence.connected_at, both_left) {
            (None, _) => EndReason::NotConnected,
            (Some(_), true) => EndReason::Completed,
            (Some(_), false) => EndReason::ConnectionLost,
        })
    }
}
