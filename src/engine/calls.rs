//! What parties, devices and the backend do with a call that exists.
//!
//! Who is asking has been established by `http`; whether they may is decided here, and whether the call's state allows it by `domain`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Engine, EngineError, LOADS_AT_ONCE};
use crate::domain::call::COMPACT_AFTER;
use crate::domain::{
    Call, CallId, DeclineReason, DeviceId, Heard, Input, Refusal, RefusalReason, State, Task, TaskResult, TicketScope,
    Timestamp, UserId, step,
};
use crate::store::{HISTORY_LENGTH, Slot};
use crate::telemetry::traces;

/// The longest that an invite may ring.
const LONGEST_RING: Duration = Duration::from_mins(2);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A user, and the device that they named, if they did.
    User(UserId, Option<DeviceId>),
    /// A device by the ticket of its push.
    Ticket(UserId, DeviceId),
    /// The app's backend.
    Service,
}

impl Asker {
    /// The device that speaks, if it is known.
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::User(_, device) => device.as_ref(),
            Self::Ticket(_, device) => Some(device),
            Self::Service => None,
        }
    }
}

/// A page of a user's calls, newest first.
#[derive(Debug)]
pub struct Page {
    /// The calls.
    pub calls: Vec<Arc<Call>>,
    /// Where the next page begins, if there is one.
    pub next: Option<CallId>,
}

impl Engine {
    /// The call, if the asker may know of it.
    pub async fn call(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        let call = self.find_call(id, asker).await?;
        if let Asker::Ticket(_, device) = asker {
            self.note_contact(&call, device);
        }
        Ok(call)
    }

    pub(super) async fn find_call(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        let Slot::Call(call) = self.store().load(id).await? else { return Err(EngineError::NotFound) };
        let visible = match asker {
            Asker::User(user, _) => call.is_visible_to(user),
            Asker::Ticket(user, device) => {
                call.is_visible_to(user) && call.ticket_scope(device, self.clock().now()) != TicketScope::Nothing
            }
            Asker::Service => true,
        };
        if !visible {
            return Err(EngineError::NotFound);
        }
        traces::joins(&call);
        Ok(Arc::from(call))
    }

    /// A device says that it rings.
    pub async fn alerting(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        self.device_input(id, asker, Input::DeviceAlerting).await
    }

    /// A device says that it could not ring, and why.
    pub async fn not_rung(&self, id: CallId, asker: &Asker, reason: &str) -> Result<Arc<Call>, EngineError> {
        self.device_input(id, asker, |device| Input::DeviceNotRung(device, reason.to_owned())).await
    }

    /// A device answers; the first one wins, and may ask again.
    pub async fn answer(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        // At once, since each may be a round trip; who is banned hears nothing of the call.
        let (allowed, call) = tokio::join!(self.refuse_banned_asker(asker), self.find_call(id, asker));
        allowed?;
        self.device_says(call?, asker, Input::Answer).await
    }

    /// A device declines.
    pub async fn decline(&self, id: CallId, asker: &Asker, reason: DeclineReason) -> Result<Arc<Call>, EngineError> {
        self.device_input(id, asker, |device| Input::Decline(device, reason)).await
    }

    /// The caller gives up, or hangs up if the call was answered meanwhile.
    pub async fn cancel(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        let call = self.call(id, asker).await?;
        match asker {
            Asker::User(user, _) if *user != call.caller.id => {
                Err(EngineError::NotAllowed("only the caller cancels; the callee declines"))
            }
            Asker::Ticket(..) => Err(EngineError::NotAllowed("only the caller cancels; the callee declines")),
            Asker::User(..) | Asker::Service => self.apply_all(id, vec![Input::Cancel], Some(call)).await,
        }
    }

    /// Either party hangs up.
    pub async fn hang_up(&self, id: CallId, asker: &Asker) -> Result<Arc<Call>, EngineError> {
        let call = self.find_call(id, asker).await?;
        match asker {
            Asker::Ticket(_, device) if call.is_unanswered() || call.answered_by.as_ref() != Some(device) => {
                // Before the answer, and on any other device after it, this device's word is about its own ring.
                self.device_says(call, asker, |device| Input::Decline(device, DeclineReason::Declined)).await
            }
            Asker::User(user, _) | Asker::Ticket(user, _) => self.hung_up(call, user.clone()).await,
            Asker::Service => {
                let caller = call.caller.id.clone();
                self.hung_up(call, caller).await
            }
        }
    }

    async fn hung_up(&self, call: Arc<Call>, user: UserId) -> Result<Arc<Call>, EngineError> {
        self.apply_all(call.id, vec![Input::HangUp(user)], Some(call)).await
    }

