//! How many requests had which outcome, whether or not they are still kept.

use serde::Serialize;

use super::log::{Provider, Received};

/// More kinds than this are counted as one: anybody may write anything into a payload.
const MAX_COUNTS: usize = 1000;
const OTHERS: &str = "(others)";

/// How many requests were alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Whom they were meant for.
    pub provider: Provider,
    /// The `type` in their payload.
    pub kind: Option<String>,
    /// The status answered; 0 if nothing was.
    pub status: u16,
    /// Why they were not a plain success.
    pub reason: Option<String>,
    /// How many there were.
    pub count: u64,
}

#[derive(Default)]
pub(super) struct Counts(Vec<Count>);

impl Counts {
    pub(super) fn add(&mut self, received: &Received) {
        let (provider, status) = (received.provider, received.status);
        let is_known = |count: &&mut Count| {
            count.provider == provider
                && count.status == status
                && count.kind == received.kind
                && count.reason == received.reason
        };
        if let Some(known) = self.0.iter_mut().find(is_known) {
            known.count += 1;
        } else if self.0.len() < MAX_COUNTS {
            let (kind, reason) = (received.kind.clone(), received.reason.clone());
            self.0.push(Count { provider, kind, status, reason, count: 1 });
        } else if let Some(last) = self.0.last_mut() {
            last.kind = Some(OTHERS.to_owned());
            last.count += 1;
        }
    }

    pub(super) fn all(&self) -> Vec<Count> {
        self.0.clone()
    }
}
