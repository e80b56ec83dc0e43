//! How much is used: participant minutes and participants at a time, by day in UTC.
//!
//! A call's part is worked out here, from when each party was in the room; the store adds it up. Participants are counted by the minute:
//! everybody who was there in a minute, however briefly. So a day's peak is never less than what there was at once, and may be more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::time::{Timestamp, millis};

const MINUTE_MS: u64 = 60_000;
/// Minutes of a day.
pub const MINUTES: u16 = 1440;
const DAY_MS: u64 = MINUTE_MS * MINUTES as u64;

/// A day in UTC, by its number since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// A party's time in a room: from the first moment to the last one, and how much of it they were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// When they came.
    pub from: Timestamp,
    /// When they were gone for good.
    pub to: Timestamp,
    /// Milliseconds that they were there.
    pub there_ms: u64,
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

/// A plan's limits, and the shares of them (in per cent) of which to warn. A limit of 0 is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Participant minutes of a calendar month.
    pub participant_minutes_per_month: u64,
    /// Participants at a time.
    pub concurrent_participants: u32,
    /// The shares.
    pub warn_at: Vec<u32>,
}

/// A share of a plan's limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// `participant_minutes` or `concurrent_participants`.
    pub what: &'static str,
    /// The month (`2026-11`) of minutes, the day (`2026-11-22`) of participants at a time.
    pub period: String,
    /// The first day after it.
    pub ends: Day,
    /// The share, in per cent.
    pub per_cent: u32,
    /// How much was used.
    pub used: u64,
    /// How much there is.
    pub limit: u64,
}

impl Plan {
    /// Whether there is anything to warn of.
    pub const fn warns(&self) -> bool {
        !self.warn_at.is_empty() && (self.participant_minutes_per_month > 0 || self.concurrent_participants > 0)
    }

    /// The shares that were reached in a day's month and on the day, of what was used on the days of the month up to then.
    pub fn crossings(&self, day: Day, usage: &[DayUsage]) -> Vec<Crossing> {
        let of_month = usage.iter().filter(|usage| (day.month_begins()..=day).contains(&usage.day));
        let minutes = of_month.map(|usage| usage.participant_ms).fold(0, u64::saturating_add) / MINUTE_MS;
        let peak = usage.iter().find(|usage| usage.day == day).map_or(0, |usage| usage.peak);
        let of = |what, period: String, ends, used: u64, limit: u64| {
            let reached = move |per_cent: &&u32| {
                limit > 0 && u128::from(used) * 100 >= u128::from(limit) * u128::from(**per_cent)
            };
            let crossing =
                move |per_cent: &u32| Crossing { what, period: period.clone(), ends, per_cent: *per_cent, used, limit };
            self.warn_at.iter().filter(reached).map(crossing)
        };
        let limit = self.participant_minutes_per_month;
        let of_month = of("participant_minutes", day.month(), day.month_ends(), minutes, limit);
        let limit = self.concurrent_participants.into();
        of_month.chain(of("concurrent_participants", day.to_string(), day.after(), peak.into(), limit)).collect()
    }
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
    #[must_use]
    pub fn month_begins(self) -> Self {
        Self::parse(&format!("{}-01", self.month())).unwrap_or(self)
    }

