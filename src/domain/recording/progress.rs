//! How a recording goes on: what is to be done next, and what comes of it. Pure, as a call's steps are.
//!
//! Whoever looks after a recording takes [`Recording::next`] under a lease, does it, and hands the [`Outcome`] back. What LiveKit says
//! (webhooks, or its answers) comes late, twice and out of order; it only ever leads forward. Asking LiveKit comes before starting, so
//! that a crash between the two leads to one recording and not to two.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AskedBy, Recording, RecordingPlan, RecordingState, Tell};
use crate::domain::call::Call;
use crate::domain::time::Timestamp;
use crate::domain::unknown::Unknown;

/// How long an instance has for one thing, the time for its answer included.
pub const LEASE: Duration = Duration::from_secs(20);

/// The pause until LiveKit is asked again about one that is about to begin or to end.
const LOOK_SOON: Duration = Duration::from_secs(2);
/// The same where webhooks tell, and this only makes up for lost ones.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// How long after a stop is [`LOOK_SOON`].
const SOON_FOR: Duration = Duration::from_secs(30);
/// The pause until it is seen again whether something is published in the room.
const NOTHING_YET: Duration = Duration::from_secs(1);
/// The first pause after a failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before LiveKit is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause before the storage is asked again to delete a file.
const LONGEST_PAUSE_OF_ERASING: Duration = Duration::from_hours(1);
/// How often in a row it is tried to start a recording: for about two minutes.
const START_TRIES: u32 = 10;
/// How long LiveKit may know nothing of a recording that it has taken.
const MISSING_FOR: Duration = Duration::from_mins(1);
/// How long a recording may take to be uploaded after it was to stop. A worker that died never says so.
const UPLOAD_FOR: Duration = Duration::from_hours(1);
/// Why there is none that was stopped too soon.
const NEVER_BEGAN: &str = "it was stopped before it began";
/// The most bytes of LiveKit's words that are kept.
const LONGEST_WHY: usize = 300;

