//! A user's line: the calls that they are in, told from claims whose call is over or never came to be.
//!
//! A claim is made before its call is committed, so whoever meets one looks at the call. Nobody stays busy after a crash:
//! a claim without a call is given a moment, then its id is buried (a late commit of it fails) and the claim taken off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, Timestamp, UserId};
use crate::store::{Claim, Slot, StoreError};

/// How long an invite may take from its claim to its commit before others take its id out of use.
pub(super) const COMMIT_WITHIN: Duration = Duration::from_millis(1500);
/// As [`COMMIT_WITHIN`], where it is in the way of an older one that would go first. Waiting longer could be in a circle: three who
/// call each other, each of whom waits for the next.
pub(super) const GIVE_WAY_WITHIN: Duration = Duration::from_millis(200);
/// How often an uncommitted call is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The uncommitted calls that invites of this instance wait for, each with its time. However many wait for one, one looks.
#[derive(Default)]
pub(super) struct Awaited(Mutex<HashMap<(CallId, Timestamp), WeakShared<Look>>>);

/// What comes to stand under a call's id.
type Look = BoxFuture<'static, Result<Slot, StoreError>>;

impl Awaited {
    fn looks(&self) -> MutexGuard<'_, HashMap<(CallId, Timestamp), WeakShared<Look>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What another claim on a line means for a new call.
pub(super) enum Met {
    /// Its call lives.
    Live(Arc<Call>),
    /// Its call is not committed, and the new one goes first.
    Yielding,
    /// Its call is over, or hidden from who was called: the claim is off the line.
    Over,
}

impl Engine {
    /// Finds out what a claim's call is. An uncommitted one goes first if it is committed `within` this time of its claim.
    pub(super) async fn meet(&self, claim: &Claim, within: Option<Duration>) -> Result<Met, EngineError> {
        let slot = match within {
            Some(within) => self.committed_or_buried(claim.call, claim.at + within).await?,
            None => self.store().load(claim.call).await?,
        };
        match slot {
            Slot::Call(call) if !call.is_ended() && call.is_visible_to(&claim.user) => Ok(Met::Live(Arc::from(call))),
            Slot::Vacant => Ok(Met::Yielding),
            Slot::Call(_) | Slot::Tombstone => {
                self.store().free_line(&claim.user, claim.call).await?;
                Ok(Met::Over)
            }
        }
    }

    /// Waits for the commit of a call; when its time is up, its id is taken out of use.
    pub(super) async fn committed_or_buried(&self, id: CallId, until: Timestamp) -> Result<Slot, StoreError> {
        match self.store().load(id).await? {
            Slot::Vacant => self.look(id, until).await,
            slot => Ok(slot),
        }
    }

    /// As [`committed_or_buried`](Self::committed_or_buried), where nothing stood a moment ago.
    fn look(&self, id: CallId, until: Timestamp) -> Shared<Look> {
        let mut looks = self.0.awaited.looks();
        if let Some(look) = looks.get(&(id, until)).and_then(WeakShared::upgrade) {
            return look;
        }
        let engine = self.clone();
        let look = async move {
            let found = engine.look_until(id, until).await;
            engine.0.awaited.looks().remove(&(id, until));
            found
        };
        let look = look.boxed().shared();
        // Those whose last waiter went away.
        looks.retain(|_, look| look.upgrade().is_some());
        // Weak: a look has the engine, and nobody takes one further but who waits for it.
        looks.extend(look.downgrade().map(|weak| ((id, until), weak)));
        look
    }

    async fn look_until(&self, id: CallId, until: Timestamp) -> Result<Slot, StoreError> {
        // Its invite is between claim and commit, a matter of milliseconds; there is no event for one that died.
        while self.clock().now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.store().load(id).await? {
                Slot::Vacant => {}
                slot => return Ok(slot),
            }
        }
        self.store().bury(id).await
    }

    /// Takes a call that will not be off both lines.
    pub(super) async fn give_up_lines(&self, call: CallId, users: [&UserId; 2]) -> Result<(), EngineError> {
        for user in users {
            self.store().free_line(user, call).await?;
        }
        Ok(())
    }

    /// How many calls a line holds.
    pub(super) fn line_capacity(&self) -> usize {
        if self.settings().call_waiting { 2 } else { 1 }
    }
}
