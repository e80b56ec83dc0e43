//! The judgement: each promise held against what clients, readers and providers saw, and against the final records.

mod answers;
mod ends;
mod lines;
mod rings;
mod secrets;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire::domain::CallId;

use crate::faults::Faults;
use crate::ledger::{Ledger, Noted, Notes};
use crate::pushes::Pushes;
use crate::reader::Readers;
use crate::report::{Kind, Violation};
use crate::view::View;

pub use secrets::read_logs;
use times::Times;

/// How far the clocks of two gateways on one machine may be apart, corrected as they are by Redis over a busy wire.
const SKEW: Duration = Duration::from_millis(250);
/// How long a request may take to reach a gateway.
const ON_THE_WAY: Duration = Duration::from_millis(100);

/// What there is to judge by.
pub struct Evidence<'a> {
    pub ledger: &'a Ledger,
    /// The final record of each acknowledged call; none where there is no record any more.
    pub records: &'a BTreeMap<CallId, View>,
    pub pushes: &'a Pushes,
    pub readers: &'a Readers,
    pub faults: &'a Faults,
    pub gateways: usize,
}

/// The outcome.
#[derive(Default)]
pub struct Judged {
    pub violations: Vec<Violation>,
    /// How much was looked at.
    pub looked_at: BTreeMap<Kind, usize>,
    /// Calls by end reason.
    pub ends: BTreeMap<String, usize>,
    /// Of each call that ended by the clock while everything ran, how late.
    pub lateness_ms: Vec<u64>,
}

impl Judged {
    pub fn violation(&mut self, kind: Kind, call: Option<CallId>, seen: impl Into<String>) {
        self.violations.push(Violation { kind, call, seen: seen.into() });
    }

    pub fn look(&mut self, kind: Kind, count: usize) {
        *self.looked_at.entry(kind).or_default() += count;
    }
}

impl Evidence<'_> {
    /// Judges every promise, but for what only the logs and calls after the end can tell.
    pub fn judge(&self) -> Judged {
        let notes = self.ledger.locked();
        let mut judged = Judged { violations: notes.violations.clone(), ..Judged::default() };
        let times = Times::of(self.faults, self.gateways);
        judged.look(Kind::Answers, notes.tally.requests);
        judged.look(Kind::Replay, notes.tally.repeated + notes.tally.doubled + notes.tally.thrown_away);
        judged.look(Kind::Tokens, notes.tally.tried);
        if self.pushes.missed() > 0 {
            let seen = format!("{} requests to the simulator were not read in time", self.pushes.missed());
            judged.violation(Kind::Answers, None, seen);
        }
        for (id, noted) in &notes.calls {
            judged.look(Kind::Ends, 1);
            let Some(record) = self.records.get(id) else {
                judged.violation(Kind::Ends, Some(*id), "it was acknowledged, and there is no such call");
                continue;
            };
            let case = Case { noted, record, times: &times, notes: &notes, pushes: self.pushes };
            case.ends(&mut judged);
            case.answers(&mut judged);
            case.tokens(&mut judged);
            case.rings(&mut judged);
        }
        self.unknown_calls(&notes, &mut judged);
        self.gentle_stops(&notes, &mut judged);
        self.lines(&notes, &mut judged);
        self.gaps(&mut judged);
        judged
    }

    /// A phone must not ring for a call that nobody has been told of, however often its invite was sent.
    fn unknown_calls(&self, notes: &Notes, judged: &mut Judged) {
        for call in self.pushes.calls().into_iter().filter(|call| !notes.calls.contains_key(call)) {
            judged.violation(Kind::Replay, Some(call), "phones rang, and no caller was ever told of this call");
        }
    }

    /// A gateway that is asked to end still answers what has reached it.
    fn gentle_stops(&self, notes: &Notes, judged: &mut Judged) {
        for stop in self.faults.absences.iter().filter(|absence| !absence.killed) {
            let here = notes.unanswered.iter().filter(|request| request.gateway == stop.place);
            let from = stop.span.from;
            for request in here.filter(|request| request.sent_at + ON_THE_WAY < from && from <= request.until) {
                let seen = format!(
                    "a request of {} had no answer, of a gateway that was asked to end at {from}",
                    request.sent_at
                );
                judged.violation(Kind::Answers, None, seen);
            }
        }
    }

    fn gaps(&self, judged: &mut Judged) {
        for (user, told) in &self.readers.told {
            judged.look(Kind::Gaps, usize::try_from(told.count()).unwrap_or(usize::MAX));
            for record in self.records.values().filter(|record| record.caller == *user || record.callee == *user) {
                let (seq, ended) = told.of(record.id).unwrap_or_default();
                if seq != record.seq || !ended {
                    let seen = format!("{user} was told of {seq} of {} events, end: {ended}", record.seq);
                    judged.violation(Kind::Gaps, Some(record.id), seen);
                }
            }
        }
    }

    /// Whether every reader has been told of every end.
    pub fn all_told(&self) -> bool {
        let mut judged = Judged::default();
        self.gaps(&mut judged);
        judged.violations.is_empty()
    }
}

/// One call, to be judged.
struct Case<'a> {
    noted: &'a Noted,
    record: &'a View,
    times: &'a Times,
    notes: &'a Notes,
    pushes: &'a Pushes,
}

impl Case<'_> {
    fn violation(&self, judged: &mut Judged, kind: Kind, seen: impl Into<String>) {
        judged.violation(kind, Some(self.record.id), seen);
    }
}
