//! What this instance knows to be due, in order of time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::domain::Timestamp;

/// Wake-ups, one for each of those that have one.
pub(super) struct Agenda<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    by_key: HashMap<K, Timestamp>,
}

impl<K: Clone + Ord + Hash> Agenda<K> {
    pub(super) fn new() -> Self {
        Self { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }

    pub(super) fn set(&mut self, key: K, at: Timestamp) {
        self.forget(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    pub(super) fn forget(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The first that is due, and since when.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(K, Timestamp)> {
        let (at, key) = self.by_time.first().filter(|(at, _)| *at <= now)?.clone();
        self.forget(&key);
        Some((key, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn the_agenda_gives_calls_in_order_of_time_and_once() {
        let clock = Clock::system();
        let (early, late, idle) = (clock.call_id(), clock.call_id(), clock.call_id());
        let at = Timestamp::from_millis;
        let mut agenda = Agenda::new();
        agenda.set(late, at(20));
        agenda.set(early, at(30));
        agenda.set(early, at(10));
        agenda.set(idle, at(5));
        agenda.forget(&idle);
        assert_eq!(agenda.next_due(), Some(at(10)));
        assert_eq!(agenda.take_due(at(9)), None);
        assert_eq!(agenda.take_due(at(25)), Some((early, at(10))));
        assert_eq!(agenda.take_due(at(25)), Some((late, at(20))));
        assert_eq!(agenda.take_due(at(99)), None);
    }
}
