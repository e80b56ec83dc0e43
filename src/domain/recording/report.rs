//! What LiveKit says of a recording, in webhooks and answers, and what follows.
//!
//! It comes late, twice and out of order, and only ever leads forward. An egress that nobody waits for any more is stopped, since the
//! parties do not know that they are recorded; the file that it leaves counts, unless it was to be deleted.

use serde::{Deserialize, Serialize};

use super::{Recording, RecordingState, Tell};
use crate::domain::time::Timestamp;

/// What LiveKit says of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// LiveKit's id of it.
    pub egress: String,
    /// How it stands.
    pub status: Status,
    /// The file that it writes, where LiveKit says so.
    pub file: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How long it is, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How large its file is.
    pub bytes: Option<u64>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

/// LiveKit's word for how a recording stands, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has said nothing, or a word that this release does not know.
    #[default]
    Unknown,
    /// It has been taken.
    Starting,
    /// It runs.
    Active,
    /// It is being finished and uploaded.
    Ending,
    /// It is in the storage.
    Complete,
    /// It failed.
    Failed,
    /// It was stopped before it began.
    Aborted,
}

impl Recording {
    /// LiveKit says how it stands. Says whether that changed anything.
    pub fn reported(&mut self, report: &Report, now: Timestamp) -> bool {
        let is_ours = match &self.egress {
            Some(egress) => *egress == report.egress,
            None => report.file.as_ref() == Some(&self.key),
        };
        if !is_ours {
            return self.strayed(report, now);
        }
        let was_missing = self.missing_since.take().is_some();
        let is_news = if self.state.is_over() { self.reported_late(report, now) } else { self.led_on(report, now) };
        is_news || was_missing
    }

    fn led_on(&mut self, report: &Report, now: Timestamp) -> bool {
        if report.status <= self.heard && self.egress.is_some() {
            return false;
        }
        let before = self.heard;
        self.heard = before.max(report.status);
        self.egress = Some(report.egress.clone());
        let recorded = matches!(report.status, Status::Active | Status::Ending | Status::Complete);
        if recorded && self.started_at.is_none() {
            self.started_at = Some(report.started_at.unwrap_or(now));
            self.tell.push(Tell::Started);
        }
        if before < Status::Ending && self.heard >= Status::Ending && self.started_at.is_some() {
            self.tell.push(Tell::Stopped);
        }
        match report.status {
            Status::Unknown | Status::Starting => self.runs(RecordingState::Starting),
            Status::Active => self.runs(RecordingState::Active),
            Status::Ending => {
                // By itself, perhaps; its upload is waited for as after any stop.
                self.stop_at.get_or_insert(now);
                self.stop_sent = true;
                self.state = RecordingState::Stopping;
            }
            Status::Complete => self.complete(report, now),
            Status::Failed => {
                let why = report.error.as_deref().unwrap_or("LiveKit does not say why");
                self.over(RecordingState::Failed, Some(why), report.ended_at.unwrap_or(now), now);
            }
            Status::Aborted => {
                let why = report.error.as_deref();
                self.over(RecordingState::Aborted, why, report.ended_at.unwrap_or(now), now);
            }
        }
        if self.state.is_over() || !self.tell.is_empty() {
            self.next_at = now;
        }
        true
    }

    /// It was given up, or its file was to be deleted, before LiveKit had said its last word.
    fn reported_late(&mut self, report: &Report, now: Timestamp) -> bool {
        if self.heard >= Status::Complete {
            return false;
        }
        match report.status {
            Status::Starting | Status::Active => self.stop_stray(&report.egress, now),
            Status::Complete if self.is_unwanted() => {
                self.heard = Status::Complete;
                self.erase_again(now)
            }
            Status::Complete => {
                // Perhaps its call has not been told so yet.
                self.tell.retain(|tell| *tell != Tell::Failed);
                self.led_on(report, now)
            }
            Status::Unknown | Status::Ending | Status::Failed | Status::Aborted => false,
        }
    }

    /// An egress that it does not know writes one of its files: a start whose answer came too late led to it.
    fn strayed(&mut self, report: &Report, now: Timestamp) -> bool {
        // An operator may record the room too.
        if !report.file.as_ref().is_some_and(|file| self.keys().contains(file)) {
            return false;
        }
        match report.status {
            Status::Starting | Status::Active => self.stop_stray(&report.egress, now),
            Status::Complete if self.is_unwanted() => self.erase_again(now),
            _ => false,
        }
    }

    const fn is_unwanted(&self) -> bool {
        matches!(self.state, RecordingState::Erasing | RecordingState::Erased)
    }

    fn erase_again(&mut self, now: Timestamp) -> bool {
        self.state = RecordingState::Erasing;
        self.tries = 0;
        // A deletion that is under way may have come before the file.
        self.busy_until = None;
        self.next_at = now;
        true
    }

    fn runs(&mut self, to: RecordingState) {
        if self.stop_at.is_none() {
            self.state = to;
        }
    }

    fn complete(&mut self, report: &Report, now: Timestamp) {
        self.started_at = report.started_at.or(self.started_at);
        self.duration_ms = report.duration_ms;
        self.bytes = report.bytes;
        self.over(RecordingState::Complete, None, report.ended_at.unwrap_or(now), now);
    }
}
