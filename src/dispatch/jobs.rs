//! Carries out the attempts of jobs that commits of this instance began, and tells the engine how each went.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Dispatcher;
use crate::domain::job::{self, Erased, Erasure, JobResult};
use crate::domain::{EndpointId, Job, WebhookEvent, Work};
use crate::engine::{EngineError, STORE};
use crate::lifecycle::Stop;
use crate::outbound::{Message, Turn, message};

/// How long attempts under way may go on after the signal to stop; what is cut off is begun again after its lease.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("a message could not be made")]
    Message(#[from] serde_json::Error),
}

/// Carries out jobs until `stop`.
pub async fn run(dispatcher: Arc<Dispatcher>, mut begun: UnboundedReceiver<Job>, mut stop: Stop) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            Some(job) = begun.recv() => drop(running.spawn(carry_out(Arc::clone(&dispatcher), job))),
            Some(_) = running.join_next(), if !running.is_empty() => {}
            () = stop.given() => break,
        }
    }
    let _ = timeout(LAST_CHANCE, async { while running.join_next().await.is_some() {} }).await;
}

async fn carry_out(dispatcher: Arc<Dispatcher>, job: Job) {
    if matches!(job.work, Work::Recording(_)) {
        // It goes on for long, and says itself when it is due.
        return dispatcher.look_after(&job.id).await;
    }
    if let Work::Erasure(erasure) = &job.work {
        return dispatcher.erase_user(&job, erasure).await;
    }
    let attempt = timeout(job.work.deadline() + LAST_CHANCE, dispatcher.attempt(&job)).await;
    let result = match attempt {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            tracing::warn!(job_id = %job.id, attempt = job.attempt, %error, "a job failed and is tried again");
            JobResult::Later(None)
        }
        Err(_) => JobResult::Later(None),
    };
    if let Err(error) = dispatcher.engine.job_finished(&job, result).await {
        // Its lease passes, and the wake-up begins another attempt.
        tracing::warn!(job_id = %job.id, %error, "the result of a job could not be recorded");
    }
}

impl Dispatcher {
    async fn attempt(&self, job: &Job) -> Result<JobResult, JobError> {
        match &job.work {
            Work::Ban(ban) => self.carry_out_ban(ban).await,
            Work::Webhook(webhook) => {
                let (id, event) = (webhook.message, webhook.event);
                let (endpoint, body, trace) = (webhook.endpoint.clone(), webhook.body.clone(), webhook.trace);
                let message = Message { id, endpoint, event, body, trace };
                Ok(self.deliver(&message, Turn::Late).await)
            }
            Work::UsageCheck(_) => self.check_usage().await,
            // Its time is over.
            Work::UsageWarned(_) | Work::Erased(_) | Work::Erasure(_) | Work::Recording(_) => Ok(JobResult::Done),
        }
    }

    async fn carry_out_ban(&self, ban: &job::Ban) -> Result<JobResult, JobError> {
        if self.engine.carry_out_ban(ban).await? {
            let job::Ban { user, reason, created_at, until, tell, .. } = ban;
            let body = message::of_ban(user, reason.as_deref(), *created_at, *until)?;
            let key = format!("{user}/{}", created_at.as_millis());
            self.tell_backend(WebhookEvent::UserBanned, &key, &body, tell).await?;
        }
        Ok(JobResult::Done)
    }

    /// Erases what can be erased of a user by now; what it waits for is tried again later.
    async fn erase_user(&self, job: &Job, erasure: &Erasure) {
        let work = async {
            let (mut erased, mut left) = self.engine.carry_out_erasure(job, erasure).await?;
            match self.webhooks.erase_history(&erasure.user, erasure.ban).await {
                Ok(rows) => erased.history_rows = rows,
                Err(error) => {
                    tracing::warn!(job_id = %job.id, error = &error as &dyn std::error::Error, "rows of a user could not be deleted yet");
                    left.push("history".to_owned());
                }
            }
            Ok::<_, EngineError>((erased, left))
        };
        let attempt = timeout(job.work.deadline(), work).await;
        let (erased, left) = match attempt {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(error)) => {
                tracing::warn!(job_id = %job.id, attempt = job.attempt, %error, "an erasure failed and is tried again");
                (Erased::default(), vec![STORE.to_owned()])
            }
            Err(_) => (Erased::default(), vec![STORE.to_owned()]),
        };
        if let Err(error) = self.engine.erasure_attempted(job, erasure, &erased, left).await {
            // Its lease passes, and the wake-up begins another attempt.
            tracing::warn!(job_id = %job.id, %error, "the result of an erasure could not be recorded");
        }
    }

    async fn check_usage(&self) -> Result<JobResult, JobError> {
        for crossing in self.engine.crossings().await? {
            let body = message::of_crossing(&crossing, self.engine.clock().now())?;
            let key = format!("{}/{}/{}/{}", crossing.what, crossing.period, crossing.limit, crossing.per_cent);
            // In this order: after a crash the backend is told again, with the same id, rather than not.
            self.tell_backend(WebhookEvent::UsageWarning, &key, &body, &[]).await?;
            self.engine.warned(&crossing).await?;
            self.metrics.warned(&crossing);
            tracing::warn!(
                limit = crossing.what,
                period = crossing.period,
                per_cent = crossing.per_cent,
                used = crossing.used,
                of = crossing.limit,
                "a share of the plan is used"
            );
        }
        Ok(JobResult::Done)
    }

    /// Tells the backend what happened: queues a message to each endpoint that wants it, and to `others`, which this gateway need not know yet.
    /// `key` names what happened for good, so that telling it again gives messages with the same ids.
    pub async fn tell_backend(
        &self,
        event: WebhookEvent,
        key: &str,
        body: &str,
        others: &[EndpointId],
    ) -> Result<(), EngineError> {
        let now = self.engine.clock().now();
        let wanting = self.webhooks.wanting(event);
        let endpoints: BTreeSet<&EndpointId> = wanting.iter().chain(others).collect();
        for endpoint in endpoints {
            let message = Message::new(event, endpoint, key, body.to_owned());
            self.queue_message(message, now).await?;
        }
        Ok(())
    }
}
