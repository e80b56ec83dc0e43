//! The last push that one section's provider refused for a fault of ours, kept for operators until a push succeeds there, or, where
//! it is of the credential, until the provider shows by another answer that it takes that.

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
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_credential = last.as_ref().is_some_and(|fault| fault.is_of_credential);
        if outcome.action == Action::Accepted || (is_of_credential && outcome.standing == Some(Standing::Serves)) {
            *last = None;
        }
        // A credential that is still to be renewed here was refused again, or may not be renewed yet.
        let is_fault = matches!(outcome.action, Action::OurFault | Action::RefreshCredential);
        // What the provider was not asked about says nothing of the credential.
        let says_less = is_of_credential && outcome.standing.is_none();
        if is_fault && !says_less {
            *last = Some(Fault {
                at: self.clock.now(),
                why: outcome.in_words().chars().take(LONGEST).collect(),
                is_of_credential: outcome.standing == Some(Standing::RefusesUs),
            });
        }
    }

    /// The last one, if nothing has disproved it since.
    pub(super) fn get(&self) -> Option<Fault> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
