//! What is measured of things that are due: wake-ups, tasks, and how late they were.

use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;

use super::metrics::{Metrics, observe};
use crate::domain::{Call, TaskKind};

/// Calls or jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Of {
    /// `calls` or `jobs`.
    of: &'static str,
}

/// Tasks of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TaskLabels {
    task: &'static str,
}

/// Attempts of tasks of one kind that came to the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Attempted {
    task: &'static str,
    /// `done`, `retry`, `failed` or `dropped`.
    outcome: &'static str,
}

/// Counts something for as long as it goes on.
#[derive(Debug)]
pub struct Running(Gauge);

impl Running {
    pub(super) fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An attempt of a task that is under way. One that is dropped without a word was called back.
pub struct Carrying<'a> {
    metrics: &'a Metrics,
    task: &'static str,
    began: Instant,
    outcome: &'static str,
    _running: Running,
}

impl Carrying<'_> {
    /// It came to `done`, `retry` or `failed`.
    pub fn ends(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let labels = Attempted { task: self.task, outcome: self.outcome };
        observe(&self.metrics.task_seconds, &labels, self.began.elapsed());
    }
}

impl Metrics {
    /// Notes that an attempt of a task begins.
    pub fn carrying(&self, kind: &TaskKind) -> Carrying<'_> {
        let task = kind.name();
        let running = Running::begin(&self.tasks_running.get_or_create(&TaskLabels { task }));
        Carrying { metrics: self, task, began: Instant::now(), outcome: "dropped", _running: running }
    }

    /// Notes that one of `calls` or `jobs` is woken, so long after it was due.
    pub fn woken(&self, of: &'static str, late: Duration) {
        observe(&self.wake_up_late_seconds, &Of { of }, late);
    }

    /// Notes how many `calls` or `jobs` a sweep found overdue.
    pub fn overdue(&self, of: &'static str, count: usize) {
        self.overdue.get_or_create(&Of { of }).set(count.try_into().unwrap_or(i64::MAX));
    }

    /// Notes how late the attempts were begun that a commit began and that had been due before.
    pub(super) fn begun_late(&self, call: &Call, before: Option<&Call>) {
        for task in call.begun_since(before) {
            let Some(known) = before.and_then(|before| before.task(task.id)) else { continue };
            // An attempt is due again at the end of its lease, which tells when it began.
            let late = (task.due - task.kind.lease()).since(known.due);
            observe(&self.task_late_seconds, &TaskLabels { task: task.kind.name() }, late);
        }
    }
}