    /// The user whom a LiveKit token for this call may be made for: its caller while it lives, or the one device that answered.
    pub async fn may_join(&self, call: &Arc<Call>, asker: &Asker) -> Result<UserId, EngineError> {
        if !self.admit(asker).await? {
            return Err(EngineError::Banned);
        }
        joins(call, asker)
    }

    pub(super) async fn refuse_banned_asker(&self, asker: &Asker) -> Result<(), EngineError> {
        match asker {
            Asker::User(user, _) | Asker::Ticket(user, _) => self.refuse_banned(user).await,
            Asker::Service => Ok(()),
        }
    }

    /// A page of the user's calls, from the one before `before`.
    pub async fn history(&self, user: &UserId, before: Option<CallId>, limit: usize) -> Result<Page, EngineError> {
        let ids = self.store().history(user, before, limit + 1).await?;
        let next = ids.get(limit).and_then(|_| ids.get(limit.saturating_sub(1))).copied();
        let calls = self.load_visible(user, ids.into_iter().take(limit)).await?;
        Ok(Page { calls, next })
    }

    /// The user's live calls and those that ended a short while ago: what a reader of events begins with.
    pub(super) async fn recent_calls(&self, user: &UserId) -> Result<Vec<Arc<Call>>, EngineError> {
        let ids = self.recent_ids(user).await?;
        let mut calls = self.load_visible(user, ids).await?;
        let now = self.clock().now();
        calls.retain(|call| call.ended_at.is_none_or(|ended| now < ended + COMPACT_AFTER));
        Ok(calls)
    }

    /// Ids of the user's calls that may live, or ended a short while ago, newest first. A live one may be too far back in the history,
    /// after many that found its parties busy, but its claim stands.
    pub(super) async fn recent_ids(&self, user: &UserId) -> Result<Vec<CallId>, EngineError> {
        let now = self.clock().now();
        let longest = LONGEST_RING + Duration::from_millis(self.settings().rules.max_duration_ms) + COMPACT_AFTER;
        let store = self.store();
        let (mut ids, line) = try_join(store.history(user, None, HISTORY_LENGTH), store.line(user)).await?;
        ids.retain(|id| id.made_at() + longest > now);
        ids.extend(line.into_iter().map(|claim| claim.call));
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.dedup();
        Ok(ids)
    }

    async fn load_visible(
        &self,
        user: &UserId,
        ids: impl IntoIterator<Item = CallId>,
    ) -> Result<Vec<Arc<Call>>, EngineError> {
        let loads = ids.into_iter().map(|id| self.store().load(id));
        let slots: Vec<Slot> = stream::iter(loads).buffered(LOADS_AT_ONCE).try_collect().await?;
        // An id without a record is of an invite that never came to be, or of a call past its retention.
        let visible = slots.into_iter().filter_map(|slot| match slot {
            Slot::Call(call) if call.is_visible_to(user) => Some(Arc::from(call)),
            Slot::Call(_) | Slot::Tombstone | Slot::Vacant => None,
        });
        Ok(visible.collect())
    }

    /// Calls of any instance whose wake-up was due at least `by` ago: at most `limit`, and those of `beside` as well.
    pub async fn overdue(
        &self,
        by: Duration,
        limit: usize,
        beside: &HashSet<CallId>,
    ) -> Result<Vec<CallId>, EngineError> {
        Ok(self.store().due(self.clock().now() - by, limit, beside).await?)
    }

    /// It is time to see what is due for a call; a record past its retention is removed, and so is a wake-up without a record.
    pub async fn wake(&self, id: CallId) -> Result<(), EngineError> {
        match self.apply(id, Input::Wake).await {
            Ok(call) if call.is_ended() && call.tasks.is_empty() && call.retained_until() <= self.clock().now() => {
                Ok(self.store().remove(id, call.version).await?)
            }
            Ok(_) => Ok(()),
            Err(EngineError::NotFound) => Ok(self.store().remove(id, 0).await?),
            Err(error) => Err(error),
        }
    }

    /// An attempt of a task has a result. What providers said of a push is kept also where the task is gone by now.
    pub async fn task_finished(&self, id: CallId, task: &Task, result: TaskResult) -> Result<(), EngineError> {
        let receipts = result.receipts().to_vec();
        let call = self.apply(id, Input::TaskFinished { task: task.id, attempt: task.attempt, result }).await?;
        if let Some(device) = task.kind.device().filter(|device| call.lacks(device, &receipts)) {
            self.apply(id, Input::PushTold(device.clone(), receipts)).await?;
        }
        Ok(())
    }

