//! What a push of a task says, and what follows when it is taken.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Dispatcher, NEXT_ATTEMPT};
use crate::crypto::{SignError, uuid_of};
use crate::domain::call::OUTCOME_READABLE_FOR;
use crate::domain::{
    Call, IosPushMode, Leg, LegState, Media, Platform, Receipt, StopReason, Task, TaskKind, TaskResult, Timestamp,
};
use crate::engine::{EngineError, Tell};
use crate::push::{Message, MessageKind, Push, Ring};
use crate::ticket::Ticket;

/// How long a provider keeps a stop push at least, for a device that is just coming back.
const STOP_KEPT_FOR: Duration = Duration::from_secs(30);

/// What is to be pushed now, if anything, and when the task comes back.
pub(super) struct Plan {
    pub push: Option<Push>,
    /// The word for it in receipts.
    pub name: &'static str,
    /// Which push of its kind.
    pub number: u32,
    /// When there will be more to do.
    pub comes_back: Option<Timestamp>,
}

/// Why nothing can be planned yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("its ticket cannot be made")]
    Ticket(#[from] SignError),
    #[error("it cannot be counted")]
    Count(#[from] EngineError),
}

impl Plan {
    const NOTHING: Self = Self { push: None, name: "none", number: 1, comes_back: None };

    fn of(name: &'static str, push: Push) -> Self {
        Self { push: Some(push), name, ..Self::NOTHING }
    }

    /// What came of the task, if the push was taken or refused for good.
    pub(super) fn settled(&self, was_taken: bool, receipts: Vec<Receipt>, now: Timestamp) -> TaskResult {
        match self.comes_back {
            Some(at) => TaskResult::Retry(at.since(now).max(NEXT_ATTEMPT), receipts),
            None if was_taken => TaskResult::Done(receipts),
            None => TaskResult::Failed(receipts),
        }
    }
}

impl Dispatcher {
    pub(super) async fn plan(&self, call: &Call, leg: &Leg, task: &Task) -> Result<Plan, PlanError> {
        let id = push_id(call, task, "");
        Ok(match &task.kind {
            TaskKind::Ring { number, .. } => {
                let ring = push(call, leg, id, Message::Ring(self.ring(call, leg)?), call.ring_until);
                Plan { number: *number, ..Plan::of("ring", ring) }
            }
            TaskKind::RingAlert { .. } => {
                let mut alert = push(call, leg, id, Message::Ring(self.ring(call, leg)?), call.ring_until);
                Arc::make_mut(&mut alert.device).ios_push_mode = IosPushMode::Alert;
                Plan::of("ring_alert", alert)
            }
            // It was opened for a VoIP push that its app is not configured for.
            TaskKind::StopRing { .. } if !self.can_stop(leg) => Plan::NOTHING,
            TaskKind::StopRing { reason, .. } => Plan::of("stop", self.stop(call, leg, id, *reason)),
            TaskKind::NotifyMissed { .. } => self.missed(call, leg, task).await?,
            TaskKind::FreeLine { .. }
            | TaskKind::AskPresence
            | TaskKind::OpenRoom
            | TaskKind::CloseRoom { .. }
            | TaskKind::StartRecording
            | TaskKind::StopRecording
            | TaskKind::Report { .. }
            | TaskKind::Account => Plan::NOTHING,
        })
    }

    fn can_stop(&self, leg: &Leg) -> bool {
        leg.device.notice_token().is_some() || self.pushers.can_push(&leg.device, MessageKind::Cancel)
    }

    fn stop(&self, call: &Call, leg: &Leg, id: Uuid, reason: StopReason) -> Push {
        let expires_at = call.ring_until.max(self.engine.clock().now() + STOP_KEPT_FOR);
        push(call, leg, id, Message::Cancel { call_id: call.id, reason }, expires_at)
    }

    /// The push of a missed call is the cancel of a ringing Android phone; where it does not go out now, the cancel does.
    async fn missed(&self, call: &Call, leg: &Leg, task: &Task) -> Result<Plan, PlanError> {
        let missed = self.engine.count_missed(&call.callee.id, &call.caller.id, call.id).await?;
        let comes_back = match missed.tell {
            Tell::Now => {
                let (call_id, caller) = (call.id, call.caller.clone());
                let at = call.ended_at.unwrap_or(call.ring_until);
                let message = Message::Missed { call_id, caller, count: missed.count, at };
                return Ok(Plan::of("missed", push(call, leg, push_id(call, task, ""), message, task.until)));
            }
            Tell::Later(at) => Some(at),
            Tell::NotAtAll => None,
        };
        let stop = self.needs_stop(call, leg);
        let stop = stop.map(|reason| self.stop(call, leg, push_id(call, task, "stop"), reason));
        Ok(Plan { push: stop, name: "stop", comes_back, ..Plan::NOTHING })
    }

    /// Why an Android phone must be told to stop, if it may still ring.
    fn needs_stop(&self, call: &Call, leg: &Leg) -> Option<StopReason> {
        let was_told = |receipt: &Receipt| receipt.push == "stop" && receipt.verdict == Receipt::ACCEPTED;
        // A call that was busy at once has rung nowhere.
        let rang = call.ended_at.is_some_and(|ended| ended > call.created_at);
        let may_ring = rang && leg.state == LegState::Stopped && self.engine.clock().now() < call.ring_until;
        (leg.device.platform == Platform::Android && may_ring && !leg.receipts.iter().any(was_told))
            .then(|| call.stop_reason(&leg.device.id).unwrap_or(StopReason::Ended))
    }

    fn ring(&self, call: &Call, leg: &Leg) -> Result<Ring, SignError> {
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
            ticket: self.tickets.now().mint(&ticket)?,
            url: Arc::clone(&self.public_url),
            metadata: call.metadata.clone(),
        })
    }
}

fn push(call: &Call, leg: &Leg, id: Uuid, message: Message, expires_at: Timestamp) -> Push {
    Push { id, owner: call.callee.id.clone(), device: Arc::clone(&leg.device), expires_at, message }
}

/// The provider's id of a push: the same for every attempt of a task, so that a repeated one can be told. `what` tells the pushes of
/// one task apart.
fn push_id(call: &Call, task: &Task, what: &str) -> Uuid {
    uuid_of(&format!("{}/{}{what}", call.id, task.id))
}