    /// The first day of the month after its own.
    #[must_use]
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

/// Longer than any call may be. Of a stay that a damaged record or a clock makes longer, the end counts: each minute takes memory.
const LONGEST_STAY: Duration = Duration::from_hours(31 * 24);

/// What parties who were in a room at these times add to which days.
pub fn shares(stays: &[Stay]) -> Vec<DayShare> {
    let mut minutes: BTreeMap<u64, u32> = BTreeMap::new();
    let mut spent: BTreeMap<Day, u64> = BTreeMap::new();
    for Stay { from, to, there_ms } in stays.iter().filter(|stay| stay.from < stay.to) {
        let from = (*from).max(*to - LONGEST_STAY);
        for minute in from.as_millis() / MINUTE_MS..=(to.as_millis() - 1) / MINUTE_MS {
            *minutes.entry(minute).or_default() += 1;
        }
        // Where they were away for a while it is not known when, so that counts for the beginning.
        for (day, ms) in days_between((*to - Duration::from_millis(*there_ms)).max(from), *to) {
            *spent.entry(day).or_default() += ms;
        }
    }
    let days: BTreeSet<Day> =
        minutes.keys().map(|minute| Day::of(Timestamp::from_millis(minute * MINUTE_MS))).collect();
    let share = |day: Day| {
        let first = u64::from(day.0) * u64::from(MINUTES);
        let of_day = minutes.range(first..first + u64::from(MINUTES));
        let of_day = of_day.filter_map(|(minute, count)| Some((u16::try_from(minute - first).ok()?, *count)));
        DayShare { day, participant_ms: spent.get(&day).copied().unwrap_or_default(), runs: runs(of_day) }
    };
    days.into_iter().map(share).collect()
}

/// The days of a time, with the milliseconds of each.
fn days_between(from: Timestamp, to: Timestamp) -> impl Iterator<Item = (Day, u64)> {
    let days = (Day::of(from).0..=Day::of(to).0).map(Day);
    days.map(move |day| (day, millis(to.min(day.after().begins()).since(from.max(day.begins())))))
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

    fn stay(from: &str, to: &str, away_ms: u64) -> Stay {
        let (from, to) = (at(from), at(to));
        Stay { from, to, there_ms: millis(to.since(from)) - away_ms }
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
            stay("2026-11-30T23:58:30Z", "2026-12-01T00:01:00Z", 0),
            stay("2026-11-30T23:59:59.999Z", "2026-12-01T00:00:30Z", 0),
        ];
        let [before, after] = shares(&call).try_into().expect("two days");
        assert_eq!((before.day.month(), before.participant_ms), ("2026-11".to_owned(), 90_001));
        let run = |first, last, participants| Run { first, last, participants };
        assert_eq!(before.runs, [run(1438, 1438, 1), run(1439, 1439, 2)]);
        assert_eq!((after.day.month(), after.participant_ms), ("2026-12".to_owned(), 90_000));
        assert_eq!(after.runs, [run(0, 0, 2)], "the minute that begins as the call ends is not of it");
    }

    #[test]
    fn a_party_that_was_away_is_counted_in_those_minutes_and_not_billed_for_them() {
        let [day] =
            shares(&[stay("2026-11-22T10:00:01Z", "2026-11-22T10:02:00Z", 10_000)]).try_into().expect("one day");
        assert_eq!((day.participant_ms, day.runs), (109_000, vec![Run { first: 600, last: 601, participants: 1 }]));
        assert_eq!(shares(&[stay("2026-11-22T10:00:01Z", "2026-11-22T10:00:01Z", 0)]), []);
    }

    #[test]
    fn a_party_that_was_away_at_midnight_leaves_no_minute_out() {
        let shares = shares(&[stay("2026-11-22T23:59:00Z", "2026-11-23T00:01:00Z", 60_000)]);
        let days: Vec<_> = shares.iter().map(|share| (share.participant_ms, share.runs.len())).collect();
        assert_eq!(days, [(0, 1), (60_000, 1)]);
    }

    #[test]
    fn shares_of_a_plan_are_reached_in_their_month_and_on_their_day() {
        let plan = Plan { participant_minutes_per_month: 100, concurrent_participants: 10, warn_at: vec![80, 100] };
        let usage = |day: &str, minutes: u64, peak| DayUsage {
            day: Day::parse(day).expect("a day"),
            calls: 1,
            participant_ms: minutes * 60_000,
            peak,
        };
        let used = [usage("2026-10-31", 500, 99), usage("2026-11-01", 50, 8), usage("2026-11-02", 30, 7)];
        let crossed = |day: &str| {
            let crossings = plan.crossings(Day::parse(day).expect("a day"), &used);
            let short = |crossing: Crossing| format!("{} {}% of {}", crossing.period, crossing.per_cent, crossing.what);
            crossings.into_iter().map(short).collect::<Vec<_>>()
        };
        assert_eq!(crossed("2026-11-01"), ["2026-11-01 80% of concurrent_participants"], "nothing of October");
        assert_eq!(crossed("2026-11-02"), ["2026-11 80% of participant_minutes"]);
        assert_eq!(crossed("2026-10-31").len(), 4, "both shares of both");
        assert_eq!(Plan { participant_minutes_per_month: 0, ..plan.clone() }.crossings(used[2].day, &used), []);
    }
}
