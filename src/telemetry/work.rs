//! What is measured of work that belongs to no live call: webhooks, jobs, what is used.

use std::time::Duration;

use super::metrics::{JobEnd, Metrics, Told, Warned, observe};
use crate::domain::WebhookEvent;
use crate::domain::usage::Crossing;

impl Metrics {
    /// Notes a try to deliver a webhook to an endpoint, by its number: `taken`, `later` or `gone`.
    pub fn told(&self, endpoint: String, event: WebhookEvent, outcome: &'static str, took: Duration) {
        let labels = Told { endpoint, event: event.as_str(), outcome };
        observe(&self.webhook_seconds, &labels, took);
        self.webhooks.get_or_create(&labels).inc();
    }

    /// Notes the end of a job: `done` or `given_up`.
    pub fn job_ended(&self, kind: &'static str, outcome: &'static str) {
        self.jobs.get_or_create(&JobEnd { kind, outcome }).inc();
    }

    /// Notes that a share of the plan is used.
    pub fn warned(&self, crossing: &Crossing) {
        self.usage_warnings.get_or_create(&Warned { limit: crossing.what, per_cent: crossing.per_cent }).inc();
    }
}
