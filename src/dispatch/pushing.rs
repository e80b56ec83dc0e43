//! Pushes: from a call's task to a message, through quick retries, to a result for the record.

use std::time::Duration;

use ring::digest::{SHA256, digest};
use uuid::Builder;

use super::{Dispatcher, Patience};
use crate::domain::call::OUTCOME_READABLE_FOR;
use crate::domain::{Call, Device, Leg, Media, Receipt, Task, TaskKind, TaskResult, Timestamp, Unknown};
use crate::push::{Message, Push, Report, Ring, TokenKind, Verdict};
use crate::ticket::Ticket;

/// How long a provider keeps a stop push at least, for a device that is just coming back.
const STOP_KEPT_FOR: Duration = Duration::from_secs(30);

/// The most characters of a provider's reason that a record keeps.
const LONGEST_REASON: usize = 100;

impl Dispatcher {
    /// Pushes until the provider takes it or refuses it for good, the time of the attempt is up, or it has lost its purpose.
    pub(super) async fn push_until_settled(&self, call: &Call, task: &Task) -> Option<TaskResult> {
        let leg = task.kind.device().and_then(|device| call.leg(device))?;
        let push = match self.push(call, leg, task).await {
            Ok(push) => push,
            Err(result) => return Some(result),
        };
        let mut patience = Patience::new(task.kind.deadline());
        loop {
            let report = self.pushers.send(&push).await;
            log(call, &push.device, task, &report);
            let receipt = Some(self.receipt(task, &report));
            let after = match report.verdict {
                Verdict::Accepted => {
                    self.keep_environment(call, &push.device, &report).await;
                    return Some(TaskResult::Done(receipt));
                }
                Verdict::DropToken { since } => {
                    self.drop_token(call, &push.device, report.token, since).await;
                    return Some(TaskResult::Failed(receipt));
                }
                Verdict::OurFault | Verdict::GiveUp => return Some(TaskResult::Failed(receipt)),
                Verdict::Retry { after } => after,
            };
            match patience.next(self, after) {
                Ok(pause) => tokio::time::sleep(pause).await,
                // The provider did not say that it will not take it: the task goes on to its end, and is not a failure.
                Err(later) if after.is_none() && self.engine.clock().now() + later >= task.until => return None,
                Err(later) => return Some(TaskResult::Retry(later, receipt)),
            }
            // Elsewhere the call may have ended, or the device spoken.
            if !self.engine.wants(call.id, task.id, task.attempt).await.unwrap_or(true) {
                return None;
            }
        }
    }

    async fn push(&self, call: &Call, leg: &Leg, task: &Task) -> Result<Push, TaskResult> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(call_id = %call.id, %error, "a push could not be made");
            TaskResult::Retry(super::NEXT_ATTEMPT, None)
        };
        let (message, expires_at) = match &task.kind {
            TaskKind::Ring { .. } => {
                (Message::Ring(self.ring(call, leg).map_err(|error| failed(&error))?), call.ring_until)
            }
            TaskKind::StopRing { reason, .. } => (
                Message::Cancel { call_id: call.id, reason: *reason },
                call.ring_until.max(self.engine.clock().now() + STOP_KEPT_FOR),
            ),
            _ => {
                let counted = self.engine.count_missed(&call.callee.id, &call.caller.id, call.id).await;
                let count = counted.map_err(|error| failed(&error))?;
                let at = call.ended_at.unwrap_or(call.ring_until);
                (Message::Missed { call_id: call.id, caller: call.caller.clone(), count, at }, task.until)
            }
        };
        Ok(Push {
            id: push_id(call, task),
            owner: call.callee.id.clone(),
            device: leg.device.clone(),
            expires_at,
            message,
        })
    }

    fn ring(&self, call: &Call, leg: &Leg) -> Result<Ring, jsonwebtoken::errors::Error> {
        let longest = Duration::from_millis(call.rules.max_duration_ms);
        let ticket = Ticket {
            call: call.id,
            user: call.callee.id.clone(),
            device: leg.device.id.clone(),
            expires_at: call.ring_until + longest + OUTCOME_READABLE_FOR,
        };
        Ok(Ring {
            call_id: call.id,
            caller: call.caller.clone(),
            video: call.media == Media::Video,
            created_at: call.created_at,
            ring_until: call.ring_until,
            ticket: self.tickets.mint(&ticket)?,
            url: self.public_url.to_string(),
            metadata: call.metadata.clone(),
        })
    }

    fn receipt(&self, task: &Task, report: &Report) -> Receipt {
        Receipt {
            at: self.engine.clock().now(),
            provider: report.provider.to_owned(),
            push: push_name(&task.kind).to_owned(),
            status: report.status,
            reason: report.reason.chars().take(LONGEST_REASON).collect(),
            provider_id: report.provider_id.clone(),
            latency_ms: crate::domain::time::millis(report.latency),
            unknown: Unknown::default(),
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

/// The provider's id of a push: the same for every attempt of a task, so that a repeated one can be told.
fn push_id(call: &Call, task: &Task) -> uuid::Uuid {
    let digest = digest(&SHA256, format!("{}/{}", call.id, task.id).as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

const fn push_name(kind: &TaskKind) -> &'static str {
    match kind {
        TaskKind::Ring { .. } => "ring",
        TaskKind::StopRing { .. } => "stop",
        TaskKind::NotifyMissed { .. } => "missed",
        TaskKind::FreeLine { .. } | TaskKind::AskPresence => "none",
    }
}

fn log(call: &Call, device: &Device, task: &Task, report: &Report) {
    tracing::info!(
        call_id = %call.id, device_id = %device.id, push = push_name(&task.kind), attempt = task.attempt,
        provider = report.provider, status = report.status, reason = report.reason, verdict = ?report.verdict,
        latency_ms = report.latency.as_millis(), metadata_dropped = report.metadata_dropped, "pushed"
    );
}
