//! The invite: a short saga over two users' lines, ending in the commit of a call.
//!
//! 1. claim the caller's line, with the idempotency key, unless they are banned;
//! 2. claim the callee's line and read their devices, block and ban;
//! 3. commit the call, which must not exist yet.
//!
//! Each step may be repeated, and a crash between two leaves nothing that lasts.
//!
//! On the way the other calls of both lines are met: the caller's own unanswered call is cancelled (redial), a
//! call that comes the other way is answered instead (glare), and any other makes the callee busy.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::lines::Met;
use super::{Engine, EngineError};
use crate::domain::{Call, CallId, DeviceId, Input, Invite, Media, Party, Platform, Timestamp, UserId, begin};
use crate::store::{Callee, Claim, Opening, Reservation, Role, Slot, StoreError};

/// How long an idempotency key is remembered.
const KEY_KEPT_FOR: Duration = Duration::from_hours(24);
/// How often an invite starts over when its id was buried or its key given away meanwhile.
const MAX_TRIES: usize = 8;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct InviteRequest {
    /// Who calls.
    pub caller: Party,
    /// From which device, if it is named.
    pub caller_device: Option<DeviceId>,
    /// Who is called.
    pub callee: UserId,
    /// Sound or pictures.
    pub media: Media,
    /// How long to ring; the configured time if absent.
    pub ring: Option<Duration>,
    /// The app's own data.
    pub metadata: Option<Value>,
    /// The idempotency key, if one was sent.
    pub key: Option<Key>,
}

/// An idempotency key and what it was sent with.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key.
    pub key: String,
    /// A digest of the request's body, in hex.
    pub body: String,
}

/// How one try of the saga ended.
enum Try {
    Done(Arc<Call>),
    /// The id is out of use; the key, if there is one, is still reserved for it.
    Again(CallId),
}

impl Engine {
    /// Starts a call, or finds the one that this request means: that of an earlier invite with the same key, or, after glare, the one
    /// that came the other way.
    pub async fn invite(&self, request: InviteRequest) -> Result<Arc<Call>, EngineError> {
        let engine = self.clone();
        // A task of its own: a caller whose connection breaks leaves nothing half done.
        let saga = tokio::spawn(async move { engine.run_invite(request).await });
        saga.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the instance stops".into()).into()))
    }

    async fn run_invite(&self, request: InviteRequest) -> Result<Arc<Call>, EngineError> {
        let mut replaces = None;
        for _ in 0..MAX_TRIES {
            match self.try_invite(&request, replaces).await? {
                Try::Done(call) => return Ok(call),
                Try::Again(buried) => replaces = Some(buried),
            }
        }
        Err(StoreError::Unavailable("other invites keep overtaking this one".into()).into())
    }

    async fn try_invite(&self, request: &InviteRequest, replaces: Option<CallId>) -> Result<Try, EngineError> {
        let mut id = self.clock().call_id();
        let others = match self.claim_own_line(request, id, replaces).await? {
            Opening::Claimed(others) => others,
            Opening::Banned => return Err(EngineError::Banned),
            Opening::Reserved { same_body: false, .. } => return Err(EngineError::KeyReused),
            Opening::Reserved { call, .. } => match self.store().load(call).await? {
                Slot::Call(call) => return Ok(Try::Done(Arc::from(call))),
                Slot::Tombstone => return Ok(Try::Again(call)),
                Slot::Vacant => {
                    // The invite that reserved it died, or is still on its way: run the same call again.
                    id = call;
                    match self.claim_own_line(request, id, None).await? {
                        Opening::Claimed(others) => others,
                        Opening::Banned => return Err(EngineError::Banned),
                        Opening::Reserved { call, .. } => return Ok(Try::Again(call)),
                    }
                }
            },
        };
        if let Some(call) = self.meet_own_calls(request, id, others).await? {
            return self.keep_key(request, id, call).await;
        }
        let callee = self.store().ring_line(self.claim(request, id, Role::Callee)).await?;
        let busy = match self.meet_callees_calls(request, id, &callee).await? {
            Line::Free => false,
            Line::Busy => true,
            Line::Glare(call) => return self.keep_key(request, id, call).await,
        };
        self.commit_invite(request, id, callee, busy).await
    }

