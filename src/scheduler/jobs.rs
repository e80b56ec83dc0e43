//! Jobs, beside calls and not before them: nobody waits for one.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::wake::{self, Kind, Woken};
use crate::domain::{JobId, Timestamp};
use crate::engine::{Engine, EngineError};
use crate::lifecycle::Stop;

/// What is due later than this is left to the sweep.
const KEPT_IN_MIND: Duration = Duration::from_mins(10);

struct Jobs;

/// Wakes jobs until `stop` turns true; wakes that have begun are finished.
pub async fn run(engine: Engine, wake_ups: UnboundedReceiver<(JobId, Timestamp)>, stop: Stop) {
    wake::run::<Jobs>(engine, wake_ups, stop).await;
}

impl Kind for Jobs {
    type Id = JobId;
    type News = (JobId, Timestamp);

    const NAME: &'static str = "jobs";
    const SWEEP_EVERY: Duration = Duration::from_secs(4);
    const SWEEP_AFTER: Duration = Duration::from_secs(1);
    const SWEEP_BATCH: usize = 256;
    const AT_ONCE: usize = 16;

    fn news((job, due): Self::News, now: Timestamp) -> (JobId, Option<Timestamp>) {
        (job, (due.since(now) <= KEPT_IN_MIND).then_some(due))
    }

    async fn overdue(
        engine: &Engine,
        by: Duration,
        limit: usize,
        beside: &HashSet<JobId>,
    ) -> Result<Vec<JobId>, EngineError> {
        engine.overdue_jobs(by, limit, beside).await
    }

    async fn wake(engine: Engine, job: JobId) -> Woken {
        let Err(error) = engine.wake_job(&job).await else { return Woken::GoesOn };
        tracing::warn!(job_id = %job, %error, "a job that is due could not be woken");
        Woken::after(&error)
    }
}
