//! Instants of the domain: whole milliseconds since 1970, UTC.
//!
//! The domain never asks what time it is; every instant comes in as an argument (`clock` makes them).
//! Durations are `std::time::Duration`. RFC 3339 is the form for people; records and pushes carry milliseconds.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `millis` milliseconds after 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down, as JWTs and APNs want them.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The RFC 3339 form with milliseconds, `2026-01-31T12:00:00.000Z`.
    ///
    /// Instants past the year 9999, which RFC 3339 cannot write, print as its last one.
    pub fn rfc3339(self) -> String {
        humantime::format_rfc3339_millis(UNIX_EPOCH + self.since_epoch()).to_string()
    }

    /// The form of HTTP's headers (RFC 9110, section 5.6.7), `Sat, 31 Jan 2026 12:00:00 GMT`; past the year 9999 as
    /// [`rfc3339`](Self::rfc3339).
    pub fn http_date(self) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + self.since_epoch())
    }

    /// Up to the last instant that can be written.
    fn since_epoch(self) -> Duration {
        const LAST: u64 = 253_402_300_799_999;
        Duration::from_millis(self.0.min(LAST))
    }

    /// Reads the RFC 3339 form in UTC; `None` if it is not one.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let time = humantime::parse_rfc3339(text).ok()?;
        let millis = time.duration_since(UNIX_EPOCH).ok()?.as_millis();
        u64::try_from(millis).ok().map(Self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Whole milliseconds of a duration, the greatest number if there are more.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_goes_there_and_back() {
        let time = Timestamp::from_millis(1_712_345_678_901);
        assert_eq!(time.rfc3339(), "2024-04-05T19:34:38.901Z");
        assert_eq!(Timestamp::parse_rfc3339(&time.rfc3339()), Some(time));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
        assert_eq!(time.http_date(), "Fri, 05 Apr 2024 19:34:38 GMT");
    }

    #[test]
    fn arithmetic_saturates() {
        let last = Timestamp::from_millis(u64::MAX);
        assert_eq!(last + Duration::from_secs(1), last);
        assert_eq!(last.rfc3339(), "9999-12-31T23:59:59.999Z");
        assert_eq!(last.http_date(), "Fri, 31 Dec 9999 23:59:59 GMT");
        let first = Timestamp::from_millis(0);
        assert_eq!(first - Duration::from_secs(1), first);
        assert_eq!(first.since(last), Duration::ZERO);
    }
}
