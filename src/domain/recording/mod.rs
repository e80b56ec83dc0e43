//! A recording of a call: a record of its own, since it outlives the call's.
//!
//! Here is what it holds; `progress` is how it goes on, by what is asked of it, `report` what LiveKit says of it, and `in_call` what the
//! call's own record knows of it. Nothing in it is secret: where the file lies, and no key to it.

mod in_call;
mod progress;
mod report;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use in_call::{InCall, Stage};
pub use progress::{LEASE, Next, Outcome};
pub use report::{Report, Status};

use super::ids::{CallId, UserId};
use super::time::Timestamp;
use super::unknown::{Unknown, is_default};

/// Who may have a call recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Nobody.
    #[default]
    Off,
    /// The app's backend.
    Service,
    /// Either party, and the backend.
    Party,
    /// Every call is recorded; the backend stops and erases.
    Always,
}

/// What of a call is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Sound, each party on a channel of its own.
    #[default]
    Audio,
    /// What both publish, in one picture.
    Composite,
}

impl Content {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Composite => "composite",
        }
    }
}

/// The file of a recording of sound alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AudioFormat {
    /// MP4 with AAC.
    #[default]
    Mp4,
    /// Ogg with Opus.
    Ogg,
}

/// Where a recording stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordingState {
    /// It is wanted; LiveKit has not taken it yet.
    Requested,
    /// LiveKit has taken it.
    Starting,
    /// LiveKit records.
    Active,
    /// It is to end, or its file is on the way to the storage.
    Stopping,
    /// Its file is in the storage.
    Complete,
    /// It could not be made, or LiveKit lost it.
    Failed,
    /// It was stopped before it began.
    Aborted,
    /// Its file is to be deleted.
    Erasing,
    /// Its file is deleted.
    Erased,
}

impl RecordingState {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Stopping => "stopping",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Erasing => "erasing",
            Self::Erased => "erased",
        }
    }

    /// Whether nothing is recorded any more, nor will be.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Aborted | Self::Erasing | Self::Erased)
    }
}

/// At whose word a call is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AskedBy {
    /// Every call is.
    Policy,
    /// The app's backend.
    Service,
    /// A party.
    Party(UserId),
}

impl AskedBy {
    /// The party, if it was one.
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::Party(user) => Some(user),
            Self::Policy | Self::Service => None,
        }
    }
}

impl From<AskedBy> for String {
    fn from(by: AskedBy) -> Self {
        match by {
            AskedBy::Policy => "policy".to_owned(),
            AskedBy::Service => "service".to_owned(),
            AskedBy::Party(user) => format!("party:{user}"),
        }
    }
}

impl TryFrom<String> for AskedBy {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "policy" => Ok(Self::Policy),
            "service" => Ok(Self::Service),
            _ => {
                let user = text.strip_prefix("party:").and_then(|user| UserId::new(user).ok());
                user.map(Self::Party).ok_or("nobody who can ask for a recording")
            }
        }
    }
}

/// The record of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The call, and this record's name.
    pub call: CallId,
    /// Its parties, who may still see it when the call's record is gone; nobody once they are forgotten.
    pub parties: Vec<UserId>,
    /// The room.
    pub room: String,
    /// What is recorded.
    pub content: Content,
    /// Where it stands.
    pub state: RecordingState,
    /// Who wanted it.
    pub asked_by: AskedBy,
    /// When.
    pub asked_at: Timestamp,
    /// 1 for the first of its call; one that failed can be followed by another.
    pub number: u32,
    /// The bucket of its file.
    pub bucket: String,
    /// The file in it. Known before LiveKit is asked, so that a recording is known again.
    pub key: String,
    /// How long it is kept after it is over, in milliseconds.
    pub retention_ms: u64,
    /// LiveKit's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<String>,
    /// The last word of LiveKit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub heard: Status,
    /// When LiveKit began to record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How long it is, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How large its file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why it is not there, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whether LiveKit may have been asked to start it with no answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_sent: bool,
    /// When it was asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<Timestamp>,
    /// Whether LiveKit knows that it shall stop.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_sent: bool,
    /// Egresses of LiveKit that write its files and should not run; they are to be stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strays: Vec<String>,
    /// What its call and the app's backend are still to be told, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tell: Vec<Tell>,
    /// How often in a row LiveKit or the storage could not be had.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tries: u32,
    /// Since when LiveKit has known nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since: Option<Timestamp>,
    /// An instance is at work on it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_until: Option<Timestamp>,
    /// When the next thing is to be done.
    pub next_at: Timestamp,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Something to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tell {
    /// The call: LiveKit records.
    Started,
    /// The call: nothing is recorded any more.
    Stopped,
    /// The call: there is no recording, and another one can be asked for.
    Failed,
    /// The app's backend: it can be watched.
    Ready,
}

/// How calls are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingPlan {
    /// Who may have a call recorded.
    pub policy: Policy,
    /// What of it.
    pub content: Content,
    /// The file of sound alone.
    pub audio_format: AudioFormat,
    /// How long a recording is kept.
    pub retention: Duration,
    /// The bucket, if there is a storage.
    pub bucket: Option<String>,
    /// The folder in it.
    pub prefix: String,
}

impl Recording {
    /// Until when its record is kept; its file goes then. LiveKit's clock may be wrong, but nothing ends before it was asked for.
    pub fn retained_until(&self) -> Timestamp {
        self.ended_at.unwrap_or(self.asked_at).max(self.asked_at) + Duration::from_millis(self.retention_ms)
    }

    /// Whether a user was a party of its call.
    pub fn has_party(&self, user: &UserId) -> bool {
        self.parties.contains(user)
    }

    /// Whether its file is Ogg, and not MP4.
    pub fn is_ogg(&self) -> bool {
        self.key.rsplit_once('.').is_some_and(|(_, end)| end == "ogg")
    }

    /// Every file that may lie in the bucket of it: also of those before, which failed.
    pub fn keys(&self) -> Vec<String> {
        let (base, end) = self.key.rsplit_once('.').unwrap_or((&self.key, ""));
        let base = base.strip_suffix(&format!("-{}", self.number)).filter(|_| self.number > 1).unwrap_or(base);
        (1..=self.number).map(|number| numbered(base, number, end)).collect()
    }

    /// When it must be looked after next.
    pub fn due(&self) -> Timestamp {
        self.busy_until.unwrap_or(self.next_at)
    }
}

impl RecordingPlan {
    /// Where the file of a call's recording lies. It ends as LiveKit would have it end.
    pub fn key(&self, call: CallId, number: u32) -> String {
        let folder = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let end = match (self.content, self.audio_format) {
            (Content::Audio, AudioFormat::Ogg) => "ogg",
            (Content::Audio, AudioFormat::Mp4) | (Content::Composite, _) => "mp4",
        };
        numbered(&format!("{folder}{call}"), number, end)
    }
}

fn numbered(base: &str, number: u32, end: &str) -> String {
    if number > 1 { format!("{base}-{number}.{end}") } else { format!("{base}.{end}") }
}

#[cfg(test)]
mod tests;
