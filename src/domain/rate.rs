//! Rates: how often somebody may do something.
//!
//! They are kept by the generic cell rate algorithm, which remembers one number: the time at which all that was done would have come to
//! its end, had it been spread evenly (its "theoretical arrival time"). As many as a rate has may come at once, and then one for each
//! interval.

use std::fmt;
use std::time::Duration;

use super::time::Timestamp;

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long: a second, a minute, an hour or a day.
    pub per: Duration,
}

/// The spans of which a rate may be, by the names that they have in the configuration.
pub const SPANS: [(&str, Duration); 4] = [
    ("s", Duration::from_secs(1)),
    ("min", Duration::from_mins(1)),
    ("h", Duration::from_hours(1)),
    ("d", Duration::from_hours(24)),
];

impl Rate {
    /// The time between two, in microseconds.
    pub fn interval_us(self) -> u64 {
        (micros(self.per) / u64::from(self.count.max(1))).max(1)
    }

    /// The time that as many as may come at once take up, in microseconds.
    pub fn span_us(self) -> u64 {
        self.interval_us().saturating_mul(u64::from(self.count.max(1)))
    }

    /// Takes one more at `now`, where `arrival` is remembered (µs since 1970; 0 for nothing): what is to be remembered then, or how long
    /// to wait for the next one.
    ///
    /// A time that is further ahead than twice the span is from a clock that went back or from another rate, and counts for nothing, so that
    /// nobody is locked out for as long as the clock went back. One within that may be of another instance, whose clock is a little ahead.
    pub fn take(self, arrival: u64, now: Timestamp) -> Result<u64, Duration> {
        let now = now_us(now);
        let counts = arrival <= now.saturating_add(self.span_us().saturating_mul(2));
        let next = if counts { arrival.max(now) } else { now }.saturating_add(self.interval_us());
        match next.saturating_sub(self.span_us()).saturating_sub(now) {
            0 => Ok(next),
            wait => Err(Duration::from_micros(wait)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = SPANS.iter().find(|(_, span)| *span == self.per);
        match span {
            Some((name, _)) => write!(f, "{}/{name}", self.count),
            None => write!(f, "{}/{}s", self.count, self.per.as_secs_f64()),
        }
    }
}

/// What is limited, by the keys of `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Requests of an address.
    Ip,
    /// Invites by a user.
    InvitesPerUser,
    /// Invites of a user to another.
    InvitesPerPair,
    /// Invites to a user.
    InvitesPerCallee,
    /// LiveKit tokens that a user asks for.
    TokensPerUser,
    /// LiveKit tokens that a device asks for by its ticket.
    TokensPerDevice,
    /// Device registrations of a user.
    RegistrationsPerUser,
    /// Registrations of a user that bring a new token.
    NewTokensPerUser,
    /// Pushes to a token by which somebody proves that it is theirs.
    ProofsPerToken,
}

impl Limit {
    /// Its name: in keys of the store, which never change, in answers and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::InvitesPerUser => "invites_per_user",
            Self::InvitesPerPair => "invites_per_pair",
            Self::InvitesPerCallee => "invites_per_callee",
            Self::TokensPerUser => "tokens_per_user",
            Self::TokensPerDevice => "tokens_per_device",
            Self::RegistrationsPerUser => "registrations_per_user",
            Self::NewTokensPerUser => "new_tokens_per_user",
            Self::ProofsPerToken => "proofs_per_token",
        }
    }
}

/// Somebody did something as often as they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub limit: Limit,
    /// How often they may.
    pub rate: Rate,
    /// When they may again.
    pub wait: Duration,
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} of {}", self.rate, self.limit.as_str())
    }
}

