//! The record of a call: everything that is known about it, with one version and one next wake-up.
//!
//! How it changes is `machine`'s; how it is written down is the store's. Fields that this code does not know
//! (a newer release wrote them) are kept as they came.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::again::PushRules;
use super::event::{Event, EventKind, MAX_EVENT_BYTES};
use super::ids::{CallId, DeviceId, UserId};
use super::leg::{Leg, LegState};
use super::presence::Presence;
use super::recording::InCall;
use super::state::{DeclineScope, EndReason, Media, State};
use super::task::{Task, TaskKind};
use super::time::Timestamp;
use super::trace::TraceParent;
use super::unknown::{Unknown, is_default};
use super::webhook::Subscribers;

/// How long after its end a record still carries what only a live call needs.
pub const COMPACT_AFTER: Duration = Duration::from_mins(10);

/// How long after the ring's end a ticket can still ask how it went.
pub const OUTCOME_READABLE_FOR: Duration = Duration::from_mins(5);

/// One call, from invite to the end of its retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id, the same everywhere.
    pub id: CallId,
    /// One more with every commit; 1 for the first.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// Why it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<EndReason>,
    /// Who calls.
    pub caller: Party,
    /// The device that calls, if it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_device: Option<DeviceId>,
    /// Who is called.
    pub callee: Party,
    /// The one device of the callee that is rung, if it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee_device: Option<DeviceId>,
    /// Sound alone, or pictures too.
    pub media: Media,
    /// The LiveKit room, whose name cannot be guessed.
    pub room: String,
    /// The app's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Arc<Value>>,
    /// The callee has blocked the caller, and neither of them must notice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// The rules that it began with; a changed configuration changes later calls only.
    pub rules: Rules,
    /// When the invite was committed.
    pub created_at: Timestamp,
    /// When an unanswered call ends.
    pub ring_until: Timestamp,
    /// When the first device rang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ringing_at: Option<Timestamp>,
    /// When a device answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
    /// Which device answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<DeviceId>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who is in the room, and was.
    #[serde(default)]
    pub presence: Presence,
    /// Its recording, once one was wanted. In a box, since few calls have one and each step copies the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Box<InCall>>,
    /// One per device of the callee.
    #[serde(default)]
    pub legs: Vec<Leg>,
    /// What there still is to do.
    #[serde(default)]
    pub tasks: Vec<Task>,
    /// The id of the next task.
    pub next_task: u32,
    /// What its parties were told.
    pub events: Vec<Event>,
    /// Whether what only a live call needs has been dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compacted: bool,
    /// Where in a trace its invite is, if that is traced: what is done for the call anywhere belongs below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A party as the other one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The user.
    pub id: UserId,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The avatar's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The rules of one call. Durations are in milliseconds.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own, by its own key in the configuration")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How long the two have to meet in the room after the answer.
    pub connect_timeout_ms: u64,
    /// How long a lost party has to come back.
    pub reconnect_grace_ms: u64,
    /// The longest a call may last after the answer.
    pub max_duration_ms: u64,
    /// How long the record is kept after the end.
    pub retention_ms: u64,
    /// What a decline ends.
    pub decline: DeclineScope,
    /// Whether a missed call is pushed.
    pub missed_call: bool,
    /// Whether LiveKit can be asked who is in the room; without it nobody's absence ends a call.
    pub presence: bool,
    /// Whether LiveKit's rooms are made and closed for calls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rooms: bool,
    /// How often LiveKit is asked about a call in which both parties are thought to be; 0: never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ask_every_ms: u64,
    /// Whether it is recorded without anybody asking for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub record: bool,
    /// When a push goes out again, and by which ways.
    #[serde(default, skip_serializing_if = "is_default")]
    pub push: PushRules,
    /// Which of the backend's endpoints are told.
    #[serde(default, skip_serializing_if = "is_default")]
    pub webhooks: Subscribers,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// The one next wake-up of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeUp {
    /// When it is due.
    pub at: Timestamp,
    /// Whether a person waits for it; the rest (compaction, retention) yields to those.
    pub urgent: bool,
}

/// What a ticket is good for at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketScope {
    /// Everything that the device may do.
    Full,
    /// To read how it ended.
    Outcome,
    /// Nothing.
    Nothing,
}

impl Call {
    /// The party that a user is, if they are one.
    pub fn party(&self, user: &UserId) -> Option<&Party> {
        [&self.caller, &self.callee].into_iter().find(|party| party.id == *user)
    }

    /// Whether a user may know of the call: its parties, but for a callee who has blocked the caller.
    pub fn is_visible_to(&self, user: &UserId) -> bool {
        self.caller.id == *user || (self.callee.id == *user && !self.hidden)
    }

    /// Whether a user is told of it as it goes, on this device: of a call to one device of the callee, the others hear nothing.
    pub fn is_announced_to(&self, user: &UserId, device: Option<&DeviceId>) -> bool {
        self.callee.id != *user || self.callee_device.is_none() || self.callee_device.as_ref() == device
    }

