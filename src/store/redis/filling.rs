//! A store that is filled from another one: nobody's until that is done, and one run's at a time.
//!
//! A mark says that it is not done, and keeps gateways off. So whatever lies there beside the mark was written by a run that did not come to
//! its end. What is written is `taking_in`'s.

use std::time::Duration;

use redis::{Value, cmd, from_redis_value};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::erasure::{delete, escape};
use super::server::one_of_each;
use super::{Redis, unreadable};
use crate::domain::time::millis;
use crate::store::StoreError;

/// The mark.
const MARK: &str = "migration";
/// Says which run is at work, for a while after it last did.
const HOLD: &str = "migrating";
/// How long a run that says nothing is taken to be at work.
const HELD_FOR: Duration = Duration::from_secs(10);
/// How often it is looked whether it is not any more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the mark stands of a run that was killed while it looked whether the store is empty.
const LOOKS_WITHIN: Duration = Duration::from_mins(1);
/// What a gateway leaves that has stored nothing, and what is written here.
const OF_NO_ACCOUNT: [&str; 6] = ["instances", "notices", "probe:", "attached:", MARK, HOLD];

/// Why a store cannot be filled.
#[derive(Debug, Error)]
pub enum TargetError {
    /// A gateway runs on it.
    #[error("{0} has a gateway running on it, or one that was killed within the last 16 s: stop it first")]
    Running(String),
    /// Something is stored there.
    #[error(
        "{0} is not empty: it was filled before, or gateways have used it. Nothing was written. To fill it all the same, empty it first, or set \
         another store.key_prefix"
    )]
    NotEmpty(String),
    /// Another run fills it.
    #[error("{0} is being filled by another bellwire migrate-store")]
    Busy(String),
    /// It stood still, and another one may have begun meanwhile.
    #[error("{0} was not written to for too long, so that another migration may have begun: run it again")]
    Lost(String),
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What stands under the mark while it is looked whether the store is empty, and from then on.
const LOOKING: &str = "looking";
const FILLING: &str = "filling";

impl Redis {
    /// Whether it is not filled to its end.
    pub(super) async fn is_being_filled(&self) -> Result<bool, StoreError> {
        Ok(self.mark().await?.is_some())
    }

    /// Takes hold of an empty store, or of one that an earlier run did not fill to its end, which is emptied: the answer is of how many keys.
    pub async fn begin_filling(&self) -> Result<u64, TargetError> {
        self.take_hold().await?;
        let begun = self.mark_and_empty().await;
        if begun.as_ref().is_err_and(|error| !matches!(error, TargetError::Lost(_))) {
            // Should it fail: it lapses soon.
            let _ = self.link.ask(&delete(&self.of_filling(HOLD))).await;
        }
        begun
    }

    /// Says that this run is still at work, unless another one is.
    pub async fn keep_filling(&self) -> Result<(), TargetError> {
        let keys = [MARK, HOLD].map(|what| self.of_filling(what));
        let stand = self.link.ask(cmd("MGET").arg(&keys)).await?;
        let [mark, holder]: [Option<String>; 2] = from_redis_value(stand).map_err(unreadable)?;
        let (Some(mark), true) = (mark, holder.as_ref() == Some(&self.instance)) else {
            return Err(TargetError::Lost(self.target.clone()));
        };
        let [marked, held] = keys;
        self.link.ask(cmd("PEXPIRE").arg(held).arg(millis(HELD_FOR))).await?;
        if mark == LOOKING {
            self.link.ask(cmd("PEXPIRE").arg(marked).arg(millis(LOOKS_WITHIN))).await?;
        }
        Ok(())
    }

    /// Lets gateways on it.
    pub async fn end_filling(&self) -> Result<(), StoreError> {
        self.link.ask(cmd("DEL").arg(&[self.of_filling(MARK), self.of_filling(HOLD)])).await.map(drop)
    }

    fn of_filling(&self, what: &str) -> String {
        self.keys.partition(0).one(what)
    }

    async fn mark(&self) -> Result<Option<String>, StoreError> {
        from_redis_value(self.link.ask(cmd("GET").arg(self.of_filling(MARK))).await?).map_err(unreadable)
    }

    /// A run that was killed a moment ago is waited for.
    async fn take_hold(&self) -> Result<(), TargetError> {
        let mut hold = cmd("SET");
        hold.arg(self.of_filling(HOLD)).arg(&self.instance).arg("NX").arg("PX").arg(millis(HELD_FOR));
        let begun = Instant::now();
        while self.link.ask(&hold).await? == Value::Nil {
            if begun.elapsed() > HELD_FOR + LOOK_EVERY {
                return Err(TargetError::Busy(self.target.clone()));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn mark_and_empty(&self) -> Result<u64, TargetError> {
        self.refuse_running().await?;
        if self.mark().await?.is_some_and(|mark| mark == FILLING) {
            return self.empty().await;
        }
        let mark = self.of_filling(MARK);
        // Of a store that is somebody's nothing stays, should this be killed.
        self.link.ask(cmd("SET").arg(&mark).arg(LOOKING).arg("PX").arg(millis(LOOKS_WITHIN))).await?;
        let empty = self.refuse_used().await;
        if empty.as_ref().is_err_and(|error| !matches!(error, TargetError::Lost(_))) {
            self.link.ask(&delete(&mark)).await?;
        }
        empty?;
        match self.link.ask(cmd("SET").arg(&mark).arg(FILLING).arg("XX")).await? {
            Value::Nil => Err(TargetError::Lost(self.target.clone())),
            _ => Ok(0),
        }
    }

    async fn refuse_used(&self) -> Result<(), TargetError> {
        // One that has begun before the mark stood.
        self.refuse_running().await?;
        if self.holds_something().await? { Err(TargetError::NotEmpty(self.target.clone())) } else { Ok(()) }
    }

    async fn refuse_running(&self) -> Result<(), TargetError> {
        if self.living().await?.is_empty() { Ok(()) } else { Err(TargetError::Running(self.target.clone())) }
    }

    async fn holds_something(&self) -> Result<bool, TargetError> {
        let mut holds = false;
        let found = async |_: Vec<String>| {
            holds = true;
            Ok::<bool, TargetError>(false)
        };
        self.stored(found).await?;
        Ok(holds)
    }

    async fn empty(&self) -> Result<u64, TargetError> {
        let mut removed = 0;
        let remove = async |keys: Vec<String>| {
            removed += self.on_each(keys, delete).await?;
            Ok::<bool, TargetError>(true)
        };
        self.stored(remove).await?;
        Ok(removed)
    }

    /// Goes through the names of all that is stored, slice by slice, as long as `take` goes on.
    async fn stored(
        &self,
        mut take: impl AsyncFnMut(Vec<String>) -> Result<bool, TargetError>,
    ) -> Result<(), TargetError> {
        let prefix = format!("{}:{{", self.keys.prefix());
        let pattern = format!("{}*", escape(&prefix));
        let counts = |key: &String| {
            let name = key.strip_prefix(&prefix).and_then(|rest| rest.split_once("}:")).map(|(_, name)| name);
            name.is_some_and(|name| !OF_NO_ACCOUNT.iter().any(|other| name.starts_with(other)))
        };
        for server in one_of_each(&self.link, &self.keys) {
            let (beside, mut cursor) = (server.one("scan"), "0".to_owned());
            loop {
                self.keep_filling().await?;
                let (next, mut found) = self.slice(&beside, &pattern, &cursor).await?;
                found.retain(counts);
                if !found.is_empty() && !take(found).await? {
                    return Ok(());
                }
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }
}