/// A time in microseconds since 1970.
pub fn now_us(now: Timestamp) -> u64 {
    now.as_millis().saturating_mul(1000)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bucket that loses one for each interval, in whole microseconds: what the algorithm must come to.
    struct Bucket {
        full_us: u64,
        at_us: u64,
    }

    impl Bucket {
        fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
            self.full_us = self.full_us.saturating_sub(now_us(now) - self.at_us);
            self.at_us = now_us(now);
            let free = rate.span_us() - self.full_us;
            if free < rate.interval_us() {
                return Err(Duration::from_micros(rate.interval_us() - free));
            }
            self.full_us += rate.interval_us();
            Ok(())
        }
    }

    fn rates() -> impl Strategy<Value = Rate> {
        (1..200_u32, 0..SPANS.len()).prop_map(|(count, span)| Rate { count, per: SPANS[span].1 })
    }

    proptest! {
        #[test]
        fn it_is_a_bucket_that_leaks_evenly(rate in rates(), pauses in prop::collection::vec(0..5000_u64, 1..300)) {
            let mut now = Timestamp::from_millis(1_800_000_000_000);
            let (mut arrival, mut bucket) = (0, Bucket { full_us: 0, at_us: now_us(now) });
            for pause in pauses {
                now = now + Duration::from_millis(pause);
                let taken = rate.take(arrival, now);
                prop_assert_eq!(taken.map(drop), bucket.take(rate, now));
                arrival = taken.unwrap_or(arrival);
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_gets_one(rate in rates(), arrival in any::<u64>(), at in 0..4_000_000_000_000_u64) {
            let now = Timestamp::from_millis(at);
            if let Err(wait) = rate.take(arrival, now) {
                prop_assert!(wait.as_micros() <= u128::from(rate.span_us() + rate.interval_us()));
                // Times are whole milliseconds.
                let later = now + Duration::from_millis(u64::try_from(wait.as_micros().div_ceil(1000)).expect("short"));
                prop_assert!(rate.take(arrival, later).is_ok());
            }
        }
    }

    #[test]
    fn as_many_as_the_rate_has_come_at_once_and_then_one_for_each_interval() {
        let rate = Rate { count: 3, per: Duration::from_mins(1) };
        let mut now = Timestamp::from_millis(1_800_000_000_000);
        let mut arrival = 0;
        for _ in 0..3 {
            arrival = rate.take(arrival, now).expect("a burst");
        }
        assert_eq!(rate.take(arrival, now), Err(Duration::from_secs(20)));
        now = now + Duration::from_secs(15);
        assert_eq!(rate.take(arrival, now), Err(Duration::from_secs(5)));
        now = now + Duration::from_secs(5);
        arrival = rate.take(arrival, now).expect("one more");
        assert_eq!(rate.take(arrival, now), Err(Duration::from_secs(20)));
        now = now + Duration::from_hours(1);
        for _ in 0..3 {
            arrival = rate.take(arrival, now).expect("a burst again");
        }
        rate.take(arrival, now).expect_err("no more than a burst");
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out_for_longer_than_the_rate() {
        let rate = Rate { count: 2, per: Duration::from_secs(1) };
        let now = Timestamp::from_millis(1_800_000_000_000);
        for back in [1, 499, 500, 1000, 1500, 2500, 3_600_000].map(Duration::from_millis) {
            let mut arrival = 0;
            for _ in 0..rate.count {
                arrival = rate.take(arrival, now + back).expect("a burst");
            }
            let wait = rate.take(arrival, now).err().unwrap_or_default();
            assert!(wait <= rate.per + Duration::from_millis(500), "{wait:?} after {back:?}");
            rate.take(arrival, now + wait).expect("one more after the wait");
        }
    }

    #[test]
    fn two_clocks_that_differ_a_little_do_not_double_a_rate() {
        let rate = Rate { count: 2, per: Duration::from_mins(1) };
        let behind = Timestamp::from_millis(1_800_000_000_000);
        let ahead = behind + Duration::from_secs(2);
        let arrival = rate.take(rate.take(0, ahead).expect("a burst"), ahead).expect("a burst");
        assert_eq!(rate.take(arrival, behind), Err(Duration::from_secs(32)));
    }
}
