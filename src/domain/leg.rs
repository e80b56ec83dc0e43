//! A leg: one device of the callee, how far its ring got, and what is kept of that for who asks why it did not ring.
//!
//! What moves it is in `ring`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::device::{Device, Platform};
use super::receipt::Receipt;
use super::time::Timestamp;
use super::unknown::Unknown;

/// A phone that is on and online has the push, and its app says what became of the ring, within this time.
pub const WORD_WITHIN: Duration = Duration::from_secs(5);

/// A browser whose last event stream has ended may load its page again within this time; then it is gone.
pub const BACK_WITHIN: Duration = Duration::from_secs(5);
/// The reason of a leg whose browser is gone.
const DISCONNECTED: &str = "disconnected";

/// One device of the callee and how far its ring got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The device as it was registered when the call began.
    pub device: Arc<Device>,
    /// How far its ring got.
    pub state: LegState,
    /// Why, where the state has a reason: `not_rung`, `failed`, and `stopped`, with the word of the push that stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why the device could not ring, if it said so; it stays when the leg goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_rung: Option<String>,
    /// When a provider first took the ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When the device was first in touch without a word about its ring; noted only where a VoIP budget asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacted_at: Option<Timestamp>,
    /// When the device said that it rings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerting_at: Option<Timestamp>,
    /// When the device first said anything: that it rings or could not, an answer, a decline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked_at: Option<Timestamp>,
    /// When no answer could come from it any more: it answered or declined, was stopped, or has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// When the device first spoke after it had been stopped, having said nothing before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_at: Option<Timestamp>,
    /// Since when a browser has no event stream open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// What providers said of its pushes; the first and the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Receipt>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How far the ring of a leg got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// The push is on its way to the provider.
    Queued,
    /// The provider took it, or the device is awake and needs none.
    Sent,
    /// The device says that it rings.
    Alerting,
    /// The device says that it could not ring.
    NotRung,
    /// The device answered.
    Answered,
    /// The device declined.
    Declined,
    /// The device is on another call.
    Busy,
    /// Ended from elsewhere.
    Stopped,
    /// The provider refused for good.
    Failed,
}

impl LegState {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Alerting => "alerting",
            Self::NotRung => "not_rung",
            Self::Answered => "answered",
            Self::Declined => "declined",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether an answer may still come from it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sent | Self::Alerting | Self::NotRung)
    }
}

impl Leg {
    /// A leg that is about to be pushed to, or, for a browser, that needs no push.
    pub fn new(device: Device, now: Timestamp) -> Self {
        let (state, reason) = match (device.ring_token(), device.platform) {
            (Some(_), _) => (LegState::Queued, None),
            (None, Platform::Web) => (LegState::Sent, None),
            // Its provider has called the token dead. What else it has is good for a missed call.
            (None, Platform::Ios | Platform::Android) => (LegState::Failed, Some("no-token".to_owned())),
        };
        Self {
            device: Arc::new(device),
            state,
            reason,
            not_rung: None,
            sent_at: None,
            contacted_at: None,
            alerting_at: None,
            acked_at: None,
            closed_at: (state == LegState::Failed).then_some(now),
            late_at: None,
            gone_at: None,
            receipts: Vec::new(),
            unknown: Unknown::default(),
        }
    }

    /// Whether its device has said nothing yet.
    pub const fn is_silent(&self) -> bool {
        matches!(self.state, LegState::Queued | LegState::Sent)
    }

    /// Whether its device was in touch while it rang by VoIP, and said nothing to the end though it had the time.
    pub fn kept_silent(&self) -> bool {
        let had = self.closed_at.zip(self.contacted_at).map(|(closed, contacted)| closed.since(contacted));
        self.state == LegState::Stopped && self.acked_at.is_none() && had.is_some_and(|had| had >= WORD_WITHIN)
    }

    /// Whether a word of its device would be its first, and late.
    pub const fn can_be_late(&self) -> bool {
        matches!(self.state, LegState::Stopped) && self.acked_at.is_none() && self.late_at.is_none()
    }

    /// Whether it rings by an event stream alone.
    pub(super) fn is_by_stream(&self) -> bool {
        self.device.platform == Platform::Web && self.state.is_open()
    }

    /// When its browser, which has no stream open, will have been gone for too long.
    pub(super) fn gone_for_good_at(&self) -> Option<Timestamp> {
        self.gone_at.filter(|_| self.is_by_stream()).map(|at| at + BACK_WITHIN)
    }

    /// Its browser is gone.
    pub(super) fn disconnect(&mut self, now: Timestamp) {
        self.close(LegState::Failed, Some(DISCONNECTED.to_owned()), now);
    }

    /// No answer can come from it any more.
    pub(super) fn close(&mut self, state: LegState, reason: Option<String>, now: Timestamp) {
        self.state = state;
        self.reason = reason;
        self.closed_at = Some(now);
    }
}
