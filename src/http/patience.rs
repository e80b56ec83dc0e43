//! How many answers in vain a connection may have before it has to wait: refusals, and probes, of which a balancer needs few.
//!
//! A connection that has had too many is not read for a while, which costs nothing; one that were closed would be opened anew. Each answer that
//! was of use makes up for one in vain, so a connection that serves many users, some of whom are refused, is not held back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many may be in vain at once …
const AT_ONCE: u32 = 100;
/// … and then one in this time.
const EACH: Duration = Duration::from_millis(100);

/// The patience with one connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Patience(Arc<Mutex<Instant>>);

impl Patience {
    /// Nothing was in vain yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// An answer was of use.
    pub(super) fn of_use(&self) {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *owed = owed.checked_sub(EACH).unwrap_or(*owed);
    }

    /// An answer was in vain; says whether it is the one that was too many.
    pub(super) fn in_vain(&self, now: Instant) -> bool {
        let mut owed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, most) = (*owed, now + AT_ONCE * EACH);
        // However many were on their way, nobody waits for longer than for as many as may come at once.
        *owed = (before.max(now) + EACH).min(most + AT_ONCE * EACH);
        before <= most && *owed > most
    }

    /// For how long nothing more is to be read, if it has run out.
    pub(super) fn run_out(&self, now: Instant) -> Option<Duration> {
        let owed = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owed.checked_duration_since(now + AT_ONCE * EACH).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_out_after_so_many_in_vain_and_comes_back_with_time() {
        let (patience, now) = (Patience::new(), Instant::now());
        let over = (0..AT_ONCE).filter(|_| patience.in_vain(now)).count();
        assert_eq!((over, patience.run_out(now)), (0, None));
        assert!(patience.in_vain(now));
        assert_eq!(patience.run_out(now), Some(EACH));
        assert!(!patience.in_vain(now), "said once");
        assert_eq!(patience.run_out(now + 2 * EACH), None);
        for _ in 0..10 * AT_ONCE {
            patience.in_vain(now);
        }
        assert_eq!(patience.run_out(now), Some(AT_ONCE * EACH), "nobody waits for longer");
    }

    #[test]
    fn an_answer_that_was_of_use_makes_up_for_one_in_vain() {
        let (patience, now) = (Patience::new(), Instant::now());
        for _ in 0..10 * AT_ONCE {
            patience.in_vain(now);
            patience.of_use();
        }
        assert_eq!(patience.run_out(now), None);
        // It saves nothing up: who was served for long has no more refusals at once than others.
        for _ in 0..10 * AT_ONCE {
            patience.of_use();
        }
        let over = (0..=AT_ONCE).filter(|_| patience.in_vain(now)).count();
        assert_eq!(over, 1);
    }
}
