//! Telling the app's backend of a call that ended: a few tries as a task of the call, and then a job, so that an endpoint that is down
//! keeps no call's record busy.

use std::time::{Duration, Instant};

use super::{Dispatcher, NEXT_ATTEMPT};
use crate::domain::job::{JobResult, Webhook};
use crate::domain::{Call, EndpointId, Job, JobId, Task, TaskResult, Timestamp, Unknown, WebhookEvent, Work};
use crate::engine::EngineError;
use crate::outbound::{Delivery, Message, Turn};
use crate::telemetry::traces::current;

/// The pauses between the tries of a task; after the last one it is a job.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(20)];
/// How long a message is tried as a job.
const TRIED_FOR: Duration = Duration::from_hours(3 * 24);
/// The pause before its first try as a job, where its endpoint asked for no other.
const JOB_PAUSE: Duration = Duration::from_mins(1);

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
        let after = match self.deliver(&message, Turn::Fresh).await {
            JobResult::Done => return TaskResult::Done(Vec::new()),
            JobResult::Failed(why) => {
                // As if it had been a job already.
                tracing::error!(call_id = %call.id, webhook_id = %message.id, why, "a webhook is given up");
                self.metrics.job_ended("webhook", "given_up");
                return TaskResult::Done(Vec::new());
            }
            JobResult::Later(after) => after,
            // As a job it is anybody's.
            JobResult::NotHere => return Self::queued(call, self.queue_message_for_others(message).await),
        };
        let tries = usize::try_from(task.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        match PAUSES.get(tries) {
            Some(pause) if after.is_none_or(|after| after <= *pause) => {
                TaskResult::Retry(self.engine.clock().jitter(*pause), Vec::new())
            }
            _ => {
                let due = self.engine.clock().now() + after.unwrap_or(JOB_PAUSE);
                Self::queued(call, self.queue_message(message, due).await)
            }
        }
    }

    /// Once its message is a job, a task is done.
    fn queued(call: &Call, queued: Result<(), EngineError>) -> TaskResult {
        match queued {
            Ok(()) => TaskResult::Done(Vec::new()),
            Err(error) => {
                tracing::warn!(call_id = %call.id, %error, "a webhook could not be queued yet");
                TaskResult::Retry(NEXT_ATTEMPT, Vec::new())
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
        self.engine.queue(&job_of(message, self.engine.clock().now(), due)).await.map(drop)
    }

    /// Queues a message, once, whose endpoint this gateway does not know.
    async fn queue_message_for_others(&self, message: Message) -> Result<(), EngineError> {
        let now = self.engine.clock().now();
        self.engine.queue_for_others(&job_of(message, now, now)).await.map(drop)
    }

    /// One try, measured.
    pub(super) async fn deliver(&self, message: &Message, turn: Turn) -> JobResult {
        let began = Instant::now();
        let parent = current().map_or(message.trace, |place| place.context());
        let mut span = self.engine.traces().below(parent, "webhook").asks();
        // Whoever takes it goes on below its span.
        let traced = span.is_kept().then(|| Message { trace: span.context(), ..message.clone() });
        let (result, outcome) = match self.webhooks.deliver(traced.as_ref().unwrap_or(message), turn).await {
            Delivery::Done => (JobResult::Done, "taken"),
            Delivery::Gone => (JobResult::Failed("its endpoint is gone"), "gone"),
            Delivery::Unknown => (JobResult::NotHere, "later"),
            Delivery::Later(after) => (JobResult::Later(after), "later"),
        };
        let endpoint = self.webhooks.number(&message.endpoint);
        span.text("bellwire.webhook.id", &message.id);
        span.word("bellwire.webhook.event", message.event.as_str());
        span.text("bellwire.webhook.endpoint", &endpoint);
        span.word("bellwire.outcome", outcome);
        if outcome != "taken" {
            span.fails(outcome);
        }
        self.metrics.told(endpoint, message.event, outcome, began.elapsed());
        result
    }
}

fn job_of(message: Message, now: Timestamp, due: Timestamp) -> Job {
    let Message { id, endpoint, event, body, trace } = message;
    let work = Work::Webhook(Webhook { endpoint, event, message: id, body, trace, unknown: Unknown::default() });
    Job { until: Some(now + TRIED_FOR), ..Job::new(JobId::webhook(id), work, now, due) }
}
