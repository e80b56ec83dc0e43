//! What a call's parties are told, in order: each event of a call has the next number, without a gap.
//!
//! How events travel (announcement, WebSocket, SSE) is left to the store and to `http`.

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, UserId};
use super::recording::Content;
use super::state::EndReason;
use super::time::Timestamp;
use super::unknown::Unknown;

/// The most bytes of events that a record keeps (about a hundred); past it only the end is still recorded.
pub const MAX_EVENT_BYTES: usize = 12 * 1024;

/// One numbered event of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Event {
    /// 1 for the first of its call, then one more each.
    pub seq: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// What a newer release has to tell with it.
    pub more: Unknown,
    /// Other fields of a newer release.
    pub unknown: Unknown,
}

impl Event {
    pub(super) fn new(seq: u32, at: Timestamp, kind: EventKind) -> Self {
        Self { seq, at, kind, more: Unknown::default(), unknown: Unknown::default() }
    }

    /// How many bytes it takes in a record, at most.
    pub(super) fn bytes(&self) -> usize {
        let id = match &self.kind {
            EventKind::Reconnecting { user_id } | EventKind::Reconnected { user_id } => user_id.as_str().len(),
            EventKind::RecordingStarted { user_id, .. } => user_id.as_ref().map_or(0, |id| id.as_str().len()),
            EventKind::Answered { device_id } => device_id.as_ref().map_or(0, |id| id.as_str().len()),
            EventKind::Invited {}
            | EventKind::Ringing {}
            | EventKind::Declined {}
            | EventKind::Cancelled {}
            | EventKind::Connected {}
            | EventKind::RecordingStopped {}
            | EventKind::Ended { .. } => 0,
        };
        // JSON writes a quotation mark or a backslash as two bytes.
        110 + 2 * id
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The call began.
    Invited {},
    /// The first device of the callee rings.
    Ringing {},
    /// A device answered.
    Answered {
        /// Which; absent if the callee was calling back at that moment and named no device.
        device_id: Option<DeviceId>,
    },
    /// The callee declined, and the call ends.
    Declined {},
    /// The caller gave up, and the call ends.
    Cancelled {},
    /// Both are in the room.
    Connected {},
    /// A party lost the room and may come back.
    Reconnecting {
        /// Who.
        user_id: UserId,
    },
    /// The party is back.
    Reconnected {
        /// Who.
        user_id: UserId,
    },
    /// LiveKit records both parties.
    RecordingStarted {
        /// What of them.
        media: Content,
        /// The party that wanted it; absent if it was the app's backend, or if every call is recorded.
        user_id: Option<UserId>,
    },
    /// Nothing is recorded any more.
    RecordingStopped {},
    /// The call is over; always the last event.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// An event as it stands in a record.
#[derive(Serialize, Deserialize)]
struct Written {
    seq: u32,
    at: Timestamp,
    #[serde(rename = "type")]
    name: Name,
    data: Data,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The name of a kind, in records and in the API.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Name {
    #[serde(rename = "call.invited")]
    Invited,
    #[serde(rename = "call.ringing")]
    Ringing,
    #[serde(rename = "call.answered")]
    Answered,
    #[serde(rename = "call.declined")]
    Declined,
    #[serde(rename = "call.cancelled")]
    Cancelled,
    #[serde(rename = "call.connected")]
    Connected,
    #[serde(rename = "call.reconnecting")]
    Reconnecting,
    #[serde(rename = "call.reconnected")]
    Reconnected,
    #[serde(rename = "call.recording_started")]
    RecordingStarted,
    #[serde(rename = "call.recording_stopped")]
    RecordingStopped,
    #[serde(rename = "call.ended")]
    Ended,
}

/// What the kinds have.
#[derive(Default, Serialize, Deserialize)]
struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Content>,
    #[serde(flatten)]
    more: Unknown,
}

impl From<Event> for Written {
    fn from(Event { seq, at, kind, more, unknown }: Event) -> Self {
        let none = Data { more, ..Data::default() };
        let (name, data) = match kind {
            EventKind::Invited {} => (Name::Invited, none),
            EventKind::Ringing {} => (Name::Ringing, none),
            EventKind::Answered { device_id } => (Name::Answered, Data { device_id, ..none }),
            EventKind::Declined {} => (Name::Declined, none),
            EventKind::Cancelled {} => (Name::Cancelled, none),
            EventKind::Connected {} => (Name::Connected, none),
            EventKind::Reconnecting { user_id } => (Name::Reconnecting, Data { user_id: Some(user_id), ..none }),
            EventKind::Reconnected { user_id } => (Name::Reconnected, Data { user_id: Some(user_id), ..none }),
            EventKind::RecordingStarted { media, user_id } => {
                (Name::RecordingStarted, Data { media: Some(media), user_id, ..none })
            }
            EventKind::RecordingStopped {} => (Name::RecordingStopped, none),
            EventKind::Ended { reason } => (Name::Ended, Data { reason: Some(reason), ..none }),
        };
        Self { seq, at, name, data, unknown }
    }
}

impl TryFrom<Written> for Event {
    type Error = &'static str;

    fn try_from(Written { seq, at, name, mut data, unknown }: Written) -> Result<Self, Self::Error> {
        let kind = data.take_kind(name).ok_or("an event without what its kind tells")?;
        let Data { device_id, user_id, reason, media, mut more } = data;
        // A newer release may tell with a kind what here another one tells.
        more.keep("device_id", device_id.map(String::from));
        more.keep("user_id", user_id.map(String::from));
        more.keep("reason", reason.map(EndReason::as_str));
        more.keep("media", media.map(Content::as_str));
        Ok(Self { seq, at, kind, more, unknown })
    }
}

impl Data {
    fn take_kind(&mut self, name: Name) -> Option<EventKind> {
        Some(match name {
            Name::Invited => EventKind::Invited {},
            Name::Ringing => EventKind::Ringing {},
            Name::Answered => EventKind::Answered { device_id: self.device_id.take() },
            Name::Declined => EventKind::Declined {},
            Name::Cancelled => EventKind::Cancelled {},
            Name::Connected => EventKind::Connected {},
            Name::Reconnecting => EventKind::Reconnecting { user_id: self.user_id.take()? },
            Name::Reconnected => EventKind::Reconnected { user_id: self.user_id.take()? },
            Name::RecordingStarted => {
                EventKind::RecordingStarted { media: self.media.take()?, user_id: self.user_id.take() }
            }
            Name::RecordingStopped => EventKind::RecordingStopped {},
            Name::Ended => EventKind::Ended { reason: self.reason.take()? },
        })
    }
}
