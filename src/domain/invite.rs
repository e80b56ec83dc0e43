//! The first record of a call: what an invite brings, and how it stands at once.
//!
//! Who may call whom, and whose line is taken, is known to the engine before it comes here.

use std::sync::Arc;

use super::call::{Call, Party, Rules};
use super::device::Device;
use super::event::{Event, EventKind};
use super::ids::{CallId, DeviceId, UserId};
use super::leg::{Leg, LegState};
use super::presence::Presence;
use super::state::{EndReason, Media, State};
use super::time::Timestamp;
use super::unknown::Unknown;

/// What an invite brings.
#[derive(Debug, Clone)]
pub struct Invite {
    /// The id of the call.
    pub id: CallId,
    /// Who calls.
    pub caller: Party,
    /// From which device, if it was named.
    pub caller_device: Option<DeviceId>,
    /// Who is called.
    pub callee: UserId,
    /// The one device of theirs that is rung, if it is named; `devices` has no other.
    pub callee_device: Option<DeviceId>,
    /// Sound or pictures.
    pub media: Media,
    /// The room's name.
    pub room: String,
    /// The app's own data.
    pub metadata: Option<Arc<serde_json::Value>>,
    /// The rules of this call.
    pub rules: Rules,
    /// When an unanswered call ends.
    pub ring_until: Timestamp,
    /// The callee's devices.
    pub devices: Vec<Device>,
    /// Whether the callee's line is taken.
    pub busy: bool,
    /// Whether the callee has blocked the caller.
    pub hidden: bool,
}

/// The first record of a call: calling, or ended at once as `busy` or `unreachable`.
pub fn begin(invite: Invite, now: Timestamp) -> Call {
    let mut legs: Vec<Leg> = invite.devices.into_iter().map(|device| Leg::new(device, now)).collect();
    let reachable = legs.iter().any(|leg| leg.state.is_open());
    if invite.hidden {
        // Of a blocked caller's call the callee's devices learn nothing.
        legs.clear();
    }
    let mut call = Call {
        id: invite.id,
        version: 1,
        state: State::Calling,
        end_reason: None,
        caller: invite.caller,
        caller_device: invite.caller_device,
        callee: Party { id: invite.callee, name: None, avatar: None, unknown: Unknown::default() },
        callee_device: invite.callee_device,
        media: invite.media,
        room: invite.room,
        metadata: invite.metadata,
        hidden: invite.hidden,
        rules: invite.rules,
        created_at: now,
        ring_until: invite.ring_until,
        ringing_at: None,
        answered_at: None,
        answered_by: None,
        ended_at: None,
        presence: Presence::default(),
        recording: None,
        legs,
        tasks: Vec::new(),
        next_task: 1,
        events: vec![Event::new(1, now, EventKind::Invited {})],
        compacted: false,
        trace: None,
        unknown: Unknown::default(),
    };
    if invite.busy && !invite.hidden {
        // Nothing was pushed, so there is nothing to stop; the missed call is still news.
        call.legs.iter_mut().for_each(|leg| leg.state = LegState::Stopped);
        call.conclude(EndReason::Busy, now);
    } else if reachable {
        call.ring_legs(now);
        // Also where the callee must not notice: a room that is not there would tell the caller.
        call.open_room(now);
    } else {
        call.conclude(EndReason::Unreachable, now);
    }
    call
}
