//! The one place where Bellwire asks what time it is and draws random numbers.
//!
//! Everything else gets a [`Clock`] handed in (`clippy.toml` bans the rest), so that a test can move an instance's
//! time and a store can correct it: `now` is the machine's clock plus an offset.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use uuid::{Builder, Uuid};

use crate::domain::CallId;
use crate::domain::time::{Timestamp, millis};

/// A wall clock with an offset, and a source of randomness. Clones share the offset.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    offset_ms: AtomicI64,
    moved: watch::Sender<()>,
    random: SystemRandom,
}

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        let (moved, _) = watch::channel(());
        Self(Arc::new(Inner { offset_ms: AtomicI64::new(0), moved, random: SystemRandom::new() }))
    }

    /// The time now, corrected by the offset.
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    pub fn now(&self) -> Timestamp {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let offset = self.0.offset_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(millis(machine).saturating_add_signed(offset))
    }

    /// Sets the offset to the machine's clock, in milliseconds, and wakes whoever waits for a time.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.0.offset_ms.store(offset_ms, Ordering::Relaxed);
        self.0.moved.send_replace(());
    }

    /// Moves the time forward by `by`.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.set_offset_ms(self.0.offset_ms.load(Ordering::Relaxed).saturating_add(by));
    }

    /// Waits until it is `due`, also when the offset changes meanwhile.
    pub async fn sleep_until(&self, due: Timestamp) {
        let mut moved = self.0.moved.subscribe();
        loop {
            let left = due.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = moved.changed() => {}
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
