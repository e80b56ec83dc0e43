//! What the outside world must still do for a call.
//!
//! A task lives in the call's record until it is done, has failed for good, or has lost its purpose. Whoever commits
//! a new attempt of it carries it out; if that instance dies, the attempt's lease passes and the next wake-up begins another.
//! So effects happen at least once. `dispatch` carries tasks out; nothing here does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::device::Platform;
use super::ids::{DeviceId, UserId};
use super::time::Timestamp;
use super::unknown::Unknown;

/// One open task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Task {
    /// Unique in its call, never used again.
    pub id: u32,
    /// What to do.
    pub kind: TaskKind,
    /// Number of the current or next attempt, from 1.
    pub attempt: u32,
    /// When the wake-up begins the next attempt: the end of the current one's lease, or of a pause.
    pub due: Timestamp,
    /// After this it has no purpose and is dropped.
    pub until: Timestamp,
    /// Fields of a newer release.
    pub unknown: Unknown,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskKind {
    /// Push the ring to a device.
    Ring {
        /// Which.
        device: DeviceId,
        /// Its platform, which sets the lease.
        platform: Platform,
    },
    /// Tell a device that it need not ring any more.
    StopRing {
        /// Which.
        device: DeviceId,
        /// Its platform.
        platform: Platform,
        /// Why.
        reason: StopReason,
    },
    /// Tell a device of the missed call.
    NotifyMissed {
        /// Which.
        device: DeviceId,
        /// Its platform.
        platform: Platform,
    },
    /// Take the call off a user's line.
    FreeLine {
        /// Whose.
        user: UserId,
    },
    /// Ask LiveKit who is in the room.
    AskPresence,
}

/// Why a device need not ring any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The caller gave up.
    Cancelled,
    /// Another device answered.
    AnsweredElsewhere,
    /// Another device declined.
    DeclinedElsewhere,
    /// Nobody answered.
    TimedOut,
    /// It ended in another way.
    Ended,
}

impl StopReason {
    /// The name used in pushes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::DeclinedElsewhere => "declined_elsewhere",
            Self::TimedOut => "timed_out",
            Self::Ended => "ended",
        }
    }
}

impl TaskKind {
    /// How long one attempt may take, its quick retries included.
    pub const fn deadline(&self) -> Duration {
        match self {
            Self::Ring { platform, .. } | Self::StopRing { platform, .. } | Self::NotifyMissed { platform, .. } => {
                match platform {
                    Platform::Ios | Platform::Web => Duration::from_secs(2),
                    Platform::Android => Duration::from_secs(4),
                }
            }
            Self::FreeLine { .. } => Duration::from_secs(1),
            Self::AskPresence => Duration::from_secs(5),
        }
    }

    /// How long an attempt is left alone: its deadline and a second for its result to arrive.
    pub fn lease(&self) -> Duration {
        self.deadline() + Duration::from_secs(1)
    }

    /// Whether it makes the device ring.
    pub const fn is_ring(&self) -> bool {
        matches!(self, Self::Ring { .. })
    }

    /// Whether it makes this device ring.
    pub fn rings(&self, device: &DeviceId) -> bool {
        self.is_ring() && self.device() == Some(device)
    }

    /// The device that it is about.
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Ring { device, .. } | Self::StopRing { device, .. } | Self::NotifyMissed { device, .. } => {
                Some(device)
            }
            Self::FreeLine { .. } | Self::AskPresence => None,
        }
    }
}

/// A task as it stands in a record: what its kind has lies beside the rest.
#[derive(Serialize, Deserialize)]
struct Written {
    id: u32,
    task: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<StopReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    attempt: u32,
    due: Timestamp,
    until: Timestamp,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The name of a kind.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Ring,
    StopRing,
    NotifyMissed,
    FreeLine,
    AskPresence,
}

impl From<Task> for Written {
    fn from(Task { id, kind, attempt, due, until, unknown }: Task) -> Self {
        let (task, device, platform, reason, user) = match kind {
            TaskKind::Ring { device, platform } => (Name::Ring, Some(device), Some(platform), None, None),
            TaskKind::StopRing { device, platform, reason } => {
                (Name::StopRing, Some(device), Some(platform), Some(reason), None)
            }
            TaskKind::NotifyMissed { device, platform } => {
                (Name::NotifyMissed, Some(device), Some(platform), None, None)
            }
            TaskKind::FreeLine { user } => (Name::FreeLine, None, None, None, Some(user)),
            TaskKind::AskPresence => (Name::AskPresence, None, None, None, None),
        };
        Self { id, task, device, platform, reason, user, attempt, due, until, unknown }
    }
}

impl TryFrom<Written> for Task {
    type Error = &'static str;

    fn try_from(mut written: Written) -> Result<Self, Self::Error> {
        let kind = written.take_kind().ok_or("a task without what its kind needs")?;
        let Written { id, device, platform, reason, user, attempt, due, until, mut unknown, .. } = written;
        // A newer release may give a kind what here another one has.
        unknown.keep("device", device);
        unknown.keep("platform", platform.map(Platform::as_str));
        unknown.keep("reason", reason.map(StopReason::as_str));
        unknown.keep("user", user);
        Ok(Self { id, kind, attempt, due, until, unknown })
    }
}

impl Written {
    fn take_kind(&mut self) -> Option<TaskKind> {
        Some(match self.task {
            Name::Ring => TaskKind::Ring { device: self.device.take()?, platform: self.platform.take()? },
            Name::StopRing => TaskKind::StopRing {
                device: self.device.take()?,
                platform: self.platform.take()?,
                reason: self.reason.take()?,
            },
            Name::NotifyMissed => {
                TaskKind::NotifyMissed { device: self.device.take()?, platform: self.platform.take()? }
            }
            Name::FreeLine => TaskKind::FreeLine { user: self.user.take()? },
            Name::AskPresence => TaskKind::AskPresence,
        })
    }
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskResult {
    /// It is done; for a push, what the provider said.
    Done(Option<Receipt>),
    /// Not yet: try again after the pause.
    Retry(Duration, Option<Receipt>),
    /// It can never be done.
    Failed(Option<Receipt>),
    /// LiveKit says that these users are in the room.
    Present(Vec<UserId>),
}

/// What a push provider answered: the material of `explain`, without any token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// When.
    pub at: Timestamp,
    /// `apns` or `fcm`.
    pub provider: String,
    /// What was pushed: `ring`, `stop` or `missed`.
    pub push: String,
    /// HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The provider's reason, or ours.
    pub reason: String,
    /// The provider's id of the push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// From sending to the answer, in milliseconds.
    pub latency_ms: u64,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}
