//! The last push that one section's provider refused for a fault of ours, kept for operators until a push succeeds there.

use std::sync::{Mutex, PoisonError};

use super::report::{Action, Fault, Outcome, Standing};
use crate::clock::Clock;

/// The most characters of a provider's word that are repeated.
const LONGEST: usize = 200;

/// The last fault of one section.
pub(super) struct LastFault {
    clock: Clock,
    last: Mutex<Option<Fault>>,
}

impl LastFault {
    /// None so far.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// Takes note of how a push ended.
    pub(super) fn note(&self, outcome: &Outcome) {
        let fault = match outcome.action {
            Action::Accepted => None,
            // A credential that is still to be renewed here was refused again, or may not be renewed yet.
            Action::OurFault | Action::RefreshCredential => Some(Fault {
                at: self.clock.now(),
                why: outcome.in_words().chars().take(LONGEST).collect(),
                is_of_credential: outcome.standing == Some(Standing::RefusesUs),
            }),
            Action::Retry { .. } | Action::DropToken { .. } | Action::OtherEnvironment | Action::GiveUp => return,
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The last one, if no push has succeeded since.
    pub(super) fn get(&self) -> Option<Fault> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
