//! Moving everything that the embedded store's file holds to Redis, while no gateway runs on either.
//!
//! The file is read through three times: to see whether all of it can be moved, before anything is written; to move it; and to compare what
//! the target answers with it. Until that is done a mark keeps gateways off the target, so that nobody works on half of it, and what a run that
//! did not come to its end has written is nobody's: the next run removes it and begins anew.

mod item;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use thiserror::Error;

pub use self::item::Item;
use super::StoreError;
use super::embedded::Source;
use super::redis::{Redis, TargetError};

/// How many things are compared at a time.
const COMPARED_AT_ONCE: usize = 128;
/// How many differences are told.
const TOLD: usize = 20;

/// Some of what a store holds.
#[derive(Debug, Default)]
pub struct Batch {
    /// What could be read.
    pub items: Vec<Item>,
    /// What could not.
    pub damaged: Vec<Damage>,
}

/// Something that cannot be read.
#[derive(Debug)]
pub struct Damage {
    /// In which table.
    pub table: &'static str,
    /// Under which key, safe on a terminal.
    pub key: String,
    /// Why.
    pub why: StoreError,
}

/// A move from one store to another.
pub struct Migration {
    /// What is moved.
    pub source: Arc<Source>,
    /// Where to; opened by [`Redis::to_be_filled`].
    pub target: Redis,
}

/// What there is to move.
#[derive(Debug, Default)]
pub struct Survey {
    /// How many things there are.
    pub items: u64,
    /// What cannot be read, and would be left behind.
    pub damaged: Vec<Damage>,
    /// Devices whose push tokens the target's keys do not open.
    pub unopened: u64,
    /// Which keys these are sealed by, in words.
    pub trouble: Option<String>,
}

/// What was moved.
#[derive(Debug, Default)]
pub struct Moved {
    /// How many of each kind.
    pub counts: Counts,
    /// How many were over, and were left behind for that.
    pub over: u64,
    /// How many keys an earlier run that did not come to its end had left.
    pub removed: u64,
}

/// How many of each kind, by its word.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The source is looked through.
    Reading,
    /// It is written to the target.
    Moving,
    /// The target is compared with it.
    Comparing,
}

/// Why a store could not be moved.
#[derive(Debug, Error)]
pub enum MigrationError {
    /// The target cannot be filled.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A store failed on the way.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the target answers is not what was written.
    #[error("the target does not hold what was written to it: {count} differ, {}", .named.join(", "))]
    Differs {
        /// How many things differ.
        count: u64,
        /// The first of them.
        named: Vec<String>,
    },
}

impl Migration {
    /// Looks through the source, and writes nothing.
    pub async fn survey(&self, told: impl Fn(Phase, u64)) -> Result<Survey, StoreError> {
        let (mut survey, mut batches) = (Survey::default(), self.source.batches());
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            for item in &batch.items {
                if let Item::Devices { user, devices } = item {
                    let unopened = devices.iter().filter(|device| !self.target.opens(user, device)).count();
                    survey.unopened += number(unopened);
                }
            }
            survey.items += number(batch.items.len());
            survey.damaged.extend(batch.damaged);
            told(Phase::Reading, survey.items);
        }
        survey.trouble = self.target.missing_keys();
        Ok(survey)
    }

    /// Moves everything that can be read, and sees that it arrived. It may be repeated until it has succeeded.
    pub async fn run(&self, told: impl Fn(Phase, u64)) -> Result<Moved, MigrationError> {
        let removed = Box::pin(self.target.begin_filling()).await?;
        let mut moved = Moved { removed, ..Moved::default() };
        let (mut batches, mut done) = (self.source.batches(), 0);
        while let Some(batch) = batches.recv().await {
            self.target.keep_filling().await?;
            let items = batch?.items;
            done += number(items.len());
            let all: usize = items.iter().map(Item::count).sum();
            let in_force: Vec<Item> = items.into_iter().filter_map(|item| self.target.in_force(item)).collect();
            moved.over += number(all - in_force.iter().map(Item::count).sum::<usize>());
            for item in &in_force {
                add(&mut moved.counts, item);
            }
            Box::pin(self.target.take_in(&in_force)).await?;
            told(Phase::Moving, done);
        }
        self.compare(&told).await?;
        // Whoever has stood still for long must not let gateways on what another run fills.
        self.target.keep_filling().await?;
        self.target.end_filling().await?;
        Ok(moved)
    }

    async fn compare(&self, told: impl Fn(Phase, u64)) -> Result<(), MigrationError> {
        let (mut batches, mut done) = (self.source.batches(), 0);
        let (mut count, mut named) = (0, Vec::new());
        while let Some(batch) = batches.recv().await {
            self.target.keep_filling().await?;
            let items = batch?.items;
            done += number(items.len());
            let compared =
                stream::iter(items).map(|item| Box::pin(self.difference(item))).buffer_unordered(COMPARED_AT_ONCE);
            let different: Vec<Option<String>> = compared.try_collect().await?;
            for name in different.into_iter().flatten() {
                count += 1;
                if named.len() < TOLD {
                    named.push(name);
                }
            }
            told(Phase::Comparing, done);
        }
        if count == 0 { Ok(()) } else { Err(MigrationError::Differs { count, named }) }
    }

    /// The name of a thing that the target does not have as it is.
    async fn difference(&self, item: Item) -> Result<Option<String>, StoreError> {
        let mut item = Some(item);
        // It may come to its end while it is compared; then it is over the second time.
        for _ in 0..2 {
            item = item.and_then(|item| self.target.in_force(item));
            match &item {
                Some(item) if !self.target.has(item).await? => {}
                _ => return Ok(None),
            }
        }
        Ok(item.map(|item| item.name()))
    }
}

fn add(counts: &mut Counts, item: &Item) {
    *counts.entry(item.kind()).or_default() += number(item.count());
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
