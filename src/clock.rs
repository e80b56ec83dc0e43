//! The one place where Bellwire asks what time it is and draws random numbers.
//!
//! Everything else gets a [`Clock`] handed in (`clippy.toml` bans the rest), so that a test can move an instance's
//! time and a store can correct it: `now` is the machine's clock, corrected, and moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use uuid::{Builder, Uuid};

use crate::domain::CallId;
use crate::domain::time::{Timestamp, millis};

/// A correction that differs from the one that stands by less than this changes nothing: time shall not jitter.
const CORRECTED_FROM_MS: u64 = 5;

/// How often whoever waits for a time looks at the clock: timers do not go on while the machine is suspended.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A wall clock and a source of randomness. Clones share the correction and how far it was moved.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// How wrong the machine's clock is on purpose.
    error_ms: i64,
    /// How wrong it is known to be.
    correction_ms: AtomicI64,
    moved_ms: AtomicI64,
    changed: watch::Sender<()>,
    random: SystemRandom,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self::off_by_ms(0)
    }

    /// A clock on a machine whose own is wrong by this many milliseconds (fast where positive), for tests of skew.
    pub fn off_by_ms(error_ms: i64) -> Self {
        let (changed, _) = watch::channel(());
        let (correction_ms, moved_ms) = (AtomicI64::new(0), AtomicI64::new(0));
        Self(Arc::new(Inner { error_ms, correction_ms, moved_ms, changed, random: SystemRandom::new() }))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let correction = self.0.correction_ms.load(Ordering::Relaxed);
        let moved = self.0.moved_ms.load(Ordering::Relaxed);
        later(self.machine_now(), correction.saturating_add(moved))
    }

    /// The time now, as finely as the machine knows it: what spans begin and end at.
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    pub fn finely(&self) -> SystemTime {
        let correction = self.0.correction_ms.load(Ordering::Relaxed);
        let moved = self.0.moved_ms.load(Ordering::Relaxed);
        let by_ms = self.0.error_ms.saturating_add(correction).saturating_add(moved);
        let by = Duration::from_millis(by_ms.unsigned_abs());
        let now = SystemTime::now();
        let moved = if by_ms < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        moved.unwrap_or(now)
    }

    /// What the machine takes for the time, neither corrected nor moved: for measuring how wrong it is.
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    pub fn machine_now(&self) -> Timestamp {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        later(Timestamp::from_millis(millis(machine)), self.0.error_ms)
    }

    /// Sets by how many milliseconds the machine's clock is slow, and wakes whoever waits for a time. A correction that differs by less than
    /// 5 ms from the one that stands is ignored.
    pub fn correct_by_ms(&self, correction_ms: i64) {
        let stands = self.0.correction_ms.load(Ordering::Relaxed);
        if correction_ms.abs_diff(stands) >= CORRECTED_FROM_MS {
            self.0.correction_ms.store(correction_ms, Ordering::Relaxed);
            self.0.changed.send_replace(());
        }
    }

    /// Moves the time forward by `by`, and wakes whoever waits for a time.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.moved_ms.fetch_add(by, Ordering::Relaxed);
        self.0.changed.send_replace(());
    }

    /// Waits until it is `due`, also when the clock is corrected or moved meanwhile.
    pub async fn sleep_until(&self, due: Timestamp) {
        let mut changed = self.0.changed.subscribe();
        loop {
            let left = due.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                // A machine that was suspended, or whose clock was set, is noticed.
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
                _ = changed.changed() => {}
            }
        }
    }

    /// Fills `bytes` from the system's random source.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness to give; nothing that Bellwire does is safe then.
    #[expect(clippy::disallowed_methods, clippy::expect_used, reason = "this is the place that may")]
    pub fn random(&self, bytes: &mut [u8]) {
        self.0.random.fill(bytes).expect("the operating system gives random bytes");
    }

    /// Any number, each as likely as any other.
    pub fn chance(&self) -> u64 {
        let mut random = [0; 8];
        self.random(&mut random);
        u64::from_le_bytes(random)
    }

    /// A new call id: UUID version 7, sortable by time.
    pub fn call_id(&self) -> CallId {
        let mut random = [0; 10];
        self.random(&mut random);
        CallId::from_uuid(Builder::from_unix_timestamp_millis(self.now().as_millis(), &random).into_uuid())
    }

    /// A random UUID, version 4.
    pub fn uuid(&self) -> Uuid {
        let mut random = [0; 16];
        self.random(&mut random);
        Builder::from_random_bytes(random).into_uuid()
    }

    /// A random duration between half of `around` and one and a half of it, so that retries do not march in step.
    pub fn jitter(&self, around: Duration) -> Duration {
        let mut random = [0; 4];
        self.random(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        around.mul_f64(0.5 + share)
    }
}

fn later(time: Timestamp, by_ms: i64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add_signed(by_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_corrected_and_still_moves() {
        const HOUR_MS: u64 = 3_600_000;
        let (right, wrong) = (Clock::system(), Clock::off_by_ms(-3_600_000));
        let behind = |of: &dyn Fn() -> Timestamp| right.now().since(of()).as_millis();
        assert!(behind(&|| wrong.now()) >= u128::from(HOUR_MS) - 1000);
        wrong.correct_by_ms(3_600_000);
        assert!(behind(&|| wrong.now()) < 1000);
        assert!(behind(&|| wrong.machine_now()) >= u128::from(HOUR_MS) - 1000, "what is measured stays as it is");
        wrong.advance(Duration::from_hours(1));
        wrong.correct_by_ms(0);
        assert!(behind(&|| wrong.now()) < 1000, "moved by as much as it is wrong");
    }

    #[test]
    fn a_correction_of_next_to_nothing_changes_nothing() {
        let clock = Clock::system();
        clock.correct_by_ms(1000);
        let changed = clock.0.changed.subscribe();
        for next_to_nothing in [996, 1000, 1004] {
            clock.correct_by_ms(next_to_nothing);
            assert!(!changed.has_changed().expect("it lives"), "{next_to_nothing}");
        }
        clock.correct_by_ms(1005);
        assert!(changed.has_changed().expect("it lives"));
    }

    #[test]
    fn call_ids_sort_by_time() {
        let clock = Clock::system();
        let first = clock.call_id();
        clock.advance(Duration::from_secs(1));
        assert!(first < clock.call_id());
    }

    #[test]
    fn jitter_stays_around() {
        let clock = Clock::system();
        for _ in 0..100 {
            let wait = clock.jitter(Duration::from_millis(200));
            assert!((100..=300).contains(&wait.as_millis()), "{wait:?}");
        }
    }

    #[tokio::test]
    async fn moving_the_clock_wakes_who_waits() {
        let clock = Clock::system();
        let due = clock.now() + Duration::from_hours(1);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(due).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_hours(1));
        waiting.await.expect("woken");
    }

    /// While a machine is suspended its clock goes on and its timers do not; nobody says so when it wakes up.
    #[tokio::test]
    async fn who_waits_looks_at_the_clock_soon_after_a_suspension() {
        let clock = Clock::system();
        let due = clock.now() + Duration::from_hours(1);
        let waiting = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(due).await }
        });
        tokio::task::yield_now().await;
        clock.0.moved_ms.fetch_add(3_600_000, Ordering::Relaxed);
        tokio::time::timeout(LOOK_EVERY * 2, waiting).await.expect("soon").expect("woken");
    }
}