    async fn commit_invite(
        &self,
        request: &InviteRequest,
        id: CallId,
        callee: Callee,
        busy: bool,
    ) -> Result<Try, EngineError> {
        let now = self.clock().now();
        let mut devices = callee.devices;
        if callee.banned {
            devices.clear();
        }
        let mut connected = self.0.readers.devices_of(&request.callee);
        connected.extend(callee.attached);
        devices.retain(|device| device.platform != Platform::Web || connected.contains(&device.id));
        let invite = Invite {
            id,
            caller: request.caller.clone(),
            caller_device: request.caller_device.clone(),
            callee: request.callee.clone(),
            media: request.media,
            room: self.room_name(id),
            metadata: request.metadata.clone(),
            rules: self.0.settings.rules.clone(),
            ring_until: now + request.ring.unwrap_or(self.0.settings.ring),
            devices,
            busy,
            hidden: callee.blocked,
        };
        let call = Arc::new(begin(invite, now));
        match self.commit_first(Arc::clone(&call)).await {
            Ok(()) => Ok(Try::Done(call)),
            Err(StoreError::Conflict) => match self.store().load(id).await? {
                // A replay of the same key ran beside this one and was quicker.
                Slot::Call(call) => Ok(Try::Done(Arc::from(call))),
                Slot::Tombstone | Slot::Vacant => {
                    self.give_up_lines(id, [&request.caller.id, &request.callee]).await?;
                    Ok(Try::Again(id))
                }
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Claims the caller's line, with the idempotency key if there is one.
    async fn claim_own_line(
        &self,
        request: &InviteRequest,
        call: CallId,
        replaces: Option<CallId>,
    ) -> Result<Opening, EngineError> {
        let claim = self.claim(request, call, Role::Caller);
        let until = claim.at + KEY_KEPT_FOR;
        let reservation = request.key.as_ref().map(|key| Reservation {
            key: key.key.clone(),
            body: key.body.clone(),
            replaces,
            until,
        });
        Ok(self.store().open_line(claim, reservation).await?)
    }

    fn claim(&self, request: &InviteRequest, call: CallId, role: Role) -> Claim {
        let at = self.clock().now();
        let (user, peer) = match role {
            Role::Caller => (&request.caller.id, &request.callee),
            Role::Callee => (&request.callee, &request.caller.id),
        };
        Claim { user: user.clone(), call, peer: peer.clone(), role, at, until: self.lapses(at) }
    }

    /// Later than any call can last: a claim that outlives its call is found out long before.
    fn lapses(&self, at: Timestamp) -> Timestamp {
        at + Duration::from_hours(1) + Duration::from_millis(self.0.settings.rules.max_duration_ms)
    }

    /// Meets the calls on the caller's line: cancels their own unanswered one, answers one from the callee, and refuses
    /// where the line is full of answered ones.
    async fn meet_own_calls(
        &self,
        request: &InviteRequest,
        id: CallId,
        others: Vec<Claim>,
    ) -> Result<Option<Arc<Call>>, EngineError> {
        let mut active = Vec::new();
        for claim in others.iter().filter(|claim| claim.call != id) {
            let from_callee = claim.role == Role::Callee && claim.peer == request.callee;
            // A call from the callee that is on this line already was here first, committed or not. So were the
            // caller's own. One from somebody else matters only once it is answered.
            let waits = from_callee || claim.role == Role::Caller;
            let Met::Live(call) = self.meet(claim, waits).await? else { continue };
            if from_callee {
                match self.join(request, &call).await? {
                    Joined::In(call) => return Ok(Some(call)),
                    Joined::Elsewhere => active.push(call.id),
                    Joined::Over => {}
                }
            } else if !call.is_unanswered() {
                active.push(call.id);
            } else if claim.role == Role::Caller {
                let call = self.apply(call.id, Input::Redialled).await?;
                active.extend((!call.is_ended()).then_some(call.id));
            }
        }
        match active.first() {
            Some(call) if active.len() >= self.line_capacity() => {
                self.store().free_line(&request.caller.id, id).await?;
                Err(EngineError::CallerBusy(*call))
            }
            _ => Ok(None),
        }
    }

    /// Meets the calls on the callee's line.
    async fn meet_callees_calls(
        &self,
        request: &InviteRequest,
        id: CallId,
        callee: &Callee,
    ) -> Result<Line, EngineError> {
        if callee.blocked {
            return Ok(Line::Free);
        }
        let mut taken = 0;
        for claim in callee.others.iter().filter(|claim| claim.call != id) {
            let glare = claim.role == Role::Caller && claim.peer == request.caller.id;
            // Both invites see each other's claim, so both apply the same rule: the lower id goes first.
            let waits = !glare || claim.call < id;
            match self.meet(claim, waits).await? {
                Met::Live(call) if glare && !call.hidden => match self.join(request, &call).await? {
                    Joined::In(call) => return Ok(Line::Glare(call)),
                    Joined::Elsewhere => taken += 1,
                    Joined::Over => {}
                },
                Met::Live(_) => taken += 1,
                Met::Yielding | Met::Over => {}
            }
        }
        Ok(if taken >= self.line_capacity() { Line::Busy } else { Line::Free })
    }

    /// Answers the call that comes the other way, unless it ended meanwhile or a device was quicker to answer it. This invite may have
    /// answered it before: it was sent twice, or whoever ran it died before they could say so.
    async fn join(&self, request: &InviteRequest, call: &Call) -> Result<Joined, EngineError> {
        match self.apply(call.id, Input::InvitedBack(request.caller_device.clone())).await {
            Ok(call) => Ok(Joined::In(call)),
            Err(EngineError::Refused(_, call)) if !call.is_ended() => Ok(Joined::Elsewhere),
            Err(EngineError::Refused(..) | EngineError::NotFound) => Ok(Joined::Over),
            Err(error) => Err(error),
        }
    }

    /// After glare the key stands for the call that was answered, whose claim is on this line already.
    async fn keep_key(&self, request: &InviteRequest, id: CallId, call: Arc<Call>) -> Result<Try, EngineError> {
        if request.key.is_some() {
            // The same invite may run beside this one, and must not commit what this one gives up.
            self.store().bury(id).await?;
        }
        self.give_up_lines(id, [&request.caller.id, &request.callee]).await?;
        if request.key.is_some() {
            self.claim_own_line(request, call.id, Some(id)).await?;
        }
        Ok(Try::Done(call))
    }

    /// `bw_<deployment>_<call id>_<128 random bits>`: nobody can guess it, and the sweep knows its own.
    fn room_name(&self, id: CallId) -> String {
        let mut random = [0; 16];
        self.clock().random(&mut random);
        format!("bw_{}_{id}_{}", self.0.settings.deployment, HEXLOWER.encode(&random))
    }
}

/// How it went to answer the call that comes the other way.
enum Joined {
    In(Arc<Call>),
    /// It was answered on another device.
    Elsewhere,
    Over,
}

/// What an invite found on the callee's line.
enum Line {
    Free,
    Busy,
    Glare(Arc<Call>),
}
