//! How a recording goes on: what is to be done next, and what comes of it. Pure, as a call's steps are.
//!
//! Whoever looks after a recording takes [`Recording::next`] under a lease, does it, and hands the [`Outcome`] back; what LiveKit says is
//! `report`'s. Asking LiveKit comes before starting, so that a crash between the two leads to one recording and not to two. Where it is
//! not known whether LiveKit was asked to start, one empty list does not mean that it was not.

use std::time::Duration;

use super::{AskedBy, Recording, RecordingPlan, RecordingState, Report, Status, Tell};
use crate::domain::call::Call;
use crate::domain::time::Timestamp;
use crate::domain::unknown::Unknown;

/// How long an instance has for one thing, the time for its answer included: three requests of LiveKit take 18 s at most.
pub const LEASE: Duration = Duration::from_secs(30);

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
/// How often in a row it is tried to stop an egress that should not run; it ends with its room in any case.
const STRAY_TRIES: u32 = START_TRIES;
/// How long LiveKit may know nothing of a recording that it has taken, or may have taken.
const MISSING_FOR: Duration = Duration::from_mins(1);
/// How long a recording may take to be uploaded after it was to stop. A worker that died never says so.
const UPLOAD_FOR: Duration = Duration::from_hours(1);
/// How long a file may still come of a recording that was erased: longer than an egress outlives its call, and than its upload.
const LATE_FOR: Duration = Duration::from_hours(24);
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
    /// Tell LiveKit to stop the first of the egresses that should not run.
    StopStray,
    /// Tell the call or the app's backend.
    Tell(Tell),
    /// Delete the file.
    Erase,
    /// Delete the file, also one that came after it was deleted, and remove the record.
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
    /// The call is over, or does not want it any more.
    NotWanted,
    /// LiveKit, or the storage, will not do it, and says why.
    Refused(String),
    /// It could not be had, for this reason.
    Unavailable(String),
    /// LiveKit was asked to start it, and whether it did is not known, for this reason.
    Unsure(String),
    /// Told, stopped or deleted.
    Done,
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
            parties: vec![call.caller.id.clone(), call.callee.id.clone()],
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
            start_sent: false,
            stop_at: None,
            stop_sent: false,
            strays: Vec::new(),
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
        (self.due() <= now).then(|| self.step())
    }

    fn step(&self) -> Next {
        if let Some(tell) = self.tell.first() {
            return Next::Tell(*tell);
        }
        if !self.strays.is_empty() {
            return Next::StopStray;
        }
        match self.state {
            RecordingState::Requested if self.egress.is_none() => Next::Start,
            RecordingState::Stopping if !self.stop_sent => Next::Stop,
            RecordingState::Requested
            | RecordingState::Starting
            | RecordingState::Active
            | RecordingState::Stopping => Next::Look,
            RecordingState::Erasing => Next::Erase,
            // Also of one that failed something may lie in the storage.
            RecordingState::Complete | RecordingState::Failed | RecordingState::Aborted | RecordingState::Erased => {
                Next::Remove
            }
        }
    }

    /// An instance begins what is next.
    pub fn begin(&mut self, now: Timestamp) {
        // Whoever was at work never came back, and may have started it.
        self.start_sent |= self.busy_until.is_some() && self.egress.is_none();
        self.busy_until = Some(now + LEASE);
    }

    /// Takes note of what came of what was begun until `begun`. If somebody else has taken it up since, only what LiveKit says counts.
    pub fn finish(&mut self, begun: Option<Timestamp>, next: Next, outcome: Outcome, now: Timestamp) {
        self.start_sent |= matches!(outcome, Outcome::Unsure(_));
        if self.busy_until != begun {
            if let Outcome::Report(report) = &outcome {
                self.reported(report, now);
            }
            return;
        }
        self.busy_until = None;
        self.next_at = now;
        if !matches!(outcome, Outcome::Unavailable(_) | Outcome::Unsure(_)) {
            self.tries = 0;
        }
        match outcome {
            Outcome::Report(report) => {
                self.stop_sent |= next == Next::Stop;
                self.reported(&report, now);
                self.rest(now);
            }
            // What was said or asked for meanwhile has led on.
            _ if self.step() != next => self.rest(now),
            Outcome::Done => self.done(next, now),
            Outcome::Missing => self.missing(now),
            Outcome::NothingYet => self.next_at = now + NOTHING_YET,
            Outcome::NotWanted => {
                self.ask_stop(now);
                self.done(next, now);
            }
            Outcome::Refused(why) => self.refused(next, &why, now),
            Outcome::Unavailable(why) | Outcome::Unsure(why) => self.unavailable(next, &why, now),
        }
    }

    /// It is to stop. What LiveKit was never asked for is over at once.
    pub fn ask_stop(&mut self, now: Timestamp) {
        if self.state.is_over() || self.stop_at.is_some() {
            return;
        }
        self.stop_at = Some(now);
        if self.was_never_started() {
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

    /// Whether nothing is left to be done for it until its time is over, so that another one may follow.
    pub fn is_settled(&self) -> bool {
        let at_rest = self.state.is_over() && self.state != RecordingState::Erasing;
        at_rest && self.tell.is_empty() && self.strays.is_empty()
    }

    /// Takes the names out of what was erased. It is kept for as long as its file may come late, which then goes too.
    pub fn forget_parties(&mut self, now: Timestamp) {
        self.parties.clear();
        self.asked_by = AskedBy::Service;
        self.why = None;
        self.retention_ms = 0;
        let over = self.retained_until();
        self.retention_ms = super::super::time::millis((now + LATE_FOR).since(over));
        // What runs although it should not is still to be stopped first.
        self.rest(now);
    }

    /// Whether LiveKit was never asked for it.
    pub const fn was_never_started(&self) -> bool {
        self.egress.is_none() && self.busy_until.is_none() && !self.start_sent
    }

    pub(super) fn over(&mut self, state: RecordingState, why: Option<&str>, at: Timestamp, now: Timestamp) {
        self.state = state;
        // LiveKit's clock may be ahead, which must not keep a file for longer.
        self.ended_at = Some(at.min(now));
        self.why = why.map(shortened);
        self.tell.push(if state == RecordingState::Complete { Tell::Ready } else { Tell::Failed });
        self.next_at = now;
    }

    /// An egress is to be stopped that nobody was told of, or nobody waits for. Says whether that is news.
    pub(super) fn stop_stray(&mut self, egress: &str, now: Timestamp) -> bool {
        if self.strays.iter().any(|stray| stray == egress) {
            return false;
        }
        self.strays.push(egress.to_owned());
        self.next_at = now;
        true
    }

    /// When LiveKit, or nobody until the retention's end, is asked next.
    fn rest(&mut self, now: Timestamp) {
        let stopped_lately = self.stop_at.is_some_and(|at| now < at + SOON_FOR);
        self.next_at = match self.state {
            _ if !self.tell.is_empty() || !self.strays.is_empty() => now,
            RecordingState::Stopping if self.was_never_started() => {
                return self.over(RecordingState::Aborted, Some(NEVER_BEGAN), now, now);
            }
            RecordingState::Stopping if !self.stop_sent => now,
            RecordingState::Stopping if self.stop_at.is_some_and(|at| at + UPLOAD_FOR <= now) => {
                return self.give_up("LiveKit has not finished it in an hour", now);
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
            Next::Tell(_) => drop(self.tell.remove(0)),
            Next::StopStray => drop(self.strays.remove(0)),
            Next::Erase => self.state = RecordingState::Erased,
            Next::Start | Next::Look | Next::Stop | Next::Remove => {}
        }
        self.rest(now);
    }

    fn missing(&mut self, now: Timestamp) {
        let since = *self.missing_since.get_or_insert(now);
        if now < since + MISSING_FOR {
            self.next_at = now + LOOK_SOON;
            return;
        }
        match (&self.egress, self.why.take()) {
            (Some(_), _) => self.give_up("LiveKit knows nothing of it any more", now),
            (None, Some(why)) => self.over(RecordingState::Failed, Some(&why), now, now),
            (None, None) => self.over(RecordingState::Aborted, Some(NEVER_BEGAN), now, now),
        }
    }

    fn refused(&mut self, next: Next, why: &str, now: Timestamp) {
        match next {
            Next::Start => self.give_up_starting(why, now),
            // It may be over already; looking tells.
            Next::Stop => {
                self.stop_sent = true;
                self.next_at = now;
            }
            // As above, and nobody looks.
            Next::StopStray => self.done(next, now),
            Next::Erase | Next::Remove => {
                self.state = RecordingState::Erasing;
                self.next_at = now + LONGEST_PAUSE_OF_ERASING;
            }
            Next::Look | Next::Tell(_) => self.unavailable(next, why, now),
        }
    }

    fn unavailable(&mut self, next: Next, why: &str, now: Timestamp) {
        let longest = match next {
            Next::Erase | Next::Remove => LONGEST_PAUSE_OF_ERASING,
            _ => LONGEST_PAUSE,
        };
        self.next_at = now + FIRST_PAUSE.saturating_mul(1 << self.tries.min(16)).min(longest);
        self.tries = self.tries.saturating_add(1);
        // What LiveKit knows meanwhile is not known.
        self.missing_since = None;
        match next {
            Next::Start if self.tries >= START_TRIES => self.give_up_starting(why, now),
            Next::StopStray if self.tries >= STRAY_TRIES => {
                self.tries = 0;
                self.done(next, now);
            }
            Next::Look | Next::Stop if self.stop_at.is_some_and(|at| at + UPLOAD_FOR <= now) => self.give_up(why, now),
            // Its time is over, wherever its file still lies.
            Next::Remove => self.state = RecordingState::Erasing,
            _ => {}
        }
    }

    /// LiveKit does not start it. If it may have, it is looked for to be stopped before it counts as failed.
    fn give_up_starting(&mut self, why: &str, now: Timestamp) {
        if !self.start_sent {
            return self.over(RecordingState::Failed, Some(why), now, now);
        }
        self.why = Some(shortened(why));
        self.tries = 0;
        self.ask_stop(now);
    }

    /// It is waited for no longer. If it runs on after all, it does so unknown to the parties, and so it is told to stop.
    fn give_up(&mut self, why: &str, now: Timestamp) {
        self.over(RecordingState::Failed, Some(why), now, now);
        if let Some(egress) = self.egress.clone() {
            self.stop_stray(&egress, now);
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
