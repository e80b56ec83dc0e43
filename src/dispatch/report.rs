//! Telling the app's backend of a call that ended: a few tries as a task of the call, and then a job, so that an endpoint that is down
//! keeps no call's record busy.

use std::time::{Duration, Instant};

use super::{Dispatcher, NEXT_ATTEMPT};
use crate::domain::job::{JobResult, Webhook};
use crate::domain::{Call, EndpointId, Job, JobId, Task, TaskResult, Timestamp, Unknown, WebhookEvent, Work};
use crate::engine::EngineError;
use crate::outbound::{Delivery, Message, Turn};

/// The pauses between the tries of a task; after the last one it is a job.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];
/// How long a message is tried as a job.
const TRIED_FOR: Duration = Duration::from_hours(3 * 24);
/// How long a message waits for a gateway that knows its endpoint: longer than it takes to roll a configuration out.
const UNKNOWN_FOR: Duration = Duration::from_hours(1);
/// Its pause, so that it is a job at once, which is anybody's.
const UNKNOWN_PAUSE: Duration = Duration::from_mins(1);

impl Dispatcher {
    /// Tries to tell an endpoint of a call's end.
    pub(super) async fn report(
        &self,
        call: &Call,
        task: &Task,
        event: WebhookEvent,
        endpoint: &EndpointId,
    ) -> TaskResult {
        let message = match Message::of_call(call, event, endpoint) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(call_id = %call.id, %error, "a webhook could not be made");
                return TaskResult::Failed(Vec::new());
            }
        };
        let after = match self.deliver(&message, Turn::Fresh, self.engine.clock().now()).await {
            JobResult::Done => return TaskResult::Done(Vec::new()),
            JobResult::Failed(why) => {
                // As if it had been a job already.
                tracing::error!(call_id = %call.id, webhook_id = %message.id, why, "a webhook is given up");
                self.metrics.job_ended("webhook", "given_up");
                return TaskResult::Done(Vec::new());
            }
            JobResult::Later(after) => after,
        };
        let tries = usize::try_from(task.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        match PAUSES.get(tries) {
            Some(pause) if after.is_none_or(|after| after <= *pause) => {
                TaskResult::Retry(self.engine.clock().jitter(*pause), Vec::new())
            }
            _ => {
                let due = self.engine.clock().now() + after.unwrap_or(Duration::from_mins(1));
                match self.queue_message(message, due).await {
                    Ok(()) => TaskResult::Done(Vec::new()),
                    Err(error) => {
                        tracing::warn!(call_id = %call.id, %error, "a webhook could not be queued yet");
                        TaskResult::Retry(NEXT_ATTEMPT, Vec::new())
                    }
                }
            }
        }
    }

    /// Adds a call to what is used.
    pub(super) async fn account(&self, call: &Call) -> TaskResult {
        match self.engine.account(call).await {
            Ok(()) => TaskResult::Done(Vec::new()),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "a call could not be added to what is used yet");
                TaskResult::Retry(NEXT_ATTEMPT, Vec::new())
            }
        }
    }

    /// Queues a message, once.
    pub(super) async fn queue_message(&self, message: Message, due: Timestamp) -> Result<(), EngineError> {
        let Message { id, endpoint, event, body } = message;
        let work = Work::Webhook(Webhook { endpoint, event, message: id, body, unknown: Unknown::default() });
        let now = self.engine.clock().now();
        let job = Job { until: Some(now + TRIED_FOR), ..Job::new(JobId::webhook(id), work, now, due) };
        self.engine.queue(&job).await.map(drop)
    }

    /// One try, measured, of a message that waits since then.
    pub(super) async fn deliver(&self, message: &Message, turn: Turn, since: Timestamp) -> JobResult {
        let began = Instant::now();
        let (result, outcome) = match self.webhooks.deliver(message, turn).await {
            Delivery::Done => (JobResult::Done, "taken"),
            Delivery::Gone => (JobResult::Failed("its endpoint is gone"), "gone"),
            Delivery::Unknown if self.engine.clock().now().since(since) < UNKNOWN_FOR => {
                (JobResult::Later(Some(UNKNOWN_PAUSE)), "later")
            }
            Delivery::Unknown => (JobResult::Failed("its endpoint is not configured"), "gone"),
            Delivery::Later(after) => (JobResult::Later(after), "later"),
        };
        let endpoint = self.webhooks.number(&message.endpoint);
        self.metrics.told(endpoint, message.event, outcome, began.elapsed());
        result
    }
}
