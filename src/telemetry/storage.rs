//! What is measured of the store: each operation, and what waits in it.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;

use super::metrics::{Metrics, observe};

/// Operations of one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Operation {
    operation: &'static str,
}

/// Operations of one name that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Failure {
    operation: &'static str,
    /// `conflict`, `limited`, `unavailable`, `corrupt` or `newer`.
    reason: &'static str,
}

/// What waits in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Waiting {
    /// `calls` or `jobs`.
    of: &'static str,
}

impl Metrics {
    /// Notes an operation of the store, and why it failed, if it did.
    pub fn stored(&self, operation: &'static str, failed: Option<&'static str>, took: Duration) {
        observe(&self.store_seconds, &Operation { operation }, took);
        if let Some(reason) = failed {
            self.store_failures.get_or_create(&Failure { operation, reason }).inc();
        }
    }

    /// Notes how many calls and jobs wait in the store; where that is not known, nothing is told of it.
    pub fn waiting(&self, waiting: Option<(u64, u64)>) {
        let Some((calls, jobs)) = waiting else { return self.store_waiting.clear() };
        for (of, count) in [("calls", calls), ("jobs", jobs)] {
            self.store_waiting.get_or_create(&Waiting { of }).set(count.try_into().unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_of_a_store_that_cannot_be_asked() {
        let metrics = Metrics::default();
        metrics.waiting(Some((3, 0)));
        assert!(metrics.text().contains("bellwire_store_waiting{of=\"calls\"} 3\n"));
        metrics.waiting(None);
        assert!(!metrics.text().contains("bellwire_store_waiting{"), "an old number would look like a new one");
    }
}
