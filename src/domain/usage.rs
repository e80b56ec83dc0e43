//! How much is used: participant minutes and participants at a time, by day in UTC.
//!
//! A call's part is worked out here, from when each party was in the room; the store adds it up. Participants are counted by the minute:
//! everybody who was there in a minute, however briefly. So a day's peak is never less than what there was at once, and may be more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::time::{Timestamp, millis};

const MINUTE_MS: u64 = 60_000;
/// Minutes of a day.
pub const MINUTES: u16 = 1440;
const DAY_MS: u64 = MINUTE_MS * MINUTES as u64;

/// A day in UTC, by its number since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// A stay in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: Timestamp,
    /// Until when, which belongs to it no more.
    pub to: Timestamp,
}

/// What a call adds to a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayShare {
    /// Which day.
    pub day: Day,
    /// Milliseconds of all its participants.
    pub participant_ms: u64,
    /// How many participants it had in which minutes, in order.
    pub runs: Vec<Run>,
}

/// Minutes of a day in which there were as many participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first minute.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// How many.
    pub participants: u32,
}

/// What was used on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayUsage {
    /// Which day.
    pub day: Day,
    /// Calls that added to it.
    pub calls: u64,
    /// Milliseconds of all participants.
    pub participant_ms: u64,
    /// The most participants of any minute.
    pub peak: u32,
}

impl Day {
    /// The day of an instant.
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_millis() / DAY_MS).unwrap_or(u32::MAX))
    }

    /// The day with a number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// When it begins.
    pub const fn begins(self) -> Timestamp {
        Timestamp::from_millis(self.0 as u64 * DAY_MS)
    }

    /// Reads `2026-11-22`.
    pub fn parse(text: &str) -> Option<Self> {
        let at = Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))?;
        Some(Self::of(at)).filter(|day| day.to_string() == text)
    }

    /// Its month, `2026-11`.
    pub fn month(self) -> String {
        let mut text = self.to_string();
        text.truncate(7);
        text
    }

    /// The first day of its month.
    pub fn month_begins(self) -> Self {
        Self::parse(&format!("{}-01", self.month())).unwrap_or(self)
    }

    /// The first day of the month after its own.
    pub fn month_ends(self) -> Self {
        // No month is longer, and the next is not over by then.
        Self(self.month_begins().0.saturating_add(31)).month_begins()
    }

    /// The day before.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The day after.
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.begins().rfc3339().get(..10).unwrap_or_default())
    }
}

/// What parties who were in a room at these times add to which days; each party counts once in a minute.
pub fn shares(parties: &[Vec<Span>]) -> Vec<DayShare> {
    let mut minutes: BTreeMap<u64, u32> = BTreeMap::new();
    let mut spent: BTreeMap<Day, u64> = BTreeMap::new();
    for spans in parties {
        let spans = spans.iter().filter(|span| span.from < span.to);
        let there: BTreeSet<u64> = spans.clone().flat_map(minutes_of).collect();
        there.into_iter().for_each(|minute| *minutes.entry(minute).or_default() += 1);
        for (day, ms) in spans.flat_map(days_of) {
            *spent.entry(day).or_default() += ms;
        }
    }
    let share = |(day, participant_ms): (Day, u64)| {
        let first = u64::from(day.0) * u64::from(MINUTES);
        let of_day = minutes.range(first..first + u64::from(MINUTES));
        let of_day = of_day.filter_map(|(minute, count)| Some((u16::try_from(minute - first).ok()?, *count)));
        DayShare { day, participant_ms, runs: runs(of_day) }
    };
    spent.into_iter().map(share).collect()
}

fn minutes_of(span: &Span) -> impl Iterator<Item = u64> + use<> {
    span.from.as_millis() / MINUTE_MS..=(span.to.as_millis() - 1) / MINUTE_MS
}

/// The days of a stay, with the milliseconds of each.
fn days_of(span: &Span) -> impl Iterator<Item = (Day, u64)> + use<> {
    let Span { from, to } = *span;
    let (first, last) = (Day::of(from).0, Day::of(to).0);
    let days = (first..=last).map(Day);
    days.map(move |day| (day, millis(to.min(day.after().begins()).since(from.max(day.begins())))))
        .filter(|(_, ms)| *ms > 0)
}

fn runs(minutes: impl Iterator<Item = (u16, u32)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (minute, participants) in minutes {
        match runs.last_mut() {
            Some(run) if run.last + 1 == minute && run.participants == participants => run.last = minute,
            _ => runs.push(Run { first: minute, last: minute, participants }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    fn span(from: &str, to: &str) -> Span {
        Span { from: at(from), to: at(to) }
    }

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        let day = Day::parse("2028-02-29").expect("a leap day");
        assert_eq!((day.to_string(), day.month()), ("2028-02-29".to_owned(), "2028-02".to_owned()));
        assert_eq!(day.month_ends().to_string(), "2028-03-01");
        assert_eq!(Day::parse("2026-12-31").expect("a day").month_ends().to_string(), "2027-01-01");
        assert_eq!(Day::parse("2026-01-01").expect("a day").month_ends().to_string(), "2026-02-01");
        assert_eq!(Day::of(at("2026-11-22T23:59:59.999Z")).to_string(), "2026-11-22");
        for bad in ["2026-02-30", "2026-2-3", "2026-11", "tomorrow", "2026-11-22T00:00:00Z"] {
            assert_eq!(Day::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_call_over_midnight_is_of_both_days() {
        let call = [
            vec![span("2026-11-30T23:58:30Z", "2026-12-01T00:01:00Z")],
            vec![span("2026-11-30T23:59:59.999Z", "2026-12-01T00:00:30Z")],
        ];
        let [before, after] = shares(&call).try_into().expect("two days");
        assert_eq!((before.day.month(), before.participant_ms), ("2026-11".to_owned(), 90_001));
        let run = |first, last, participants| Run { first, last, participants };
        assert_eq!(before.runs, [run(1438, 1438, 1), run(1439, 1439, 2)]);
        assert_eq!((after.day.month(), after.participant_ms), ("2026-12".to_owned(), 90_000));
        assert_eq!(after.runs, [run(0, 0, 2)], "the minute that begins as the call ends is not of it");
    }

    #[test]
    fn a_party_that_comes_back_counts_once_in_a_minute() {
        let party = vec![
            span("2026-11-22T10:00:01Z", "2026-11-22T10:00:10Z"),
            span("2026-11-22T10:00:20Z", "2026-11-22T10:02:00Z"),
        ];
        let [day] = shares(&[party]).try_into().expect("one day");
        assert_eq!((day.participant_ms, day.runs), (109_000, vec![Run { first: 600, last: 601, participants: 1 }]));
        assert_eq!(shares(&[vec![], vec![span("2026-11-22T10:00:01Z", "2026-11-22T10:00:01Z")]]), []);
    }
}