/// What is to be done for a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask LiveKit whether it runs, and start it if not.
    Start,
    /// Ask LiveKit how it stands.
    Look,
    /// Tell LiveKit to stop.
    Stop,
    /// Tell the call or the app's backend.
    Tell(Tell),
    /// Delete the file.
    Erase,
    /// Remove the record.
    Remove,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// LiveKit says this.
    Report(Report),
    /// LiveKit knows of none.
    Missing,
    /// Nothing is published in the room yet.
    NothingYet,
    /// The call is over.
    CallOver,
    /// LiveKit, or the storage, will not do it, and says why.
    Refused(String),
    /// It could not be had, for this reason.
    Unavailable(String),
    /// Told, or deleted.
    Done,
}

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
    /// The first record of a recording that a call wants now, the `number`th of that call.
    pub fn new(
        call: &Call,
        plan: &RecordingPlan,
        bucket: String,
        asked_by: AskedBy,
        number: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            call: call.id,
            parties: [call.caller.id.clone(), call.callee.id.clone()],
            room: call.room.clone(),
            content: plan.content,
            state: RecordingState::Requested,
            asked_by,
            asked_at: now,
            number,
            bucket,
            key: plan.key(call.id, number),
            retention_ms: crate::domain::time::millis(plan.retention),
            egress: None,
            heard: Status::Unknown,
            started_at: None,
            ended_at: None,
            duration_ms: None,
            bytes: None,
            why: None,
            stop_at: None,
            stop_sent: false,
            tell: Vec::new(),
            tries: 0,
            missing_since: None,
            busy_until: None,
            next_at: now,
            unknown: Unknown::default(),
        }
    }

    /// What is to be done, if it is time.
    pub fn next(&self, now: Timestamp) -> Option<Next> {
        if self.due() > now {
            return None;
        }
        if let Some(tell) = self.tell.first() {
            return Some(Next::Tell(*tell));
        }
        Some(match self.state {
            RecordingState::Requested if self.egress.is_none() => Next::Start,
            RecordingState::Stopping if self.stop_at.is_some() && !self.stop_sent => Next::Stop,
            RecordingState::Requested
            | RecordingState::Starting
            | RecordingState::Active
            | RecordingState::Stopping => Next::Look,
            RecordingState::Erased => Next::Remove,
            // Also of one that failed something may lie in the storage.
            RecordingState::Erasing | RecordingState::Complete | RecordingState::Failed | RecordingState::Aborted => {
                Next::Erase
            }
        })
    }

    /// An instance begins what is next.
    pub fn begin(&mut self, now: Timestamp) {
        self.busy_until = Some(now + LEASE);
    }

    /// Takes note of what came of what was begun until `begun`. If somebody else has taken it up since, only what LiveKit says counts.
    pub fn finish(&mut self, begun: Option<Timestamp>, next: Next, outcome: Outcome, now: Timestamp) {
        if self.busy_until != begun {
            if let Outcome::Report(report) = &outcome {
                self.reported(report, now);
            }
            return;
        }
        self.busy_until = None;
        self.next_at = now;
        if !matches!(outcome, Outcome::Unavailable(_)) {
            self.tries = 0;
        }
        match outcome {
            Outcome::Report(report) => {
                self.stop_sent |= next == Next::Stop;
                self.reported(&report, now);
                self.rest(now);
            }
            Outcome::Done => self.done(next, now),
            Outcome::Missing => self.missing(next, now),
            Outcome::NothingYet => self.next_at = now + NOTHING_YET,
            Outcome::CallOver => self.ask_stop(now),
            Outcome::Refused(why) => self.refused(next, &why, now),
            Outcome::Unavailable(why) => self.unavailable(next, &why, now),
        }
    }

    /// LiveKit says how it stands. Says whether that was news.
    pub fn reported(&mut self, report: &Report, now: Timestamp) -> bool {
        let of_another = match &self.egress {
            Some(egress) => *egress != report.egress,
            // An operator may record the room too.
            None => report.file.as_ref() != Some(&self.key),
        };
        // One that was given up for lost may turn up after all.
        let found_again = self.state == RecordingState::Failed && report.status == Status::Complete;
        let known = report.status <= self.heard && self.egress.is_some();
        if of_another || known || self.heard >= Status::Complete || (self.state.is_over() && !found_again) {
            return false;
        }
        let before = self.heard;
        self.heard = before.max(report.status);
        self.egress = Some(report.egress.clone());
        self.missing_since = None;
        let recorded = matches!(report.status, Status::Active | Status::Ending | Status::Complete);
        if recorded && self.started_at.is_none() {
            self.started_at = Some(report.started_at.unwrap_or(now));
            self.tell.push(Tell::Started);
        }
        if before < Status::Ending && self.heard >= Status::Ending && self.started_at.is_some() {
            self.tell.push(Tell::Stopped);
        }
        match report.status {
            Status::Unknown | Status::Starting => self.goes_on(RecordingState::Starting),
            Status::Active => self.goes_on(RecordingState::Active),
            Status::Ending => self.state = RecordingState::Stopping,
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

    /// It is to stop. What LiveKit was never asked for is over at once.
    pub fn ask_stop(&mut self, now: Timestamp) {
        if self.state.is_over() || self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(now);
        if self.egress.is_none() && self.busy_until.is_none() && self.tries == 0 {
            return self.over(RecordingState::Aborted, Some(NEVER_BEGAN), now, now);
        }
        self.state = RecordingState::Stopping;
        self.next_at = now;
    }

    /// Its file is to be deleted. Only what is over can be.
    pub fn ask_erase(&mut self, now: Timestamp) {
        if !matches!(self.state, RecordingState::Erasing | RecordingState::Erased) {
            self.state = RecordingState::Erasing;
            self.tries = 0;
            self.next_at = now;
        }
    }

    fn goes_on(&mut self, to: RecordingState) {
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

    fn over(&mut self, state: RecordingState, why: Option<&str>, at: Timestamp, now: Timestamp) {
        self.state = state;
        self.ended_at = Some(at);
        self.why = why.map(shortened);
        self.tell.push(if state == RecordingState::Complete { Tell::Ready } else { Tell::Failed });
        self.next_at = now;
    }

    /// When LiveKit, or nobody until the retention's end, is asked next.
    fn rest(&mut self, now: Timestamp) {
        let stopped_lately = self.stop_at.is_some_and(|at| now < at + SOON_FOR);
        self.next_at = match self.state {
            _ if !self.tell.is_empty() => now,
            RecordingState::Stopping if self.stop_at.is_some() && !self.stop_sent => now,
            RecordingState::Stopping if self.stop_at.is_some_and(|at| at + UPLOAD_FOR <= now) => {
                let why = "LiveKit has not finished it in an hour";
                return self.over(RecordingState::Failed, Some(why), now, now);
            }
            RecordingState::Starting => now + LOOK_SOON,
            RecordingState::Stopping if stopped_lately => now + LOOK_SOON,
            RecordingState::Requested | RecordingState::Active | RecordingState::Stopping => now + LOOK_AGAIN,
            RecordingState::Erasing => now,
            RecordingState::Complete | RecordingState::Failed | RecordingState::Aborted | RecordingState::Erased => {
                self.retained_until().max(now)
            }
        };
    }

    fn done(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Tell(told) => {
                if self.tell.first() == Some(&told) {
                    self.tell.remove(0);
                }
            }
            Next::Erase => self.state = RecordingState::Erased,
            Next::Start | Next::Look | Next::Stop | Next::Remove => {}
        }
        self.rest(now);
    }

    fn missing(&mut self, next: Next, now: Timestamp) {
        if self.egress.is_none() && next == Next::Stop {
            return self.over(RecordingState::Aborted, Some(NEVER_BEGAN), now, now);
        }
        let since = *self.missing_since.get_or_insert(now);
        if since + MISSING_FOR <= now {
            return self.over(RecordingState::Failed, Some("LiveKit knows nothing of it any more"), now, now);
        }
        self.next_at = now + LOOK_SOON;
    }

    fn refused(&mut self, next: Next, why: &str, now: Timestamp) {
        match next {
            Next::Start => self.over(RecordingState::Failed, Some(why), now, now),
            // It may be over already; looking tells.
            Next::Stop => {
                self.stop_sent = true;
                self.next_at = now;
            }
            Next::Erase => self.next_at = now + LONGEST_PAUSE_OF_ERASING,
            Next::Look | Next::Tell(_) | Next::Remove => self.unavailable(next, why, now),
        }
    }

    fn unavailable(&mut self, next: Next, why: &str, now: Timestamp) {
        let longest = if next == Next::Erase { LONGEST_PAUSE_OF_ERASING } else { LONGEST_PAUSE };
        self.next_at = now + FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(longest);
        self.tries += 1;
        let given_up = match next {
            Next::Start => self.tries >= START_TRIES,
            Next::Look | Next::Stop => self.stop_at.is_some_and(|at| at + UPLOAD_FOR <= now),
            Next::Tell(_) | Next::Erase | Next::Remove => false,
        };
        if given_up {
            self.over(RecordingState::Failed, Some(why), now, now);
        }
    }
}

fn shortened(why: &str) -> String {
    why.chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= LONGEST_WHY).then_some(c)
        })
        .collect()
}
