//! What a call's own record knows of its recording: that one is wanted, runs, or is over, so that both parties are told in order.
//!
//! The recording itself goes its own way, in a record of its own (`progress`).

use serde::{Deserialize, Serialize};

use super::{AskedBy, Content};
use crate::domain::call::Call;
use crate::domain::event::EventKind;
use crate::domain::state::State;
use crate::domain::task::TaskKind;
use crate::domain::time::Timestamp;
use crate::domain::unknown::Unknown;

/// The recording of a call, as the call knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InCall {
    /// Which of the call's recordings.
    pub number: u32,
    /// How far it is.
    pub stage: Stage,
    /// Who wanted it.
    pub asked_by: AskedBy,
    /// When.
    pub asked_at: Timestamp,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How far the recording of a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It is wanted, and begins when both are connected.
    Asked,
    /// It is to begin.
    Starting,
    /// LiveKit records.
    On,
    /// Nothing is recorded any more.
    Over,
    /// There was none; another one can be asked for.
    Failed,
}

impl Stage {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked | Self::Starting => "starting",
            Self::On => "on",
            Self::Over => "over",
            Self::Failed => "failed",
        }
    }
}

impl Call {
    /// Whether both parties are being recorded, or will be.
    pub fn is_recorded(&self) -> bool {
        let stage = self.recording.as_ref().map(|recording| recording.stage);
        matches!(stage, Some(Stage::Asked | Stage::Starting | Stage::On))
    }

    /// Somebody wants an answered call recorded. Returns whether that was news.
    pub(in crate::domain) fn record(&mut self, asked_by: AskedBy, now: Timestamp) -> bool {
        let last = self.recording.as_ref();
        if last.is_some_and(|last| last.stage != Stage::Failed) {
            return false;
        }
        let number = last.map_or(0, |last| last.number).saturating_add(1);
        let unknown = Unknown::default();
        self.recording = Some(Box::new(InCall { number, stage: Stage::Asked, asked_by, asked_at: now, unknown }));
        self.record_once_connected(now);
        true
    }

    /// Begins the recording that is wanted, once both are connected: LiveKit records a room only where something is published.
    pub(in crate::domain) fn record_once_connected(&mut self, now: Timestamp) {
        if self.state != State::Active || self.presence.connected_at.is_none() {
            return;
        }
        if self.rules.record && self.recording.is_none() {
            self.record(AskedBy::Policy, now);
        }
        if let Some(recording) = self.recording.as_mut().filter(|recording| recording.stage == Stage::Asked) {
            recording.stage = Stage::Starting;
            self.open(TaskKind::StartRecording, self.longest(), now);
        }
    }

    /// LiveKit records. Returns whether that was news.
    pub(in crate::domain) fn recording_started(&mut self, number: u32, content: Content, now: Timestamp) -> bool {
        let Some(recording) = self.recording_mut(number, &[Stage::Starting]) else { return false };
        recording.stage = Stage::On;
        let user_id = recording.asked_by.user().cloned();
        self.tell(EventKind::RecordingStarted { media: content, user_id }, now);
        true
    }

    /// Nothing is recorded any more; with `failed`, nothing was. Returns whether that was news.
    pub(in crate::domain) fn recording_stopped(&mut self, number: u32, failed: bool, now: Timestamp) -> bool {
        let from: &[Stage] =
            if failed { &[Stage::Asked, Stage::Starting, Stage::On, Stage::Over] } else { &[Stage::On] };
        let Some(recording) = self.recording_mut(number, from) else { return false };
        let was_on = recording.stage == Stage::On;
        recording.stage = if failed { Stage::Failed } else { Stage::Over };
        self.tasks.retain(|task| task.kind != TaskKind::StartRecording);
        if was_on {
            self.tell(EventKind::RecordingStopped {}, now);
        }
        true
    }

    /// The call ends, and its room with it: so does its recording.
    pub(in crate::domain) fn end_recording(&mut self, now: Timestamp) {
        let Some(recording) = &mut self.recording else { return };
        let stage = recording.stage;
        recording.stage = match stage {
            Stage::Asked => Stage::Failed,
            Stage::Starting | Stage::On | Stage::Over => Stage::Over,
            Stage::Failed => return,
        };
        if stage == Stage::On {
            self.tell(EventKind::RecordingStopped {}, now);
        }
        if matches!(stage, Stage::Starting | Stage::On) {
            self.tasks.retain(|task| task.kind != TaskKind::StartRecording);
            self.open(TaskKind::StopRecording, self.retained_until(), now);
        }
    }

    fn recording_mut(&mut self, number: u32, from: &[Stage]) -> Option<&mut InCall> {
        self.recording.as_deref_mut().filter(|recording| recording.number == number && from.contains(&recording.stage))
    }
}
