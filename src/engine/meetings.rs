//! What an invite does about the other calls that it meets on the lines of its two users.
//!
//! The caller's own unanswered call is cancelled (redial), a call that comes the other way is answered instead (glare), and any
//! other makes the callee busy, or is in the caller's way.

use std::sync::Arc;

use super::invite::InviteRequest;
use super::lines::{COMMIT_WITHIN, GIVE_WAY_WITHIN, Met};
use super::{Engine, EngineError};
use crate::domain::{Call, CallId, Input};
use crate::store::{Callee, Claim, Role};

/// What an invite found on the caller's line.
pub(super) enum OwnLine {
    Free,
    /// They are in as many calls as they may be, one of which is this.
    Taken(CallId),
    /// The invite has answered this call.
    Glare(Arc<Call>),
}

/// What an invite found on the callee's line.
pub(super) enum Line {
    Free,
    Busy,
    Glare(Arc<Call>),
}

/// How it went to answer the call that comes the other way.
enum Joined {
    In(Arc<Call>),
    /// It was answered on another device.
    Elsewhere,
    Over,
}

impl Engine {
    /// Meets the calls on the caller's line: cancels their own unanswered one, and answers one from the callee. `first` is the first
    /// id of this invite, if it starts over or was sent before.
    pub(super) async fn meet_own_calls(
        &self,
        request: &InviteRequest,
        id: CallId,
        first: Option<CallId>,
        others: &[Claim],
    ) -> Result<OwnLine, EngineError> {
        if let Some(call) = self.begun_since(first, id, others).await? {
            return Ok(OwnLine::Taken(call));
        }
        let mut active = Vec::new();
        for claim in others.iter().filter(|claim| claim.call != id) {
            let from_callee = claim.role == Role::Callee && claim.peer == request.callee;
            // A call from the callee that is on this line already was here first, committed or not. So were the
            // caller's own. One from somebody else matters only once it is answered.
            let within = (from_callee || claim.role == Role::Caller).then_some(COMMIT_WITHIN);
            let Met::Live(call) = self.meet(claim, within).await? else { continue };
            if from_callee {
                match self.join(request, &call).await? {
                    Joined::In(call) => return Ok(OwnLine::Glare(call)),
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
            Some(call) if active.len() >= self.line_capacity() => Ok(OwnLine::Taken(*call)),
            _ => Ok(OwnLine::Free),
        }
    }

    /// A call that the caller began after the invite whose `first` id this is. It is the later one that they want, however late this
    /// one comes to its end.
    async fn begun_since(
        &self,
        first: Option<CallId>,
        id: CallId,
        others: &[Claim],
    ) -> Result<Option<CallId>, EngineError> {
        let Some(first) = first else { return Ok(None) };
        let later = |claim: &&Claim| claim.role == Role::Caller && claim.call != id && claim.call > first;
        for claim in others.iter().filter(later) {
            if let Met::Live(call) = self.meet(claim, Some(COMMIT_WITHIN)).await? {
                return Ok(Some(call.id));
            }
        }
        Ok(None)
    }

    /// Meets the calls on the callee's line.
    pub(super) async fn meet_callees_calls(
        &self,
        request: &InviteRequest,
        id: CallId,
        callee: &Callee,
    ) -> Result<Line, EngineError> {
        if callee.blocked {
            return Ok(Line::Free);
        }
        let mut taken = 0;
        let others = callee.others.iter().filter(|claim| claim.call != id);
        let (coming_back, others): (Vec<&Claim>, Vec<&Claim>) =
            others.partition(|claim| claim.role == Role::Caller && claim.peer == request.caller.id);
        for claim in coming_back {
            // Both invites see each other's claim, so both apply the same rule: the lower id goes first.
            let within = (claim.call < id).then_some(COMMIT_WITHIN);
            match self.meet(claim, within).await? {
                Met::Live(call) if !call.hidden => match self.join(request, &call).await? {
                    Joined::In(call) => return Ok(Line::Glare(call)),
                    Joined::Elsewhere => taken += 1,
                    Joined::Over => {}
                },
                Met::Live(_) => taken += 1,
                Met::Yielding | Met::Over => {}
            }
        }
        for claim in others {
            if taken >= self.line_capacity() {
                break;
            }
            let in_the_way = claim.role == Role::Caller && claim.call > id;
            let within = if in_the_way { GIVE_WAY_WITHIN } else { COMMIT_WITHIN };
            taken += usize::from(matches!(self.meet(claim, Some(within)).await?, Met::Live(_)));
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
}
