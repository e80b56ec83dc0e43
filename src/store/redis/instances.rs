//! Which instances live, and what time it is for all of them.
//!
//! Each instance writes down now and then that it lives, and measures how far its machine's clock is from that of Redis. So a
//! device that read events at an instance that died counts as gone, and instances agree on what is due.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::{cmd, from_redis_value};
use tokio::time::{Instant, sleep};

use super::keys::Keys;
use super::link::Link;
use super::unreadable;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::store::StoreError;

/// How often an instance says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(5);
/// How long it counts as living after it said so.
const LIVES_FOR: Duration = Duration::from_secs(16);
/// A measurement that took longer says too little about the clock.
const MEASURED_WITHIN: Duration = Duration::from_millis(200);

/// The instances that live, as of the last beat. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Instances(Arc<RwLock<HashSet<String>>>);

impl Instances {
    /// Whether an instance lives.
    pub(super) fn lives(&self, instance: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(instance)
    }

    fn set(&self, living: HashSet<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = living;
    }
}

/// What beating needs.
pub(super) struct Heart {
    pub(super) link: Link,
    pub(super) keys: Arc<Keys>,
    pub(super) clock: Clock,
    pub(super) instance: String,
    pub(super) instances: Instances,
}

impl Heart {
    /// Beats until it is aborted.
    pub(super) async fn run(self) {
        loop {
            sleep(self.clock.jitter(BEAT_EVERY).min(BEAT_EVERY)).await;
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "this instance cannot say that it lives");
            }
        }
    }

    /// Measures the clock, says that this instance lives, and learns which others do.
    pub(super) async fn beat(&self) -> Result<(), StoreError> {
        let key = self.keys.partition(0).one("instances");
        self.measure(&key).await?;
        let now = self.clock.now();
        let (mut here, mut forget, mut all) = (cmd("ZADD"), cmd("ZREMRANGEBYSCORE"), cmd("ZRANGE"));
        here.arg(&key).arg(now.as_millis()).arg(&self.instance);
        forget.arg(&key).arg("-inf").arg((now - 2 * LIVES_FOR).as_millis());
        all.arg(&key).arg((now - LIVES_FOR).as_millis()).arg("+inf").arg("BYSCORE");
        let answers = self.link.ask_all(&[here, forget, all]).await?;
        let (_, _, living): (u64, u64, Vec<String>) = from_redis_value(answers).map_err(unreadable)?;
        self.instances.set(living.into_iter().collect());
        Ok(())
    }

    /// Says that this instance lives no longer, so that nobody counts on its event streams.
    pub(super) async fn stop(self) -> Result<(), StoreError> {
        let key = self.keys.partition(0).one("instances");
        self.link.ask(cmd("ZREM").arg(key).arg(&self.instance)).await.map(drop)
    }

    /// Corrects the clock by how far it is from that of the server with a key, taken at the middle of the round trip.
    async fn measure(&self, key: &str) -> Result<(), StoreError> {
        let (before, began) = (self.clock.machine_now(), Instant::now());
        let time: (u64, u64) = from_redis_value(self.link.ask_beside(key, &cmd("TIME")).await?).map_err(unreadable)?;
        let took = began.elapsed();
        if took <= MEASURED_WITHIN {
            let theirs = Timestamp::from_millis(time.0 * 1000 + time.1 / 1000);
            let ours = before + took / 2;
            let ahead = i64::try_from(theirs.since(ours).as_millis()).unwrap_or(i64::MAX);
            let behind = i64::try_from(ours.since(theirs).as_millis()).unwrap_or(i64::MAX);
            self.clock.correct_by_ms(ahead - behind);
        }
        Ok(())
    }
}
