//! Pushes: from a call's task through quick retries to a result for the record.
//!
//! What a push says is in `plan`; what a provider's answer means is `push`'s. Here is what is done about it: a token is dropped, an
//! environment kept, the same push sent again with the same id.

use std::time::Duration;

use super::plan::Plan;
use super::{Dispatcher, Patience};
use crate::domain::{
    Call, Device, Environment, Heard, Platform, Receipt, Task, TaskKind, TaskResult, Timestamp, Unknown,
};
use crate::push::{Report, TokenKind, Verdict};
use crate::telemetry::Attempt;
use crate::telemetry::traces::Span;

/// The most characters of a provider's reason that a record keeps.
const LONGEST_REASON: usize = 64;
/// How often it is looked after a ring that its provider keeps waiting.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The reason of a push that was too late to be sent.
const RING_OVER: &str = "ring-over";
/// The most characters of a provider's id that a record keeps.
const LONGEST_ID: usize = 128;

impl Dispatcher {
    /// Pushes until the provider takes it or refuses it for good, the time of the attempt is up, or it has lost its purpose.
    pub(super) async fn push_until_settled(&self, call: &Call, task: &Task) -> Option<TaskResult> {
        let leg = task.kind.device().and_then(|device| call.leg(device))?;
        if matches!(task.kind, TaskKind::StopRing { .. }) && leg.kept_silent() {
            self.note_silence(call, &leg.device).await;
        }
        let plan = match self.plan(call, leg, task).await {
            Ok(plan) => plan,
            Err(error) => {
                tracing::error!(call_id = %call.id, %error, "a push could not be made");
                return Some(TaskResult::Retry(super::NEXT_ATTEMPT, Vec::new()));
            }
        };
        let now = || self.engine.clock().now();
        let Some(push) = &plan.push else { return Some(plan.settled(true, Vec::new(), now())) };
        let mut patience = Patience::new(&task.kind, task.attempt);
        let mut receipts = Vec::new();
        loop {
            let mut span = self.engine.traces().span("push").asks();
            let report = tokio::select! {
                report = self.pushers.send(push) => report,
                () = self.rings_no_more(call), if task.kind.is_ring() => return None,
                // The wake-up begins the next attempt when the lease passes: never two of them at a time.
                () = patience.used_up() => {
                    let goes_on = now() + super::NEXT_ATTEMPT < task.until;
                    return goes_on.then_some(TaskResult::Retry(super::NEXT_ATTEMPT, receipts));
                }
            };
            log(call, &push.device, task, &plan, &report);
            tell(&mut span, call, &push.device, &plan, &report);
            drop(span);
            self.measure(&push.device, &plan, &report);
            receipts.push(receipt(task, &plan, &push.device, &report, now()));
            let after = match report.verdict {
                Verdict::Accepted => {
                    self.keep_environment(call, &push.device, &report).await;
                    return Some(plan.settled(true, receipts, now()));
                }
                Verdict::DropToken { since } => {
                    self.drop_token(call, &push.device, report.token, since).await;
                    return Some(plan.settled(false, receipts, now()));
                }
                // The timeout is about to be committed, and says more than this.
                Verdict::GiveUp if report.reason == RING_OVER => return None,
                Verdict::OurFault | Verdict::GiveUp => return Some(plan.settled(false, receipts, now())),
                Verdict::Retry { after } => after,
            };
            match patience.next(self, after) {
                Ok(pause) => tokio::time::sleep(pause).await,
                // The provider did not say that it will not take it: the task goes on to its end, and is not a failure.
                Err(later) if !(after.is_some() && report.status.is_some()) && now() + later >= task.until => {
                    return None;
                }
                Err(later) => return Some(TaskResult::Retry(later, receipts)),
            }
            // Elsewhere the call may have ended, or the device spoken. Where that cannot be known, a push that may have arrived is not repeated.
            let may_repeat = report.status.is_some() || was_not_sent(&report);
            if !self.engine.wants(call.id, task.id, task.attempt).await.unwrap_or(may_repeat) {
                return None;
            }
        }
    }

