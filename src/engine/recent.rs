//! Records that this instance committed a moment ago and will soon step again: those with tasks whose results may be under way.
//!
//! A record is taken out to be stepped and comes back with the commit that follows. Another instance may have changed it
//! meanwhile; then that commit fails, and the store is asked. So what is here never counts by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Call, CallId, Task, Timestamp};

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

    /// Keeps a record that was committed, if an attempt of a task may be under way. One whose tasks all wait for longer than that, a notice
    /// that was put off by ten minutes for instance, is read again when its time has come: there may be very many of them.
    pub(super) fn keep(&self, call: &Arc<Call>, now: Timestamp) {
        if under_way(call, now) == 0 {
            return;
        }
        let mut calls = self.calls();
        if calls.len() >= MOST {
            // Some may never be asked for again, their calls having gone on elsewhere.
            calls.clear();
        }
        calls.insert(call.id, Arc::clone(call));
    }

    /// How many attempts of a call may be under way, as far as is known here.
    pub(super) fn under_way(&self, id: CallId, now: Timestamp) -> usize {
        self.calls().get(&id).map_or(0, |call| under_way(call, now))
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, Arc<Call>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn under_way(call: &Call, now: Timestamp) -> usize {
    let may_be_under_way = |task: &&Task| task.due <= now + task.kind.lease();
    call.tasks.iter().filter(may_be_under_way).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_record_is_kept_for_attempts_under_way_and_not_for_what_was_put_off() {
        let record = include_str!("../../tests/fixtures/records/format-1/ended-told.json");
        let mut call: Call = serde_json::from_str(record).expect("a record");
        let (id, now) = (call.id, Timestamp::from_millis(1_770_000_000_000));
        let (kept, later) = (Recent::default(), now + Duration::from_mins(10));
        call.tasks.iter_mut().for_each(|task| task.due = later);
        kept.keep(&Arc::new(call.clone()), now);
        assert!(kept.take(id).is_none(), "all were put off");
        let last = call.tasks.last_mut().expect("a task");
        last.due = now + last.kind.lease();
        kept.keep(&Arc::new(call.clone()), now);
        assert!(kept.take(id).is_some() && kept.take(id).is_none(), "once");
        call.tasks.clear();
        kept.keep(&Arc::new(call), now);
        assert!(kept.take(id).is_none(), "nothing is to come");
    }
}
