//! A user's line: the calls that they are in, told from claims whose call is over or never came to be.
//!
//! A claim is made before its call is committed, so whoever meets one looks at the call. Nobody stays busy after a crash:
//! a claim without a call is given a moment, then its id is buried (a late commit of it fails) and the claim taken off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;

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

/// The uncommitted calls that are waited for here, each with the time until which it is. However many wait for one, one looks; should it go
/// away, the next does.
#[derive(Default)]
pub(super) struct Awaited(Mutex<HashMap<(CallId, Timestamp), Weak<Look>>>);

/// What comes to stand under a call's id.
type Look = OnceCell<Result<Slot, StoreError>>;

impl Awaited {
    /// The look at a call until this time, of all who wait for it.
    fn look(&self, id: CallId, until: Timestamp) -> Arc<Look> {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looks.get(&(id, until)).and_then(Weak::upgrade) {
            return look;
        }
        // Those whose last waiter went away.
        looks.retain(|_, look| look.strong_count() > 0);
        let look = Arc::default();
        looks.insert((id, until), Arc::downgrade(&look));
        look
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
            Slot::Vacant => {
                let look = self.0.awaited.look(id, until);
                Box::pin(look.get_or_init(|| self.look_until(id, until))).await.clone()
            }
            slot => Ok(slot),
        }
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

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake};

    use futures_util::FutureExt;

    use super::*;

    /// Whether a task is to be polled.
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn looks() -> [Arc<Look>; 2] {
        let awaited = Awaited::default();
        let id = CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id");
        [(); 2].map(|()| awaited.look(id, Timestamp::from_millis(1)))
    }

    #[tokio::test]
    async fn of_many_that_wait_one_looks() {
        let [one, other] = looks();
        let found = one.get_or_init(async || Ok(Slot::Tombstone)).await;
        let known = other.get_or_init(pending).now_or_never().expect("nothing to wait for");
        assert!(matches!((found, known), (Ok(Slot::Tombstone), Ok(Slot::Tombstone))));
    }

    /// The news comes while the one that looks is polled, and it goes away before it is polled again.
    #[test]
    fn nobody_sleeps_since_the_one_that_looked_went_away() {
        let [one, other] = looks();
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let mut waits = Box::pin(other.get_or_init(async || Ok(Slot::Tombstone)));
        let waker = Arc::clone(&woken).into();
        let mut poll_if_woken = || {
            let is_woken = woken.0.swap(false, Ordering::SeqCst);
            is_woken && waits.poll_unpin(&mut Context::from_waker(&waker)).is_ready()
        };
        let mut looking = Box::pin(one.get_or_init(|| {
            poll_fn(|context| {
                context.waker().wake_by_ref();
                assert!(!poll_if_woken(), "another one looks");
                Poll::Pending
            })
        }));
        assert!(looking.as_mut().now_or_never().is_none());
        drop(looking);
        assert!(poll_if_woken(), "it sleeps for good");
    }
}
