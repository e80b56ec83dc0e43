//! What is to be told to a device, whatever its platform; `apns` and `fcm` make wire formats of it.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{CallId, Device, DeviceId, Party, StopReason, Timestamp, UserId};

/// One push to one device.
#[derive(Debug, Clone)]
pub struct Push {
    /// Names this push to the provider (`apns-id`); the same over retries.
    pub id: Uuid,
    /// Whose device it is.
    pub owner: UserId,
    /// The device, with its tokens. Set to `IosPushMode::Alert`, an iPhone that rings by VoIP gets an alert in its place.
    pub device: Arc<Device>,
    /// When the provider may stop trying. A ring never outlives its `ring_until`.
    pub expires_at: Timestamp,
    /// What it says.
    pub message: Message,
}

/// What a push says.
#[derive(Clone)]
pub enum Message {
    /// A call rings.
    Ring(Ring),
    /// A ringing device must stop.
    Cancel {
        /// The call.
        call_id: CallId,
        /// Why it stops.
        reason: StopReason,
    },
    /// A call was missed.
    Missed {
        /// The call missed last.
        call_id: CallId,
        /// Who called.
        caller: Party,
        /// How many calls from this caller were missed.
        count: u32,
        /// When the last one was missed.
        at: Timestamp,
    },
    /// Somebody registers this phone as theirs, and its app is to say this back.
    Proof {
        /// The name that they gave the phone.
        device: DeviceId,
        /// What is to be said back.
        proof: String,
    },
}

impl fmt::Debug for Message {
    /// Leaves out what is secret: tickets and proofs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(ring) => ring.fmt(f),
            other => f.debug_tuple(other.kind().as_str()).field(&other.call_id()).finish(),
        }
    }
}

impl Message {
    /// Which of them it is.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Ring(_) => MessageKind::Ring,
            Self::Cancel { .. } => MessageKind::Cancel,
            Self::Missed { .. } => MessageKind::Missed,
            Self::Proof { .. } => MessageKind::Proof,
        }
    }

    /// The call it is about, if it is about one.
    pub const fn call_id(&self) -> Option<CallId> {
        match self {
            Self::Ring(ring) => Some(ring.call_id),
            Self::Cancel { call_id, .. } | Self::Missed { call_id, .. } => Some(*call_id),
            Self::Proof { .. } => None,
        }
    }
}

/// The kind of a [`Message`], which decides the token that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A call rings.
    Ring,
    /// A ringing device must stop.
    Cancel,
    /// A call was missed.
    Missed,
    /// Whose the phone is.
    Proof,
}

impl MessageKind {
    /// The name used in pushes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Cancel => "cancel",
            Self::Missed => "missed",
            Self::Proof => "device_proof",
        }
    }
}

/// All that a device must know to ring, and to answer without a session.
#[derive(Clone)]
pub struct Ring {
    /// The call.
    pub call_id: CallId,
    /// Who calls.
    pub caller: Party,
    /// Whether it is a video call.
    pub video: bool,
    /// When the call was made.
    pub created_at: Timestamp,
    /// When the ring ends.
    pub ring_until: Timestamp,
    /// Lets the device act on this call.
    pub ticket: String,
    /// Where the ticket is good.
    pub url: Arc<str>,
    /// What the app hung on the call.
    pub metadata: Option<Arc<serde_json::Value>>,
}

impl fmt::Debug for Ring {
    /// Leaves out the ticket, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("call_id", &self.call_id)
            .field("caller", &self.caller.id)
            .field("ring_until", &self.ring_until)
            .finish_non_exhaustive()
    }
}
