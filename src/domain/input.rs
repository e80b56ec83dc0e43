//! Everything that can happen to a call, and what comes of it.

use thiserror::Error;

use super::call::Call;
use super::device::Device;
use super::ids::{DeviceId, UserId};
use super::receipt::Receipt;
use super::recording::{AskedBy, Content};
use super::state::{EndReason, State};
use super::task::TaskResult;

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A registered device that was not asked to ring (it came later) takes part.
    LegAdded(Box<Device>),
    /// A device rings (SIP 180).
    DeviceAlerting(DeviceId),
    /// A device could not ring: Do Not Disturb, no permission.
    DeviceNotRung(DeviceId, String),
    /// A device was in touch with the gateway, and said nothing of its ring.
    DeviceContacted(DeviceId),
    /// A device spoke of its ring when that was over.
    DeviceLate(DeviceId),
    /// A browser has no event stream open any more.
    DeviceGone(DeviceId),
    /// A browser that had none has one again, or had one all the time.
    DeviceBack(DeviceId),
    /// A device answers (SIP 200).
    Answer(DeviceId),
    /// The callee has called the caller meanwhile, from this device if named: glare, which answers.
    InvitedBack(Option<DeviceId>),
    /// A device declines.
    Decline(DeviceId, DeclineReason),
    /// The caller gives up.
    Cancel,
    /// The caller calls anew, which gives up this call if nobody has answered it.
    Redialled,
    /// A party hangs up.
    HangUp(UserId),
    /// An attempt of a task has a result.
    TaskFinished {
        /// Which task.
        task: u32,
        /// Which attempt.
        attempt: u32,
        /// How it went.
        result: TaskResult,
    },
    /// What a provider said of pushes to a device whose task was gone by then.
    PushTold(DeviceId, Vec<Receipt>),
    /// LiveKit saw a party enter the room, in a session that it names.
    ParticipantJoined(UserId, String),
    /// LiveKit saw a party leave the room.
    ParticipantLeft {
        /// Who.
        user: UserId,
        /// In which session.
        session: String,
        /// LiveKit's word for why; empty if it gave none.
        reason: String,
    },
    /// LiveKit made the room.
    RoomStarted,
    /// LiveKit closed the room, or has it no more.
    RoomFinished,
    /// Who is in the room according to LiveKit is not who is thought to be there.
    PresenceDoubted,
    /// A party was given a token to come back with.
    TokenGiven,
    /// Somebody wants it recorded.
    RecordingAsked(AskedBy),
    /// LiveKit records it: its recording of this number.
    RecordingStarted(u32, Content),
    /// Nothing is recorded any more.
    RecordingStopped(u32),
    /// There is no recording after all, and another one can be asked for.
    RecordingFailed(u32),
    /// A user was banned.
    Banned(UserId),
    /// It is time to see what is due.
    Wake,
}

impl Input {
    /// Its name in `docs/STATE-MACHINE.md` and in errors.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LegAdded(_) => "leg added",
            Self::DeviceAlerting(_) => "device alerting",
            Self::DeviceNotRung(..) => "device not rung",
            Self::DeviceContacted(_) => "device contacted",
            Self::DeviceLate(_) => "device late",
            Self::DeviceGone(_) => "device gone",
            Self::DeviceBack(_) => "device back",
            Self::Answer(_) => "answer",
            Self::InvitedBack(_) => "invited back",
            Self::Decline(..) => "decline",
            Self::Cancel => "cancel",
            Self::Redialled => "redialled",
            Self::HangUp(_) => "hang up",
            Self::TaskFinished { .. } => "task finished",
            Self::PushTold(..) => "push told",
            Self::ParticipantJoined(..) => "participant joined",
            Self::ParticipantLeft { .. } => "participant left",
            Self::RoomStarted => "room started",
            Self::RoomFinished => "room finished",
            Self::PresenceDoubted => "presence doubted",
            Self::TokenGiven => "token given",
            Self::RecordingAsked(_) => "recording asked",
            Self::RecordingStarted(..) => "recording started",
            Self::RecordingStopped(_) => "recording stopped",
            Self::RecordingFailed(_) => "recording failed",
            Self::Banned(_) => "banned",
            Self::Wake => "wake",
        }
    }
}

/// What a device says when it declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclineReason {
    /// Its user does not want the call.
    Declined,
    /// The device has another call; others may still answer.
    Busy,
}

/// What an input did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The call went on to this record.
    Applied(Box<Call>),
    /// A duplicate or a late one: success, and nothing changed.
    Ignored(&'static str),
}

/// An input that may not be, in the state that the call is in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{input} is refused while the call is {state}: {why}")]
pub struct Refusal {
    /// The state.
    pub state: State,
    /// The input's name.
    pub input: &'static str,
    /// Why.
    pub why: RefusalReason,
}

/// Why an input was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RefusalReason {
    /// Another device has answered.
    #[error("another device has answered")]
    AnsweredElsewhere,
    /// The call has ended.
    #[error("the call has ended: {0}")]
    Ended(EndReason),
    /// The device is not one of those that ring.
    #[error("the device does not take part in the call")]
    NotALeg,
    /// The device has declined before.
    #[error("the device has declined before")]
    Declined,
    /// Nobody has answered the call yet.
    #[error("the call has not been answered")]
    NotAnswered,
    /// The user is no party of the call.
    #[error("the user is no party of the call")]
    NotAParty,
}
