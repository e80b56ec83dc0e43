//! What is used, by day; and which calls it has been added for.
//!
//! A day lies in sixteen partitions. A call's share goes into the one that its id chooses, where also stands that it was added, so that
//! both are one step.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{cmd, from_redis_value};

use super::keys::{PARTITIONS, Partition};
use super::script::ACCOUNT;
use super::{Redis, unreadable};
use crate::domain::CallId;
use crate::domain::time::millis;
use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::store::{ACCOUNTED_KEPT, StoreError, USAGE_KEPT};

/// How many partitions a day lies in.
const SHARDS: usize = 16;
/// How many of them are read at once.
const READS_AT_ONCE: usize = 64;
/// What stands in a day beside its minutes: calls, and milliseconds of participants.
const SUMS: [&str; 2] = ["calls", "ms"];

impl Redis {
    pub(super) async fn add_usage(&self, call: CallId, shares: &[DayShare]) -> Result<bool, StoreError> {
        let partition = self.shard(self.keys.of_call(call).number);
        let mut keys = vec![partition.key("accounted", call)];
        keys.extend(shares.iter().map(|share| partition.key("usage", share.day)));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let mut step = ACCOUNT.on(&keys);
        step.arg(millis(ACCOUNTED_KEPT));
        for DayShare { day, participant_ms, runs } in shares {
            step.arg((day.begins() + USAGE_KEPT).as_millis()).arg(*participant_ms).arg(runs.len());
            for run in runs {
                step.arg(run.first).arg(run.last).arg(run.participants);
            }
        }
        from_redis_value(self.link.run(&ACCOUNT, &step).await?).map_err(unreadable)
    }

    pub(super) async fn usage_of(&self, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError> {
        let days = (from.number()..=to.number()).map(Day::from_number);
        let usage =
            stream::iter(days.map(|day| self.usage_on(day, day >= peaks_from))).buffered(READS_AT_ONCE / SHARDS);
        let usage: Vec<DayUsage> = usage.try_collect().await?;
        Ok(usage.into_iter().filter(|usage| usage.calls > 0).collect())
    }

    pub(super) async fn usage_on(&self, day: Day, with_peak: bool) -> Result<DayUsage, StoreError> {
        let shards = stream::iter(0..SHARDS).map(async |shard| {
            let key = self.shard(shard).key("usage", day);
            if with_peak {
                let answer = self.link.ask(cmd("HGETALL").arg(key)).await?;
                return from_redis_value::<HashMap<String, u64>>(answer).map_err(unreadable);
            }
            let answer = self.link.ask(cmd("HMGET").arg(key).arg(&SUMS)).await?;
            let sums: [Option<u64>; 2] = from_redis_value(answer).map_err(unreadable)?;
            Ok(SUMS.into_iter().zip(sums).filter_map(|(field, sum)| Some((field.to_owned(), sum?))).collect())
        });
        let shards: Vec<HashMap<String, u64>> = shards.buffer_unordered(SHARDS).try_collect().await?;
        let mut sums: HashMap<String, u64> = HashMap::new();
        for (field, number) in shards.into_iter().flatten() {
            *sums.entry(field).or_default() += number;
        }
        let [calls, participant_ms] = SUMS.map(|field| sums.remove(field).unwrap_or_default());
        let peak = sums.into_values().max().unwrap_or_default();
        Ok(DayUsage { day, calls, participant_ms, peak: u32::try_from(peak).unwrap_or(u32::MAX) })
    }

    /// One of the partitions in which a day lies.
    pub(super) fn shard(&self, number: usize) -> Partition<'_> {
        self.keys.partition(number % SHARDS * (PARTITIONS / SHARDS))
    }
}
