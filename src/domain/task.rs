//! What the outside world must still do for a call.
//!
//! A task lives in the call's record until it is done, has failed for good, or has lost its purpose. Whoever commits
//! a new attempt of it carries it out; if that instance dies, the attempt's lease passes and the next wake-up begins another.
//! So effects happen at least once. `dispatch` carries tasks out; nothing here does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::device::Platform;
use super::ids::{DeviceId, EndpointId, UserId};
use super::receipt::Receipt;
use super::time::Timestamp;
use super::unknown::Unknown;
use super::webhook::WebhookEvent;

/// One open task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Task {
    /// Unique in its call, never used again.
    pub id: u32,
    /// What to do.
    pub kind: TaskKind,
    /// Number of the current attempt, from 1; 0 for one that has not begun.
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
        /// Which push of the ring to this device, from 1. The next one is another push, with another id.
        number: u32,
    },
    /// Push an alert beside the VoIP ring of an iPhone.
    RingAlert {
        /// Which.
        device: DeviceId,
        /// Its platform.
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
    /// Make the room.
    OpenRoom,
    /// Close the room.
    CloseRoom {
        /// Whom to take out of it first: a user who is banned, or who came after the end.
        eject: Option<UserId>,
    },
    /// Make the record of the call's recording, which goes on by itself.
    StartRecording,
    /// Tell the recording that the call is over.
    StopRecording,
    /// Tell the app's backend.
    Report {
        /// What of.
        event: WebhookEvent,
        /// At which endpoint.
        endpoint: EndpointId,
    },
    /// Add the call to what is used.
    Account,
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
    /// The word for it in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ring { .. } => "ring",
            Self::RingAlert { .. } => "ring_alert",
            Self::StopRing { .. } => "stop_ring",
            Self::NotifyMissed { .. } => "notify_missed",
            Self::FreeLine { .. } => "free_line",
            Self::AskPresence => "ask_presence",
            Self::OpenRoom => "open_room",
            Self::CloseRoom { .. } => "close_room",
            Self::StartRecording => "start_recording",
            Self::StopRecording => "stop_recording",
            Self::Report { .. } => "report",
            Self::Account => "account",
        }
    }

    /// How long one attempt may take, its quick retries included.
    pub const fn deadline(&self) -> Duration {
        match self {
            Self::Ring { platform, .. }
            | Self::RingAlert { platform, .. }
            | Self::StopRing { platform, .. }
            | Self::NotifyMissed { platform, .. } => match platform {
                Platform::Ios | Platform::Web => Duration::from_secs(2),
                Platform::Android => Duration::from_secs(4),
            },
            Self::AskPresence | Self::OpenRoom | Self::CloseRoom { .. } | Self::Account => Duration::from_secs(5),
            Self::FreeLine { .. } | Self::StartRecording | Self::StopRecording => Duration::from_secs(1),
            Self::Report { .. } => Duration::from_secs(15),
        }
    }

    /// How long an attempt is left alone: its deadline and a second for its result to arrive.
    pub fn lease(&self) -> Duration {
        self.deadline() + Duration::from_secs(1)
    }

    /// Whether it makes the device ring.
    pub const fn is_ring(&self) -> bool {
        matches!(self, Self::Ring { .. } | Self::RingAlert { .. })
    }

    /// Whether it makes this device ring.
    pub fn rings(&self, device: &DeviceId) -> bool {
        self.is_ring() && self.device() == Some(device)
    }

    /// The device that it is about.
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Ring { device, .. }
            | Self::RingAlert { device, .. }
            | Self::StopRing { device, .. }
            | Self::NotifyMissed { device, .. } => Some(device),
            Self::FreeLine { .. }
            | Self::AskPresence
            | Self::OpenRoom
            | Self::CloseRoom { .. }
            | Self::StartRecording
            | Self::StopRecording
            | Self::Report { .. }
            | Self::Account => None,
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
    /// Of a ring that is pushed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    /// Of a ring: whether it is the alert that goes beside. An older release takes it for another ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<bool>,
    /// Of a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<WebhookEvent>,
    /// Of a report.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<EndpointId>,
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
    OpenRoom,
    CloseRoom,
    StartRecording,
    StopRecording,
    Report,
    Account,
}