    /// Whether it has ended.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether it waits for an answer.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Calling | State::Ringing)
    }

    /// The leg of a device.
    pub fn leg(&self, device: &DeviceId) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.device.id == *device)
    }

    /// The open task with an id.
    pub fn task(&self, id: u32) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The attempts that this record began and `before` had not: what its committer carries out.
    pub fn begun_since<'a>(&'a self, before: Option<&'a Self>) -> impl Iterator<Item = &'a Task> {
        self.tasks.iter().filter(move |task| {
            let known = before.and_then(|call| call.task(task.id));
            task.attempt > known.map_or(0, |known| known.attempt)
        })
    }

    /// Whether an attempt still has a purpose: it is the current one, and its device has not spoken meanwhile.
    pub fn wants(&self, task: u32, attempt: u32) -> bool {
        self.task(task).is_some_and(|task| {
            let leg = task.kind.device().and_then(|device| self.leg(device));
            task.attempt == attempt && (!task.kind.is_ring() || leg.is_some_and(Leg::is_silent))
        })
    }

    /// The number of the last event.
    pub fn last_seq(&self) -> u32 {
        self.events.last().map_or(0, |event| event.seq)
    }

    /// When something must be done next. Every record has such a time until it is removed.
    pub fn wake_up(&self) -> WakeUp {
        let deadline = match self.state {
            State::Calling | State::Ringing => Some(self.ring_until),
            State::Active => Some(self.presence_deadline().map_or(self.longest(), |at| at.min(self.longest()))),
            State::Ended => None,
        };
        let gone = self.legs.iter().filter_map(Leg::gone_for_good_at);
        let urgent = self.tasks.iter().map(|task| task.due).chain(gone).chain(deadline).min();
        match urgent {
            Some(at) => WakeUp { at, urgent: true },
            None if self.compacted => WakeUp { at: self.retained_until(), urgent: false },
            None => WakeUp { at: self.compact_at(), urgent: false },
        }
    }

    /// When an answered call has lasted as long as it may.
    pub(super) fn longest(&self) -> Timestamp {
        self.answered_at.unwrap_or(self.created_at) + Duration::from_millis(self.rules.max_duration_ms)
    }

    /// When the record of an ended call is stripped.
    pub(super) fn compact_at(&self) -> Timestamp {
        self.over_at() + COMPACT_AFTER
    }

    /// Until when the record is kept.
    pub fn retained_until(&self) -> Timestamp {
        (self.over_at() + Duration::from_millis(self.rules.retention_ms)).max(self.compact_at())
    }

    fn over_at(&self) -> Timestamp {
        self.ended_at.unwrap_or(self.ring_until)
    }

    /// What a ticket of this call and device is good for.
    pub fn ticket_scope(&self, device: &DeviceId, now: Timestamp) -> TicketScope {
        match self.ticket_ends(device) {
            _ if self.leg(device).is_none() => TicketScope::Nothing,
            None => TicketScope::Full,
            Some(at) if now > at => TicketScope::Nothing,
            Some(_) => TicketScope::Outcome,
        }
    }

    /// When a ticket of this device is good for nothing any more, if that is known: a while after the end, or, for
    /// every device but the one that answered, after the answer.
    pub fn ticket_ends(&self, device: &DeviceId) -> Option<Timestamp> {
        let over = if self.was_answered_by(device) { self.ended_at } else { self.answered_at.or(self.ended_at) };
        over.map(|at| at + OUTCOME_READABLE_FOR)
    }

    /// Whether an event is of a device's business: its ring, and the talk only if it has answered.
    pub fn concerns(&self, device: &DeviceId, event: &Event) -> bool {
        let answer = self.events.iter().find(|event| matches!(event.kind, EventKind::Answered { .. }));
        self.was_answered_by(device) || answer.is_none_or(|answer| event.seq <= answer.seq)
    }

    fn was_answered_by(&self, device: &DeviceId) -> bool {
        self.leg(device).is_some_and(|leg| leg.state == LegState::Answered)
    }

    /// Records an event under the next number. Past the limit only the end is recorded.
    pub(super) fn tell(&mut self, kind: EventKind, at: Timestamp) {
        let used: usize = self.events.iter().map(Event::bytes).sum();
        if used < MAX_EVENT_BYTES || matches!(kind, EventKind::Ended { .. }) {
            self.events.push(Event::new(self.last_seq().saturating_add(1), at, kind));
        }
    }

    /// Opens a task and begins its first attempt.
    pub(super) fn open(&mut self, kind: TaskKind, until: Timestamp, now: Timestamp) {
        let due = now + kind.lease();
        self.add_task(kind, 1, due, until);
    }

    /// Opens a task whose first attempt is begun by a wake-up.
    pub(super) fn open_at(&mut self, kind: TaskKind, due: Timestamp, until: Timestamp) {
        self.add_task(kind, 0, due, until);
    }

    fn add_task(&mut self, kind: TaskKind, attempt: u32, due: Timestamp, until: Timestamp) {
        self.tasks.push(Task { id: self.next_task, kind, attempt, due, until, unknown: Unknown::default() });
        self.next_task = self.next_task.saturating_add(1);
    }
}
