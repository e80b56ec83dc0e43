//! A user's line: the calls that they are in, told from claims whose call is over or never came to be.
//!
//! A claim is made before its call is committed, so whoever meets one looks at the call. Nobody stays busy after a crash:
//! a claim without a call is given a moment, then its id is buried (a late commit of it fails) and the claim taken off.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, Timestamp, UserId};
use crate::store::{Claim, Slot, StoreError};

/// How long an invite may take from its claim to its commit before others take its id out of use.
pub(super) const COMMIT_WITHIN: Duration = Duration::from_millis(1500);
/// As [`COMMIT_WITHIN`], where it is in the way of an older one that would go first. Waiting longer could be in a circle: three who
/// call each other, each of whom waits for the next.
pub(super) const GIVE_WAY_WITHIN: Duration = Duration::from_millis(200);
/// After which time an uncommitted call is looked for again at first, a matter of milliseconds …
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// … and in the end. Each pause is twice the one before: a thousand may wait for one call.
const LONGEST_PAUSE: Duration = Duration::from_millis(40);

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
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store().load(id).await? {
                // Its invite is between claim and commit; there is no event for one that died.
                Slot::Vacant if self.clock().now() < until => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Slot::Vacant => return self.store().bury(id).await,
                slot => return Ok(slot),
            }
        }
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