impl From<Task> for Written {
    fn from(Task { id, kind, attempt, due, until, unknown }: Task) -> Self {
        let empty = Self {
            id,
            task: Name::AskPresence,
            device: None,
            platform: None,
            reason: None,
            user: None,
            number: None,
            beside: None,
            event: None,
            endpoint: None,
            attempt,
            due,
            until,
            unknown,
        };
        let of = |task, device, platform| (task, Some(device), Some(platform));
        let ((task, device, platform), rest) = match kind {
            TaskKind::Ring { device, platform, number } => {
                let number = (number > 1).then_some(number);
                (of(Name::Ring, device, platform), Self { number, ..empty })
            }
            TaskKind::RingAlert { device, platform } => {
                (of(Name::Ring, device, platform), Self { beside: Some(true), ..empty })
            }
            TaskKind::StopRing { device, platform, reason } => {
                (of(Name::StopRing, device, platform), Self { reason: Some(reason), ..empty })
            }
            TaskKind::NotifyMissed { device, platform } => (of(Name::NotifyMissed, device, platform), empty),
            TaskKind::FreeLine { user } => ((Name::FreeLine, None, None), Self { user: Some(user), ..empty }),
            TaskKind::AskPresence => ((Name::AskPresence, None, None), empty),
            TaskKind::OpenRoom => ((Name::OpenRoom, None, None), empty),
            TaskKind::CloseRoom { eject } => ((Name::CloseRoom, None, None), Self { user: eject, ..empty }),
            TaskKind::StartRecording => ((Name::StartRecording, None, None), empty),
            TaskKind::StopRecording => ((Name::StopRecording, None, None), empty),
            TaskKind::Report { event, endpoint } => {
                ((Name::Report, None, None), Self { event: Some(event), endpoint: Some(endpoint), ..empty })
            }
            TaskKind::Account => ((Name::Account, None, None), empty),
        };
        Self { task, device, platform, ..rest }
    }
}

impl TryFrom<Written> for Task {
    type Error = &'static str;

    fn try_from(mut written: Written) -> Result<Self, Self::Error> {
        let kind = written.take_kind().ok_or("a task without what its kind needs")?;
        let Written { id, device, platform, reason, user, number, beside, event, endpoint, .. } = written;
        let Written { attempt, due, until, mut unknown, .. } = written;
        // A newer release may give a kind what here another one has.
        unknown.keep("device", device.map(String::from));
        unknown.keep("platform", platform.map(Platform::as_str));
        unknown.keep("reason", reason.map(StopReason::as_str));
        unknown.keep("user", user.map(String::from));
        unknown.keep("number", number);
        unknown.keep("beside", beside);
        unknown.keep("event", event.map(WebhookEvent::as_str));
        unknown.keep("endpoint", endpoint.map(String::from));
        Ok(Self { id, kind, attempt, due, until, unknown })
    }
}

impl Written {
    fn take_kind(&mut self) -> Option<TaskKind> {
        Some(match self.task {
            Name::Ring => {
                let (device, platform) = (self.device.take()?, self.platform.take()?);
                match self.beside.take_if(|beside| *beside) {
                    Some(_) => TaskKind::RingAlert { device, platform },
                    None => TaskKind::Ring { device, platform, number: self.number.take().unwrap_or(1).max(1) },
                }
            }
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
            Name::OpenRoom => TaskKind::OpenRoom,
            Name::CloseRoom => TaskKind::CloseRoom { eject: self.user.take() },
            Name::StartRecording => TaskKind::StartRecording,
            Name::StopRecording => TaskKind::StopRecording,
            Name::Report => TaskKind::Report { event: self.event.take()?, endpoint: self.endpoint.take()? },
            Name::Account => TaskKind::Account,
        })
    }
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskResult {
    /// It is done; for a push, what the provider said, in order.
    Done(Vec<Receipt>),
    /// Not yet: try again after the pause.
    Retry(Duration, Vec<Receipt>),
    /// It can never be done.
    Failed(Vec<Receipt>),
    /// LiveKit says that these users are in the room, each in this session.
    Present(Vec<(UserId, String)>),
}

impl TaskResult {
    /// The word for it in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Done(_) | Self::Present(_) => "done",
            Self::Retry(..) => "retry",
            Self::Failed(_) => "failed",
        }
    }

    /// What providers said.
    pub fn receipts(&self) -> &[Receipt] {
        match self {
            Self::Done(receipts) | Self::Retry(_, receipts) | Self::Failed(receipts) => receipts,
            Self::Present(_) => &[],
        }
    }
}
