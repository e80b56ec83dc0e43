//! Records that this instance committed a moment ago and will soon step again: those with open tasks, whose results are under way.
//!
//! A record is taken out to be stepped and comes back with the commit that follows. Another instance may have changed it
//! meanwhile; then that commit fails, and the store is asked. So what is here never counts by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Call, CallId};

/// The most records that are kept; the store has the others.
const MOST: usize = 4096;

/// The records, by call.
#[derive(Default)]
pub(super) struct Recent(Mutex<HashMap<CallId, Arc<Call>>>);

impl Recent {
    /// Takes the record of a call out, if it is here.
    pub(super) fn take(&self, id: CallId) -> Option<Arc<Call>> {
        self.calls().remove(&id)
    }

    /// Keeps a record that was committed, if a result of a task is still to come.
    pub(super) fn keep(&self, call: &Arc<Call>) {
        if call.tasks.is_empty() {
            return;
        }
        let mut calls = self.calls();
        if calls.len() >= MOST {
            // Some may never be asked for again, their calls having gone on elsewhere.
            calls.clear();
        }
        calls.insert(call.id, Arc::clone(call));
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
