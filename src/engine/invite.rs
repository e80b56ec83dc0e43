//! The invite: a short saga over two users' lines, ending in the commit of a call.
//!
//! 1. claim the caller's line, with the idempotency key, unless they are banned;
//!    where somebody is to be asked first whether the call may be, all of this but the claim comes before the question;
//! 2. claim the callee's line and read their devices, block and ban;
//! 3. commit the call, which must not exist yet.
//!
//! Each step may be repeated, and a crash between two leaves nothing that lasts.
//!
//! On the way the other calls of both lines are met; what comes of that is in `meetings`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::meetings::{Line, OwnLine};
use super::{Engine, EngineError};
use crate::domain::room::{ROOM_SECRET_BYTES, room_name};
use crate::domain::{
    Call, CallId, Device, DeviceId, Invite, Media, Party, Platform, Rules, Timestamp, TraceParent, UserId, begin,
};
use crate::store::{Callee, Charge, Claim, Opening, Reservation, Role, Slot, StoreError};
use crate::telemetry::traces;

/// How long an idempotency key is remembered.
const KEY_KEPT_FOR: Duration = Duration::from_hours(24);
/// How often an invite starts over when its id was buried or its key given away meanwhile.
const MAX_TRIES: usize = 8;
/// How often an invite comes to a line on which so many are before it that it has no claim, until it takes the callee for busy.
const MAX_LOOKS: usize = 8;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct InviteRequest {
    /// Who calls.
    pub caller: Party,
    /// From which device, if it is named.
    pub caller_device: Option<DeviceId>,
    /// Who is called.
    pub callee: UserId,
    /// The one device to ring; absent: all of them.
    pub callee_device: Option<DeviceId>,
    /// Whether the app's backend asks for it.
    pub by_service: bool,
    /// Whether it only tries whether phones ring, so that nobody has missed a call.
    pub test: bool,
    /// Sound or pictures.
    pub media: Media,
    /// How long to ring; the configured time if absent.
    pub ring: Option<Duration>,
    /// The app's own data.
    pub metadata: Option<Arc<Value>>,
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

/// How long an id that was reserved is good for a call that begins. Later the call would stand in histories as an old one, where
/// nobody looks for one that lives.
const RUN_AGAIN_WITHIN: Duration = Duration::from_mins(1);

/// What a caller hears who is none of the callee's contacts, blocked or not.
const NO_CONTACT: &str = "the user takes calls of their contacts only";

/// What an invite has behind it when it starts over.
#[derive(Default)]
struct SoFar {
    /// Its ids that are out of use.
    buried: Vec<CallId>,
    charged: bool,
    /// Whether it is known that the call may be.
    allowed: bool,
    /// Where in a trace the call begins.
    trace: Option<TraceParent>,
}

/// How one try of the saga ended.
enum Try {
    Done(Arc<Call>),
    /// With another id; this one is out of use, and the key, if there is one, may be reserved for it.
    Again(CallId),
}

impl Engine {
    /// Starts a call, or finds the one that this request means: that of an earlier invite with the same key, or, after glare, the one
    /// that came the other way.
    pub async fn invite(&self, request: InviteRequest) -> Result<Arc<Call>, EngineError> {
        let engine = self.clone();
        // A task of its own: a caller whose connection breaks leaves nothing half done.
        let place = traces::current();
        let saga = tokio::spawn(traces::within(place, async move { engine.run_invite(request).await }));
        saga.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the instance stops".into()).into()))
    }

    async fn run_invite(&self, request: InviteRequest) -> Result<Arc<Call>, EngineError> {
        // Whatever other calls it meets, it is not about those.
        let trace = traces::current().and_then(|place| place.begins_call());
        let mut so_far = SoFar { trace, allowed: self.settings().policy.hook.is_none(), ..SoFar::default() };
        for _ in 0..MAX_TRIES {
            match self.try_invite(&request, &mut so_far).await? {
                Try::Done(call) => return Ok(call),
                Try::Again(id) => so_far.buried.push(id),
            }
        }
        Err(StoreError::Unavailable("other invites keep overtaking this one".into()).into())
    }

    /// Tries to invite. It is charged once and asked about once, however often it starts over.
    async fn try_invite(&self, request: &InviteRequest, so_far: &mut SoFar) -> Result<Try, EngineError> {
        let (mut id, mut first) = (self.clock().call_id(), so_far.buried.first().copied());
        let charges = if so_far.charged { Vec::new() } else { self.caller_charges(request) };
        let claims = so_far.allowed;
        let mut opening = self.open_own_line(request, id, so_far.buried.last().copied(), &charges, claims).await?;
        if let Opening::Reserved { call, same_body: true } = opening {
            match self.reserved(call).await? {
                Slot::Call(call) => return Ok(Try::Done(Arc::from(call))),
                Slot::Tombstone => return Ok(Try::Again(call)),
                Slot::Vacant => {
                    // The invite that reserved it died, or is still on its way: run the same call again, which was charged then.
                    id = call;
                    first = first.or(Some(call));
                    opening = self.open_own_line(request, id, None, &[], claims).await?;
                }
            }
        }
        if let (Opening::Claimed(_), false) = (&opening, so_far.allowed) {
            so_far.charged = true;
            if let Err(why) = Box::pin(self.ask_policy(request)).await {
                return self.refuse(request, id, why).await;
            }
            so_far.allowed = true;
            // Meanwhile the caller may have begun another call.
            first = first.or(Some(id));
            opening = self.claim_own_line(request, id, None, &[]).await?;
        }
        let others = match opening {
            Opening::Claimed(others) => {
                so_far.charged = true;
                others
            }
            Opening::Banned => return Err(EngineError::Banned),
            Opening::Reserved { same_body: false, .. } => return Err(EngineError::KeyReused),
            // This one was buried, and the key has come to mean another call.
            Opening::Reserved { .. } => return Ok(Try::Again(id)),
        };
        match self.meet_own_calls(request, id, first, &others).await? {
            OwnLine::Free => {}
            OwnLine::Taken(call) => return self.refuse(request, id, EngineError::CallerBusy(call)).await,
            OwnLine::Glare(call) => return self.keep_key(request, id, call).await,
        }
        self.reach_callee(request, id, so_far.trace).await
    }

    /// The half of a try that is on the callee's line.
    async fn reach_callee(
        &self,
        request: &InviteRequest,
        id: CallId,
        trace: Option<TraceParent>,
    ) -> Result<Try, EngineError> {
        let mut charges = self.settings().rates.of_callee();
        let mut looks = 0;
        loop {
            looks += 1;
            let claim = self.claim(request, id, Role::Callee);
            let rung = self.store().ring_line(claim, &charges, self.admits(request)).await;
            let mut callee = match self.within_limits(rung) {
                Ok(callee) => callee,
                Err(error @ StoreError::Limited(_)) => return self.refuse(request, id, error.into()).await,
                Err(error) => return Err(error.into()),
            };
            if callee.is_stranger {
                return self.refuse(request, id, EngineError::NotAllowed(NO_CONTACT)).await;
            }
            let is_there = |only: &DeviceId| callee.devices.iter().any(|device| device.id == *only);
            if !request.callee_device.as_ref().is_none_or(is_there) {
                return self.refuse(request, id, EngineError::UnknownDevice).await;
            }
            // Only what rings must have its place on the line.
            let lacks_place = callee.crowded && self.rings_any(request, &callee);
            let busy = match self.meet_callees_calls(request, id, &callee).await? {
                Line::Glare(call) => return self.keep_key(request, id, call).await,
                // Those before it are over and have left.
                Line::Free if lacks_place && looks < MAX_LOOKS => {
                    charges.clear();
                    continue;
                }
                Line::Free => lacks_place,
                Line::Busy => true,
            };
            // A browser may have come while other calls were waited for.
            self.leave_reachable(request, &mut callee);
            return self.commit_invite(request, id, callee, busy, trace).await;
        }
    }

    /// Leaves of the callee's devices those that this call may ring.
    fn leave_reachable(&self, request: &InviteRequest, callee: &mut Callee) {
        let mut devices = std::mem::take(&mut callee.devices);
        let is_rung = self.is_rung(request, callee);
        devices.retain(is_rung);
        callee.devices = devices;
    }

    fn rings_any(&self, request: &InviteRequest, callee: &Callee) -> bool {
        callee.devices.iter().any(self.is_rung(request, callee))
    }

    /// Whether a device of the callee may be rung now.
    fn is_rung<'a>(&self, request: &'a InviteRequest, callee: &'a Callee) -> impl Fn(&Device) -> bool + use<'a> {
        let connected = self.0.readers.devices_of(&request.callee);
        let is_meant = |id: &DeviceId| request.callee_device.as_ref().is_none_or(|only| only == id);
        move |device| {
            let is_there = || connected.contains(&device.id) || callee.attached.contains(&device.id);
            !callee.banned && is_meant(&device.id) && (device.platform != Platform::Web || is_there())
        }
    }

    /// What stands under an id that the key was reserved for; one that is too old is taken out of use.
    async fn reserved(&self, id: CallId) -> Result<Slot, StoreError> {
        match self.store().load(id).await? {
            Slot::Vacant if id.made_at() + RUN_AGAIN_WITHIN < self.clock().now() => self.store().bury(id).await,
            slot => Ok(slot),
        }
    }

    async fn commit_invite(
        &self,
        request: &InviteRequest,
        id: CallId,
        callee: Callee,
        busy: bool,
        trace: Option<TraceParent>,
    ) -> Result<Try, EngineError> {
        let now = self.clock().now();
        let rules = self.settings().rules.clone();
        let invite = Invite {
            id,
            caller: request.caller.clone(),
            caller_device: request.caller_device.clone(),
            callee: request.callee.clone(),
            callee_device: request.callee_device.clone(),
            media: request.media,
            room: self.room_name(id),
            metadata: request.metadata.clone(),
            rules: Rules { missed_call: rules.missed_call && !request.test, ..rules },
            ring_until: now + request.ring.unwrap_or(self.settings().ring),
            devices: callee.devices,
            busy,
            hidden: callee.blocked,
        };
        let call = Arc::new(Call { trace, ..begin(invite, now) });
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
        charges: &[Charge],
    ) -> Result<Opening, EngineError> {
        self.open_own_line(request, call, replaces, charges, true).await
    }

    /// The same, or, if it is not to be claimed yet, all that comes before the claim: nobody waits for a call that is still asked about.
    async fn open_own_line(
        &self,
        request: &InviteRequest,
        call: CallId,
        replaces: Option<CallId>,
        charges: &[Charge],
        claims: bool,
    ) -> Result<Opening, EngineError> {
        let mut claim = self.claim(request, call, Role::Caller);
        if !claims {
            claim.until = claim.at;
        }
        let until = claim.at + KEY_KEPT_FOR;
        let reservation = request.key.as_ref().map(|key| Reservation {
            key: key.key.clone(),
            body: key.body.clone(),
            replaces,
            until,
        });
        Ok(self.within_limits(self.store().open_line(claim, reservation, charges).await)?)
    }

    /// What an invite takes of its caller's rates. The app's backend is trusted with whom it lets call how often.
    fn caller_charges(&self, request: &InviteRequest) -> Vec<Charge> {
        if request.by_service { Vec::new() } else { self.settings().rates.of_caller(&request.callee) }
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
        at + Duration::from_hours(1) + Duration::from_millis(self.settings().rules.max_duration_ms)
    }

    /// After glare the key stands for the call that was answered, whose claim is on this line already.
    async fn keep_key(&self, request: &InviteRequest, id: CallId, call: Arc<Call>) -> Result<Try, EngineError> {
        if let Some(committed) = self.withdraw(request, id).await? {
            return Ok(Try::Done(committed));
        }
        self.give_up_lines(id, [&request.caller.id, &request.callee]).await?;
        if request.key.is_none() {
            return Ok(Try::Done(call));
        }
        match self.claim_own_line(request, call.id, Some(id), &[]).await? {
            Opening::Claimed(_) => Ok(Try::Done(call)),
            Opening::Banned => Err(EngineError::Banned),
            Opening::Reserved { .. } => Ok(Try::Again(id)),
        }
    }

    /// Refuses the invite, and takes off the lines what it has put there.
    async fn refuse(&self, request: &InviteRequest, id: CallId, why: EngineError) -> Result<Try, EngineError> {
        if let Some(committed) = self.withdraw(request, id).await? {
            return Ok(Try::Done(committed));
        }
        self.give_up_lines(id, [&request.caller.id, &request.callee]).await?;
        Err(why)
    }

    /// Takes an id out of use that this invite will not use. With a key the same invite may run beside this one: it must not commit
    /// what this one gives up. If it has already, that is the call.
    async fn withdraw(&self, request: &InviteRequest, id: CallId) -> Result<Option<Arc<Call>>, StoreError> {
        if request.key.is_none() {
            return Ok(None);
        }
        match self.store().bury(id).await? {
            Slot::Call(call) => Ok(Some(Arc::from(call))),
            Slot::Tombstone | Slot::Vacant => Ok(None),
        }
    }

    fn room_name(&self, id: CallId) -> String {
        let mut secret = [0; ROOM_SECRET_BYTES];
        self.clock().random(&mut secret);
        room_name(&self.settings().deployment, id, &secret)
    }
}