    /// Whether an attempt still has a purpose: asked before it is repeated.
    pub async fn wants(&self, id: CallId, task: u32, attempt: u32) -> Result<bool, EngineError> {
        let slot = self.store().load(id).await?;
        Ok(matches!(slot, Slot::Call(call) if call.wants(task, attempt)))
    }

    /// Whether a call is neither answered nor over.
    pub async fn still_rings(&self, id: CallId) -> Result<bool, EngineError> {
        let slot = self.store().load(id).await?;
        Ok(matches!(slot, Slot::Call(call) if call.is_unanswered()))
    }

    /// What a device of the callee says. A device that was registered after the invite takes part when it speaks.
    async fn device_input(
        &self,
        id: CallId,
        asker: &Asker,
        input: impl FnOnce(DeviceId) -> Input,
    ) -> Result<Arc<Call>, EngineError> {
        self.device_says(self.find_call(id, asker).await?, asker, input).await
    }

    /// As [`device_input`](Self::device_input), of a call that was read a moment ago and that the asker may know of.
    async fn device_says(
        &self,
        call: Arc<Call>,
        asker: &Asker,
        input: impl FnOnce(DeviceId) -> Input,
    ) -> Result<Arc<Call>, EngineError> {
        let (Asker::User(user, _) | Asker::Ticket(user, _)) = asker else {
            return Err(EngineError::NotAllowed("only a device of the callee may do this"));
        };
        if *user != call.callee.id {
            return Err(EngineError::NotAllowed("only a device of the callee may do this"));
        }
        let Some(device) = asker.device() else { return Err(EngineError::UnknownDevice) };
        if call.is_ended() {
            // Nothing leads out of the end, so what was just read is the answer.
            return self.late(call, device, &input(device.clone()));
        }
        let mut inputs = Vec::new();
        let may_take_part = call.callee_device.as_ref().is_none_or(|only| only == device);
        if may_take_part && call.is_unanswered() && call.leg(device).is_none() {
            let devices = self.store().devices(user).await?;
            let Some(found) = devices.into_iter().find(|found| found.id == *device) else {
                return Err(EngineError::UnknownDevice);
            };
            inputs.push(Input::LegAdded(Box::new(found)));
        }
        let input = input(device.clone());
        let heard = heard(&input, self.clock().now());
        inputs.push(input);
        let result = self.apply_all(call.id, inputs, Some(call)).await;
        if let (Ok(call) | Err(EngineError::Refused(_, call)), Some(heard)) = (&result, heard) {
            self.note_word(call, device, heard);
        }
        if let Err(EngineError::Refused(_, call)) = &result {
            self.note_late(call, device);
        }
        result
    }

    /// What a device hears that speaks after the end.
    fn late(&self, call: Arc<Call>, device: &DeviceId, input: &Input) -> Result<Arc<Call>, EngineError> {
        let now = self.clock().now();
        self.note_late(&call, device);
        if let Some(heard) = heard(input, now) {
            self.note_word(&call, device, heard);
        }
        match step(&call, input, now) {
            Ok(_) => Ok(call),
            Err(refusal) => Err(EngineError::Refused(refusal, call)),
        }
    }
}

/// What an input of a device says about its app.
const fn heard(input: &Input, now: Timestamp) -> Option<Heard> {
    match input {
        Input::DeviceAlerting(_) | Input::DeviceNotRung(..) => Some(Heard::Acked(now)),
        Input::Answer(_) | Input::Decline(..) => Some(Heard::Spoke),
        _ => None,
    }
}

/// As [`may_join`](Engine::may_join), for who is known not to be banned.
pub fn joins(call: &Arc<Call>, asker: &Asker) -> Result<UserId, EngineError> {
    let refuse = |why| {
        let refusal = Refusal { state: call.state, input: "token", why };
        Err(EngineError::Refused(refusal, Arc::clone(call)))
    };
    let (Asker::User(user, _) | Asker::Ticket(user, _)) = asker else {
        return Err(EngineError::NotAllowed("a service gets no token of a call"));
    };
    match (call.state, call.end_reason) {
        (State::Ended, Some(reason)) => refuse(RefusalReason::Ended(reason)),
        _ if *user == call.caller.id => Ok(user.clone()),
        (State::Active, _) if call.answered_by.as_ref() == asker.device() => Ok(user.clone()),
        (State::Active, _) => refuse(RefusalReason::AnsweredElsewhere),
        _ => Err(EngineError::NotAllowed("the callee gets a token with the answer")),
    }
}
