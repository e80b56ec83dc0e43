//! Which instances live, and what time it is for all of them.
//!
//! Each instance writes down now and then that it lives, and measures how far its machine's clock is from that of Redis. So a
//! device that read events at an instance that died counts as gone, and instances agree on what is due.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{cmd, from_redis_value};
use tokio::time::{Instant, sleep};

use super::keys::Keys;
use super::link::Link;
use super::{Redis, unreadable};
use crate::clock::Clock;
use crate::domain::{DeviceId, Timestamp};
use crate::store::StoreError;

/// How often an instance says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How soon it tries again to say so.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long it counts as living after it said so.
const LIVES_FOR: Duration = Duration::from_secs(16);
/// A measurement that took longer says too little about the clock.
const MEASURED_WITHIN: Duration = Duration::from_millis(200);

/// From when on (ms) who has not said that it lives does not: not while this instance could not say so of itself, since then nobody could,
/// nor until all have had the time to say so again.
#[derive(Debug, Default)]
pub(super) struct Silence(AtomicU64);

impl Silence {
    fn begins(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    fn ends(&self, now: Timestamp) {
        let over = (now + LIVES_FOR).as_millis();
        let _ = self.0.compare_exchange(u64::MAX, over, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn says_nothing(&self, now: Timestamp) -> bool {
        now.as_millis() < self.0.load(Ordering::Relaxed)
    }
}

/// What beating needs.
pub(super) struct Heart {
    pub(super) link: Link,
    pub(super) keys: Arc<Keys>,
    pub(super) clock: Clock,
    pub(super) instance: String,
    pub(super) silence: Arc<Silence>,
}

impl Heart {
    /// Beats until it is aborted.
    pub(super) async fn run(self) {
        let mut pause = BEAT_EVERY;
        loop {
            sleep(self.clock.jitter(pause).min(pause)).await;
            pause = match self.beat().await {
                Ok(()) => {
                    self.silence.ends(self.clock.now());
                    BEAT_EVERY
                }
                Err(error) => {
                    self.silence.begins();
                    tracing::warn!(%error, "this instance cannot say that it lives");
                    // Others count it as dead until it can.
                    AGAIN_AFTER
                }
            };
        }
    }

    /// Beats for the first time, with a clock that nothing is known of: the measurement counts, however long it took.
    pub(super) async fn start(&self) -> Result<(), StoreError> {
        self.set_clock().await?;
        self.beat().await
    }

    /// Measures a clock that nothing is known of.
    pub(super) async fn set_clock(&self) -> Result<(), StoreError> {
        self.measure(Duration::MAX).await
    }

    /// Measures the clock, and says that this instance lives.
    async fn beat(&self) -> Result<(), StoreError> {
        self.measure(MEASURED_WITHIN).await?;
        let (now, key) = (self.clock.now(), self.key());
        let (mut here, mut forget) = (cmd("ZADD"), cmd("ZREMRANGEBYSCORE"));
        here.arg(&key).arg(now.as_millis()).arg(&self.instance);
        forget.arg(&key).arg("-inf").arg((now - 2 * LIVES_FOR).as_millis());
        self.link.ask_all(&[here, forget]).await.map(drop)
    }

    fn key(&self) -> String {
        self.keys.partition(0).one("instances")
    }

    /// Says that this instance lives no longer, so that nobody counts on its event streams.
    pub(super) async fn stop(self) -> Result<(), StoreError> {
        self.link.ask(cmd("ZREM").arg(self.key()).arg(&self.instance)).await.map(drop)
    }

    /// Corrects the clock by how far it is from that of Redis, taken at the middle of the round trip, if that took no longer than
    /// `within`.
    async fn measure(&self, within: Duration) -> Result<(), StoreError> {
        let (before, began) = (self.clock.machine_now(), Instant::now());
        let time = self.link.ask_beside(&self.key(), &cmd("TIME")).await?;
        let time: (u64, u64) = from_redis_value(time).map_err(unreadable)?;
        let took = began.elapsed();
        if took <= within {
            let theirs = Timestamp::from_millis(time.0 * 1000 + time.1 / 1000);
            let ours = before + took / 2;
            let ahead = i64::try_from(theirs.since(ours).as_millis()).unwrap_or(i64::MAX);
            let behind = i64::try_from(ours.since(theirs).as_millis()).unwrap_or(i64::MAX);
            self.clock.correct_by_ms(ahead - behind);
        }
        Ok(())
    }
}

impl Redis {
    /// The instances that live.
    pub(super) async fn living(&self) -> Result<HashSet<String>, StoreError> {
        let since = (self.clock.now() - LIVES_FOR).as_millis();
        let mut living = cmd("ZRANGE");
        living.arg(self.keys.partition(0).one("instances")).arg(since).arg("+inf").arg("BYSCORE");
        from_redis_value(self.link.ask(&living).await?).map_err(unreadable)
    }

    /// Of devices and the instances at which each reads events, those at instances that live; all, where that cannot be known, since a
    /// server that is away, or was a moment ago, shall keep no call from those who do not need it.
    pub(super) async fn at_living(&self, attached: Vec<String>) -> Vec<DeviceId> {
        if attached.is_empty() {
            return Vec::new();
        }
        let living = if self.silence.says_nothing(self.clock.now()) { None } else { self.living().await.ok() };
        let lives = |instance: &str| living.as_ref().is_none_or(|living| living.contains(instance));
        let attached = attached.iter().filter_map(|attached| attached.split_once(' '));
        let there = attached.filter(|(_, instance)| lives(instance));
        there.filter_map(|(device, _)| DeviceId::new(device).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_all_have_the_time_to_speak_again() {
        let (silence, back) = (Silence::default(), Timestamp::from_millis(1_800_000_000_000));
        assert!(!silence.says_nothing(back));
        silence.begins();
        assert!(silence.says_nothing(back + 100 * LIVES_FOR));
        silence.ends(back);
        assert!(silence.says_nothing(back + LIVES_FOR - Duration::from_millis(1)));
        assert!(!silence.says_nothing(back + LIVES_FOR));
        // A beat that had no silence before it begins none.
        silence.ends(back + LIVES_FOR);
        assert!(!silence.says_nothing(back + LIVES_FOR));
    }
}
