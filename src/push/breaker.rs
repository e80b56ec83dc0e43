//! Holds pushes back from a provider that fails on everything, and lets one at a time through to see whether it still does.
//!
//! One per host and app. It never opens while anything succeeds, so a provider that fails often is asked as often as
//! ever; what it saves is the seconds that each push would wait for a host that is down, and the refusals that would
//! make things worse. What becomes of a push that is held back is for the loop to decide.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::report::{Action, Outcome, Standing};

/// So many pushes must have failed, and none succeeded,
const FAILURES: u32 = 5;
/// for this long.
const FOR: Duration = Duration::from_secs(1);
/// Between a probe that failed and the next.
const BETWEEN_PROBES: Duration = Duration::from_millis(250);
/// When a push that is held back may come again: soon, since a ring is short.
pub(super) const COME_BACK_AFTER: Duration = Duration::from_millis(500);

/// The breaker of one host.
pub(super) struct Breaker {
    name: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// When the first of the pushes that failed since the last success had begun, or that success was.
    since: Option<Instant>,
    succeeded: Option<Instant>,
    open: Option<Open>,
    opened: u64,
}

struct Open {
    why: String,
    standing: Standing,
    probing: bool,
    next_probe: Instant,
}

/// Leave to send one push.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    began: Instant,
    probes: bool,
}

impl Breaker {
    /// A closed one; `name` is for the log.
    pub(super) fn new(name: String) -> Self {
        Self { name, state: Mutex::default() }
    }

    /// Leave to send a push, or what is to be said of it at once.
    pub(super) fn enter(&self, now: Instant) -> Result<Pass<'_>, Outcome> {
        let mut state = self.state();
        let probes = match &mut state.open {
            None => false,
            Some(open) if !open.probing && now >= open.next_probe => {
                open.probing = true;
                true
            }
            Some(open) => return Err(open.held_back()),
        };
        Ok(Pass { breaker: self, began: now, probes })
    }

    /// Why pushes are held back, if they are.
    pub(super) fn is_open(&self) -> Option<String> {
        self.state().open.as_ref().map(|open| open.why.clone())
    }

    /// How often it has opened.
    pub(super) fn opened(&self) -> u64 {
        self.state().opened
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn held_back(&self) -> Outcome {
        let action = match self.standing {
            Standing::RefusesUs => Action::OurFault,
            Standing::Serves | Standing::Fails => Action::Retry { after: Some(COME_BACK_AFTER), fresh: false },
        };
        Outcome::unanswered(action, None, format!("held-back: {}", self.why))
    }
}

impl Pass<'_> {
    /// Tells how the push went.
    pub(super) fn settle(self, outcome: &Outcome, now: Instant) {
        let mut state = self.breaker.state();
        match outcome.standing {
            None => {}
            Some(Standing::Serves) => {
                state.failures = 0;
                state.since = None;
                state.succeeded = Some(now);
                if state.open.take().is_some() {
                    tracing::info!(provider = self.breaker.name, "takes pushes again");
                }
            }
            Some(standing) => state.failed(self.began, now, standing, outcome, &self.breaker.name),
        }
    }
}

impl Drop for Pass<'_> {
    /// A probe that ends without a word, as that of a ring that was called back, makes way for the next.
    fn drop(&mut self) {
        if self.probes
            && let Some(open) = &mut self.breaker.state().open
        {
            open.probing = false;
        }
    }
}

impl State {
    fn failed(&mut self, began: Instant, now: Instant, standing: Standing, outcome: &Outcome, name: &str) {
        let began = self.succeeded.map_or(began, |succeeded| succeeded.max(began));
        let since = *self.since.get_or_insert(began);
        self.failures += 1;
        let why = outcome.in_words();
        match &mut self.open {
            Some(open) => {
                open.next_probe = now + BETWEEN_PROBES;
                open.why = why;
                open.standing = standing;
            }
            None if self.failures >= FAILURES && now.duration_since(since) >= FOR => {
                tracing::error!(
                    provider = name,
                    why,
                    "fails on everything: pushes are held back, one at a time probes"
                );
                self.opened += 1;
                self.open = Some(Open { why, standing, probing: false, next_probe: now });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(standing: Standing) -> Outcome {
        Outcome::unanswered(Action::GiveUp, Some(standing), "why")
    }

    fn send(breaker: &Breaker, began: Instant, ended: Instant, standing: Standing) -> bool {
        match breaker.enter(began) {
            Ok(pass) => {
                pass.settle(&outcome(standing), ended);
                true
            }
            Err(_) => false,
        }
    }

    /// One that has just opened, and the time.
    fn open(standing: Standing) -> (Breaker, Instant) {
        let (breaker, start) = (Breaker::new("test".to_owned()), Instant::now());
        for _ in 0..4 {
            assert!(send(&breaker, start, start + FOR, standing));
        }
        assert_eq!(breaker.is_open(), None);
        assert!(send(&breaker, start, start + FOR, standing));
        assert_eq!(breaker.is_open().as_deref(), Some("why"));
        (breaker, start + FOR)
    }

    #[test]
    fn one_at_a_time_probes_and_the_first_success_closes() {
        let (breaker, now) = open(Standing::Fails);
        let Ok(probe) = breaker.enter(now) else { panic!("the probe goes") };
        let held = breaker.enter(now).err().expect("held back");
        assert_eq!(held.action, Action::Retry { after: Some(COME_BACK_AFTER), fresh: false });
        assert_eq!(held.reason, "held-back: why");
        probe.settle(&outcome(Standing::Fails), now);
        assert!(breaker.enter(now).is_err(), "the next probe waits a little");
        assert!(send(&breaker, now + BETWEEN_PROBES, now + BETWEEN_PROBES, Standing::Serves));
        assert_eq!((breaker.is_open(), breaker.opened()), (None, 1));
        assert!(breaker.enter(now).is_ok() && breaker.enter(now).is_ok());
    }

    #[test]
    fn a_probe_without_a_word_makes_way() {
        let (breaker, now) = open(Standing::Fails);
        drop(breaker.enter(now));
        assert!(breaker.enter(now).is_ok());
    }

    #[test]
    fn a_refused_credential_is_no_reason_to_come_again() {
        let (breaker, now) = open(Standing::RefusesUs);
        let _probe = breaker.enter(now);
        assert_eq!(breaker.enter(now).err().expect("held back").action, Action::OurFault);
    }

    #[test]
    fn a_burst_of_failures_opens_nothing() {
        let (breaker, now) = (Breaker::new("test".to_owned()), Instant::now());
        for _ in 0..1000 {
            assert!(send(&breaker, now, now + FOR / 2, Standing::Fails));
        }
    }

    #[test]
    fn whoever_serves_one_in_a_hundred_is_asked_on() {
        let (breaker, now) = (Breaker::new("test".to_owned()), Instant::now());
        for number in 0..1000_u32 {
            let at = now + number * Duration::from_millis(5);
            let standing = if number % 100 == 0 { Standing::Serves } else { Standing::Fails };
            assert!(send(&breaker, at, at, standing), "{number}");
        }
    }
}
