//! What is due: the wake-ups of all partitions, of calls or of jobs, read page by page.

use std::collections::HashSet;
use std::hash::Hash;

use futures_util::future::join_all;
use redis::{cmd, from_redis_value};

use super::keys::{PARTITIONS, Partition};
use super::{Redis, unreadable};
use crate::domain::Timestamp;
use crate::store::StoreError;

/// The most that one set of a partition gives at once. A sweep that fills its limit comes back at once, and partitions are alike.
const DUE_OF_ONE: usize = 64;
/// How many more are read at once where these are not enough, for there are some that nobody here can act on.
const NEXT_PAGE: usize = 1024;

/// Which set it waits in, when it is due (ms), and what it is.
type Due<Id> = (usize, f64, Id);

impl Redis {
    /// What is due in these sets of all partitions, those of the first set first, then by time: at most `limit`, and those of `beside` that
    /// come before the last of these. Where some partitions cannot be read, what is in the others is due all the same.
    pub(super) async fn due_in<Id: Eq + Hash + Sync>(
        &self,
        sets: &[&str],
        now: Timestamp,
        limit: usize,
        beside: &HashSet<Id>,
        id: impl Fn(String) -> Option<Id>,
    ) -> Result<Vec<Id>, StoreError> {
        let most = limit.min(DUE_OF_ONE);
        let partitions = self.keys.all().map(|partition| self.due_of_one(partition, sets, now, most, beside, &id));
        let (mut due, mut failures) = (Vec::new(), Vec::new());
        for answer in join_all(partitions).await {
            match answer {
                Ok(some) => due.extend(some),
                Err(failure) => failures.push(failure),
            }
        }
        match failures.pop() {
            Some(failure) if failures.len() + 1 == PARTITIONS => return Err(failure),
            Some(error) => {
                tracing::warn!(%error, partitions = failures.len() + 1, "some of what is due cannot be read");
            }
            None => {}
        }
        due.sort_by(|(set, at, _), (other, than, _)| set.cmp(other).then(at.total_cmp(than)));
        let mut others = 0;
        let fits = |(_, _, id): &Due<Id>| {
            others += usize::from(!beside.contains(id));
            others <= limit
        };
        Ok(due.into_iter().take_while(fits).map(|(_, _, id)| id).collect())
    }

    /// Reads a partition's sets, page by page, each until `most` were found beside those that take no other's place, or there are no more.
    async fn due_of_one<Id: Eq + Hash>(
        &self,
        partition: Partition<'_>,
        sets: &[&str],
        now: Timestamp,
        most: usize,
        beside: &HashSet<Id>,
        id: impl Fn(String) -> Option<Id>,
    ) -> Result<Vec<Due<Id>>, StoreError> {
        let (mut due, mut size) = (Vec::new(), most);
        // Of each set that is read on: which it is, how much of it was read, and how many of that take a place.
        let mut reading: Vec<(usize, usize, usize)> = (0..sets.len()).map(|set| (set, 0, 0)).collect();
        while !reading.is_empty() {
            let pages = reading.iter().map(|(set, read, _)| {
                let mut range = cmd("ZRANGE");
                range.arg(partition.one(sets[*set])).arg("-inf").arg(now.as_millis()).arg("BYSCORE");
                range.arg("LIMIT").arg(*read).arg(size).arg("WITHSCORES");
                range
            });
            let answer = self.link.ask_all(&pages.collect::<Vec<_>>()).await?;
            let mut pages = from_redis_value::<Vec<Vec<(String, f64)>>>(answer).map_err(unreadable)?.into_iter();
            reading.retain_mut(|(set, read, others)| {
                let page = pages.next().unwrap_or_default();
                let is_last = page.len() < size;
                *read += page.len();
                // What has no such name is a newer release's.
                for (at, id) in page.into_iter().filter_map(|(name, at)| Some((at, id(name)?))) {
                    *others += usize::from(!beside.contains(&id));
                    due.push((*set, at, id));
                }
                !is_last && *others < most
            });
            size = NEXT_PAGE;
        }
        Ok(due)
    }
}
