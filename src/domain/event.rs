//! What a call's parties are told, in order: each event of a call has the next number, without a gap.
//!
//! How events travel (announcement, WebSocket, SSE) is left to the store and to `http`.

use serde::{Deserialize, Serialize};

use super::ids::{DeviceId, UserId};
use super::state::EndReason;
use super::time::Timestamp;

/// The most bytes of events that a record keeps (about a hundred); past it only the end is still recorded.
pub const MAX_EVENT_BYTES: usize = 12 * 1024;

/// One numbered event of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1 for the first of its call, then one more each.
    pub seq: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Event {
    /// How many bytes it takes in a record, at most.
    pub(super) fn bytes(&self) -> usize {
        let id = match &self.kind {
            EventKind::Reconnecting { user_id } | EventKind::Reconnected { user_id } => user_id.as_str().len(),
            EventKind::Answered { device_id } => device_id.as_ref().map_or(0, |id| id.as_str().len()),
            EventKind::Invited {}
            | EventKind::Ringing {}
            | EventKind::Declined {}
            | EventKind::Cancelled {}
            | EventKind::Connected {}
            | EventKind::Ended { .. } => 0,
        };
        // JSON writes a quotation mark or a backslash as two bytes.
        90 + 2 * id
    }
}

/// What happened. The names are those of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum EventKind {
    /// The call began.
    #[serde(rename = "call.invited")]
    Invited {},
    /// The first device of the callee rings.
    #[serde(rename = "call.ringing")]
    Ringing {},
    /// A device answered.
    #[serde(rename = "call.answered")]
    Answered {
        /// Which; absent if the callee was calling back at that moment and named no device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device_id: Option<DeviceId>,
    },
    /// The callee declined, and the call ends.
    #[serde(rename = "call.declined")]
    Declined {},
    /// The caller gave up, and the call ends.
    #[serde(rename = "call.cancelled")]
    Cancelled {},
    /// Both are in the room.
    #[serde(rename = "call.connected")]
    Connected {},
    /// A party lost the room and may come back.
    #[serde(rename = "call.reconnecting")]
    Reconnecting {
        /// Who.
        user_id: UserId,
    },
    /// The party is back.
    #[serde(rename = "call.reconnected")]
    Reconnected {
        /// Who.
        user_id: UserId,
    },
    /// The call is over; always the last event.
    #[serde(rename = "call.ended")]
    Ended {
        /// Why.
        reason: EndReason,
    },
}
