//! The words for where a call stands and why it ended, as records and the API spell them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Pushes are out; no device has said that it rings.
    Calling,
    /// At least one device rings.
    Ringing,
    /// One device has answered.
    Active,
    /// Over for good.
    Ended,
}

impl State {
    /// Its word, outside and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Calling => "calling",
            Self::Ringing => "ringing",
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A party hung up after the answer, or both left.
    Completed,
    /// A device declined.
    Declined,
    /// The caller gave up first.
    Cancelled,
    /// Nobody answered in time.
    TimedOut,
    /// The callee was on another call.
    Busy,
    /// No device of the callee could be reached.
    Unreachable,
    /// Answered, but the two never met in the room.
    NotConnected,
    /// A party was lost and did not come back.
    ConnectionLost,
    /// The longest allowed length was reached.
    MaxDuration,
    /// A party was banned.
    Banned,
    /// The gateway could not go on.
    Failed,
}

impl EndReason {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Busy => "busy",
            Self::Unreachable => "unreachable",
            Self::NotConnected => "not_connected",
            Self::ConnectionLost => "connection_lost",
            Self::MaxDuration => "max_duration",
            Self::Banned => "banned",
            Self::Failed => "failed",
        }
    }

    /// Whether the callee is told of a missed call.
    pub const fn is_missed(self) -> bool {
        matches!(self, Self::Cancelled | Self::TimedOut | Self::Busy | Self::Unreachable | Self::Failed)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// Sound.
    Audio,
    /// Sound and pictures.
    Video,
}

impl Media {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// What a decline ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeclineScope {
    /// The whole call.
    Call,
    /// The device that declined.
    Device,
}
