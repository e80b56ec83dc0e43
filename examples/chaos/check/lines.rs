//! Promise 5: nobody is busy but by a live call of theirs, and nobody is in two calls at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Evidence, Judged};
use crate::ledger::Notes;
use crate::report::Kind;
use crate::view::View;

/// How far the stamps of two gateways may be apart.
const SKEW: Duration = Duration::from_millis(500);

impl Evidence<'_> {
    pub(super) fn lines(&self, notes: &Notes, judged: &mut Judged) {
        judged.look(Kind::Lines, self.records.len());
        for (id, noted) in &notes.calls {
            let is_busy = self.records.get(id).is_some_and(|record| record.ended_as("busy"));
            if is_busy && !noted.may_be_busy {
                let seen = format!("{} was busy, and in no other call", noted.first.callee);
                judged.violation(Kind::Lines, Some(*id), seen);
            }
        }
        let mut calls: BTreeMap<&str, Vec<&View>> = BTreeMap::new();
        for record in self.records.values().filter(|record| !record.ended_as("busy")) {
            calls.entry(&record.caller).or_default().push(record);
            calls.entry(&record.callee).or_default().push(record);
        }
        for (user, mut calls) in calls {
            calls.sort_by_key(|call| call.created_at);
            for (one, next) in calls.iter().zip(calls.iter().skip(1)) {
                // Of two that were begun about at once by two gateways, the stamps do not tell which was first.
                let is_second = next.created_at.since(one.created_at) > SKEW;
                let ends = [one.ended_at, next.ended_at.filter(|_| !is_second)].into_iter().flatten().min();
                let overlap = ends.unwrap_or(next.created_at).since(next.created_at);
                if overlap > SKEW {
                    let seen = format!("{user} was in it and in {} at once, for {overlap:?}", one.id);
                    judged.violation(Kind::Lines, Some(next.id), seen);
                }
            }
        }
    }
}
