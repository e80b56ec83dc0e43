//! Promise 1: every acknowledged call ends, for a reason that there was, and at the right time.

use std::time::Duration;

use bellwire::domain::Timestamp;

use super::{Case, Judged, SKEW};
use crate::client::Verb;
use crate::report::Kind;
use crate::world::config::LONGEST_CALL_SECONDS;

/// How late a call may end by the clock.
const LATE: Duration = Duration::from_secs(2);

impl Case<'_> {
    pub(super) fn ends(&self, judged: &mut Judged) {
        let Self { noted, record, .. } = self;
        let (Some(ended_at), Some(reason)) = (record.ended_at, record.end_reason.as_deref()) else {
            return self.violation(judged, Kind::Ends, format!("it should have ended, and is {}", record.state));
        };
        *judged.ends.entry(reason.to_owned()).or_default() += 1;
        if let Some(seconds) = noted.ring_seconds
            && record.ring_until != record.created_at + Duration::from_secs(seconds)
        {
            let rings = record.ring_until.since(record.created_at);
            self.violation(judged, Kind::Ends, format!("it rings {rings:?} in place of {seconds} s"));
        }
        let longest = Duration::from_secs(LONGEST_CALL_SECONDS);
        let due = record.answered_at.map_or(record.ring_until, |answered| answered + longest);
        self.by_the_clock(judged, ended_at, due, matches!(reason, "timed_out" | "max_duration"));
        if let Err(why) = self.has_reason(reason, ended_at) {
            self.violation(judged, Kind::Ends, format!("it ended as {reason}, and {why}"));
        }
    }

    fn by_the_clock(&self, judged: &mut Judged, ended_at: Timestamp, due: Timestamp, was_due: bool) {
        let late = self.times.whole(due, ended_at);
        if late > LATE {
            let seen = format!("it was due at {due} and ended at {ended_at}, {late:?} late beside outages");
            self.violation(judged, Kind::Ends, seen);
        }
        if !was_due {
            return;
        }
        let seen_at = self.noted.over.as_ref().map(|(_, seen_at)| *seen_at);
        if ended_at < due || seen_at.is_some_and(|seen_at| seen_at + SKEW < due) {
            self.violation(
                judged,
                Kind::Ends,
                format!("it was due at {due} and ended at {ended_at}, seen {seen_at:?}"),
            );
        }
        if !self.times.has_outage(due, ended_at) {
            judged.lateness_ms.push(u64::try_from(ended_at.since(due).as_millis()).unwrap_or(u64::MAX));
        }
    }

    /// Whether anything that was seen explains an end.
    fn has_reason(&self, reason: &str, ended_at: Timestamp) -> Result<(), &'static str> {
        let wished = |verbs: &[Verb]| {
            let mut wishes = self.noted.wishes.iter();
            wishes.any(|(verb, at)| verbs.contains(verb) && *at <= ended_at + SKEW)
        };
        let answered = self.record.answered_at.is_some();
        let is_explained = match reason {
            "completed" => answered && wished(&[Verb::Cancel, Verb::HangUp, Verb::Decline]),
            "cancelled" => !answered && wished(&[Verb::Cancel, Verb::HangUp]),
            "declined" => !answered && wished(&[Verb::Decline, Verb::HangUp]),
            "max_duration" => answered,
            // Whether the callee had to be busy or unreachable is judged with the lines and the rings.
            "timed_out" | "busy" | "unreachable" => !answered,
            _ => false,
        };
        if is_explained { Ok(()) } else { Err("nobody had asked for that") }
    }
}