    /// Returns once the call rings no more, answered or ended at whichever instance. A push that waits for its provider is looked after like
    /// this, so that it does not go out when the phone was told to stop already.
    async fn rings_no_more(&self, call: &Call) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.engine.still_rings(call.id).await.unwrap_or(true) {
                return;
            }
        }
    }

    fn measure(&self, device: &Device, plan: &Plan, report: &Report) {
        let &Report { provider, status, latency, .. } = report;
        let (verdict, reason) = (word(report.verdict), report.reason.as_str());
        self.metrics.pushed(&Attempt { device, provider, push: plan.name, verdict, status, reason, latency });
    }

    async fn note_silence(&self, call: &Call, device: &Device) {
        if let Err(error) = self.engine.note_heard(&call.callee.id, &device.id, Heard::Silent(call.id)).await {
            tracing::debug!(call_id = %call.id, %error, "a silent ring could not be counted");
        }
    }

    async fn keep_environment(&self, call: &Call, device: &Device, report: &Report) {
        let Some(environment) = report.environment else { return };
        if let Err(error) = self.engine.set_environment(&call.callee.id, &device.id, environment).await {
            tracing::warn!(call_id = %call.id, %error, "the device's environment could not be kept");
        }
    }

    async fn drop_token(&self, call: &Call, device: &Device, kind: Option<TokenKind>, since: Option<Timestamp>) {
        let token = match kind {
            Some(TokenKind::Voip) => device.voip_token.as_ref(),
            Some(TokenKind::Alert) => device.alert_token.as_ref(),
            Some(TokenKind::Fcm) => device.fcm_token.as_ref().or(device.fcm_fid.as_ref()),
            None => None,
        };
        let Some(token) = token else { return };
        // Without the provider's word since when, it is proved as of the registration that the call began with.
        let since = since.or(Some(device.registered_at));
        if let Err(error) = self.engine.drop_token(&call.callee.id, &device.id, token, since).await {
            tracing::warn!(call_id = %call.id, %error, "a dead token could not be dropped");
        }
    }
}

/// Says of a push's span what came of it.
fn tell(span: &mut Span, call: &Call, device: &Device, plan: &Plan, report: &Report) {
    span.text("bellwire.call.id", &call.id);
    span.text("bellwire.device.id", &device.id);
    span.word("bellwire.push", plan.name);
    span.number("bellwire.push.number", plan.number);
    span.word("bellwire.push.provider", report.provider);
    span.word("bellwire.push.verdict", word(report.verdict));
    match report.status {
        Some(status) => span.number("http.response.status_code", status),
        None => span.fails("no_answer"),
    }
    if report.verdict != Verdict::Accepted {
        span.text("bellwire.push.reason", &report.reason);
        span.fails(word(report.verdict));
    }
}

fn receipt(task: &Task, plan: &Plan, device: &Device, report: &Report, now: Timestamp) -> Receipt {
    Receipt {
        at: now,
        provider: report.provider.into(),
        push: plan.name.into(),
        status: report.status,
        reason: start(&report.reason, LONGEST_REASON).to_owned(),
        provider_id: report.provider_id.as_deref().map(|id| start(id, LONGEST_ID).to_owned()),
        latency_ms: crate::domain::time::millis(report.latency),
        number: plan.number,
        attempt: task.attempt,
        again: 0,
        since: None,
        environment: environment(device, report),
        dead_since: match report.verdict {
            Verdict::DropToken { since } => since,
            _ => None,
        },
        verdict: word(report.verdict).into(),
        unknown: Unknown::default(),
    }
}

/// At most so many characters of a text.
fn start(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

/// Whether it is certain that no byte of it reached the provider.
fn was_not_sent(report: &Report) -> bool {
    ["not-connected", "held-back"].iter().any(|reason| report.reason.starts_with(reason))
}

/// Which of Apple's hosts answered.
fn environment(device: &Device, report: &Report) -> Option<Environment> {
    report.environment.or_else(|| (device.platform == Platform::Ios).then_some(device.environment))
}

/// The word for a verdict in receipts.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => Receipt::ACCEPTED,
        Verdict::Retry { .. } => "retry",
        Verdict::DropToken { .. } => Receipt::DEAD_TOKEN,
        Verdict::OurFault => "our_fault",
        Verdict::GiveUp => "give_up",
    }
}

fn log(call: &Call, device: &Device, task: &Task, plan: &Plan, report: &Report) {
    tracing::info!(
        call_id = %call.id, device_id = %device.id, push = plan.name, number = plan.number, attempt = task.attempt,
        provider = report.provider, status = report.status, reason = report.reason, verdict = ?report.verdict,
        latency_ms = report.latency.as_millis(), left_out = %report.left_out, "pushed"
    );
    if report.verdict == Verdict::OurFault {
        tracing::error!(
            provider = report.provider, status = report.status, reason = report.reason, app = %device.app,
            "a push was refused, and it is not the phone's fault: see docs/PUSH.md"
        );
    }
}
