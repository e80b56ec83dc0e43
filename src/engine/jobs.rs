//! Jobs: queued once, begun when they are due, repeated until they are done. What an attempt does is `dispatch`'s.

use std::collections::HashSet;
use std::time::Duration;

use super::{Engine, EngineError};
use crate::domain::job::JobResult;
use crate::domain::{Job, JobId, Timestamp};
use crate::store::StoreError;

/// How long a job waits for a gateway that is configured for it: longer than it takes to roll a configuration out.
const NOT_HERE_FOR: Duration = Duration::from_hours(1);
/// How soon it is looked for again: often enough that chance does not keep it from one that is.
const NOT_HERE_EVERY: Duration = Duration::from_mins(2);

impl Engine {
    /// The job under an id.
    pub async fn job(&self, id: &JobId) -> Result<Option<Job>, EngineError> {
        Ok(self.store().load_job(id).await?)
    }

    /// Queues a job, unless one stands under its id; says whether it was queued.
    pub async fn queue(&self, job: &Job) -> Result<bool, EngineError> {
        self.commit_job(job, None).await
    }

    /// Queues a job as [`queue`](Self::queue) does, for another instance: this one does not come back to it before the others do.
    pub async fn queue_for_others(&self, job: &Job) -> Result<bool, EngineError> {
        self.write_job(job, None).await
    }

    /// Writes a job's next record in place of the one that was loaded; says whether that still stood there.
    pub async fn rewrite_job(&self, before: &Job, next: &Job) -> Result<bool, EngineError> {
        self.commit_job(next, Some(before.version)).await
    }

    /// Jobs of any instance that were due at least `by` ago: at most `limit`, and those of `beside` as well.
    pub async fn overdue_jobs(
        &self,
        by: Duration,
        limit: usize,
        beside: &HashSet<JobId>,
    ) -> Result<Vec<JobId>, EngineError> {
        Ok(self.store().due_jobs(self.clock().now() - by, limit, beside).await?)
    }

    /// It is time to see whether a job is due: then its next attempt begins, or it is given up. A wake-up without a job is removed.
    pub async fn wake_job(&self, id: &JobId) -> Result<(), EngineError> {
        let Some(job) = self.job(id).await? else { return ignore_conflict(self.store().remove_job(id, 0).await) };
        let now = self.clock().now();
        if job.due > now {
            // What was left to others is no more this instance's than theirs.
            if job.not_here_since.is_none() {
                self.remind(&job);
            }
            return Ok(());
        }
        if job.is_given_up_at(now) {
            return self.give_up(&job, "its time is over").await;
        }
        self.begin(&job, now).await
    }

    /// Begins an attempt of a job now, whenever it is due.
    pub(super) async fn hasten_job(&self, id: &JobId) -> Result<(), EngineError> {
        match self.job(id).await? {
            Some(job) => self.begin(&job, self.clock().now()).await,
            None => Ok(()),
        }
    }

    /// An attempt of a job, whose record is the one in which it began, has a result. Somebody else's word that came first counts.
    pub async fn job_finished(&self, job: &Job, result: JobResult) -> Result<(), EngineError> {
        match result {
            JobResult::Done => {
                self.0.metrics.job_ended(job.work.name(), "done");
                ignore_conflict(self.store().remove_job(&job.id, job.version).await)
            }
            JobResult::Failed(why) => self.give_up(job, why).await,
            JobResult::NotHere => self.leave_to_others(job).await,
            JobResult::Later(after) => {
                let pause = self.clock().jitter(job.pause()).max(after.unwrap_or_default().min(job.longest_pause()));
                let due = self.clock().now() + pause;
                if job.is_given_up_at(due) {
                    return self.give_up(job, "it failed too often").await;
                }
                self.rewrite_job(job, &job.put_off(due)).await.map(drop)
            }
        }
    }

    /// Puts a job off without keeping it in mind, so that whichever instance sweeps first begins its next attempt.
    async fn leave_to_others(&self, job: &Job) -> Result<(), EngineError> {
        let now = self.clock().now();
        let left = job.left_to_others(now, now + self.clock().jitter(NOT_HERE_EVERY));
        if left.not_here_since.is_some_and(|since| now.since(since) >= NOT_HERE_FOR) {
            return self.give_up(job, "no gateway is configured for it").await;
        }
        self.write_job(&left, Some(job.version)).await.map(drop)
    }

    async fn begin(&self, job: &Job, now: Timestamp) -> Result<(), EngineError> {
        let begun = job.begun(now);
        if self.rewrite_job(job, &begun).await? {
            // A receiver that is gone belongs to an instance that stops.
            let _ = self.0.begun_jobs.send(begun);
        }
        Ok(())
    }

    async fn give_up(&self, job: &Job, why: &str) -> Result<(), EngineError> {
        let removed = self.store().remove_job(&job.id, job.version).await;
        if removed.is_ok() {
            self.0.metrics.job_ended(job.work.name(), "given_up");
            tracing::error!(job_id = %job.id, attempts = job.attempt, why, "a job is given up");
        }
        ignore_conflict(removed)
    }

    async fn commit_job(&self, job: &Job, expected: Option<u64>) -> Result<bool, EngineError> {
        let written = self.write_job(job, expected).await?;
        if written {
            self.remind(job);
        }
        Ok(written)
    }

    async fn write_job(&self, job: &Job, expected: Option<u64>) -> Result<bool, EngineError> {
        match self.store().commit_job(job, expected).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn remind(&self, job: &Job) {
        let _ = self.0.job_wake_ups.send((job.id.clone(), job.due));
    }
}

/// Whoever was quicker has done it.
fn ignore_conflict(result: Result<(), StoreError>) -> Result<(), EngineError> {
    match result {
        Ok(()) | Err(StoreError::Conflict) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
