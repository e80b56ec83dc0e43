//! What the app's backend is told of by webhooks, and who wants to hear of it. How it gets there is `outbound`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::EndpointId;
use super::unknown::Unknown;

/// What a webhook tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WebhookEvent {
    /// A call is over; with all that is known of it.
    #[serde(rename = "call.ended")]
    CallEnded,
    /// A call is over that its callee missed.
    #[serde(rename = "call.missed")]
    CallMissed,
    /// A user was banned, and their calls have ended.
    #[serde(rename = "user.banned")]
    UserBanned,
    /// A share of the plan is used up.
    #[serde(rename = "usage.warning")]
    UsageWarning,
    /// A recording can be watched.
    #[serde(rename = "recording.ready")]
    RecordingReady,
}

impl WebhookEvent {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::CallEnded, Self::CallMissed, Self::UserBanned, Self::UsageWarning, Self::RecordingReady];

    /// Its name in records, in the configuration and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallEnded => "call.ended",
            Self::CallMissed => "call.missed",
            Self::UserBanned => "user.banned",
            Self::UsageWarning => "usage.warning",
            Self::RecordingReady => "recording.ready",
        }
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The endpoints that are told of a call, as the configuration had them when it began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribers {
    /// Of its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<EndpointId>,
    /// That it was missed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<EndpointId>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}
