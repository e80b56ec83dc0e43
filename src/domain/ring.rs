//! The ring: one leg per device of the callee, from the first push to the one answer.
//!
//! The rules of RFC 3261's forking proxies hold (section 16.7): the first answer wins and all other branches
//! are stopped. When the state of the whole call changes is `machine`'s.

use std::sync::Arc;

use super::call::Call;
use super::device::Platform;
use super::ending::stop_reason;
use super::event::EventKind;
use super::ids::DeviceId;
use super::input::DeclineReason;
use super::leg::{Leg, LegState};
use super::receipt::Receipt;
use super::state::{EndReason, State};
use super::task::{StopReason, TaskKind};
use super::time::Timestamp;

/// How long a device that missed the stop push may be told again.
const STOP_FOR: std::time::Duration = std::time::Duration::from_mins(1);
/// How long a missed call is news.
const MISSED_FOR: std::time::Duration = std::time::Duration::from_hours(24);

impl Call {
    pub(super) fn leg_mut(&mut self, device: &DeviceId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.device.id == *device)
    }

    /// Opens a ring task for every leg that needs a push.
    pub(super) fn ring_legs(&mut self, now: Timestamp) {
        let mut rings = Vec::new();
        for leg in self.legs.iter().filter(|leg| leg.state == LegState::Queued) {
            let (device, platform) = (leg.device.id.clone(), leg.device.platform);
            rings.push(TaskKind::Ring { device: device.clone(), platform, number: 1 });
            if self.rules.push.wants_alert(&leg.device) {
                rings.push(TaskKind::RingAlert { device, platform });
            }
        }
        for ring in rings {
            self.open(ring, self.ring_until, now);
        }
    }

    /// A device was in touch with the gateway and said nothing of its ring. Returns whether that was news.
    pub(super) fn contacted(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        let counted = self.leg(device).is_some_and(|leg| self.rules.push.counts_silence(&leg.device));
        match self.leg_mut(device).filter(|leg| counted && leg.is_silent() && leg.contacted_at.is_none()) {
            Some(leg) => leg.contacted_at = Some(now),
            None => return false,
        }
        true
    }

    /// A device spoke when its ring was over. Returns whether that was news.
    pub(super) fn came_late(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        match self.leg_mut(device).filter(|leg| leg.can_be_late()) {
            Some(leg) => leg.late_at = Some(now),
            None => return false,
        }
        true
    }

    /// A browser has no event stream any more. Returns whether that was news.
    pub(super) fn gone(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        match self.leg_mut(device).filter(|leg| leg.is_by_stream() && leg.gone_at.is_none()) {
            Some(leg) => leg.gone_at = Some(now),
            None => return false,
        }
        true
    }

    /// Whether a browser that rings is thought to have no stream.
    pub fn misses_a_browser(&self) -> bool {
        self.legs.iter().any(|leg| leg.gone_for_good_at().is_some())
    }

    /// A browser has a stream, or speaks without one. Returns whether that was news.
    pub(super) fn back(&mut self, device: &DeviceId) -> bool {
        self.leg_mut(device).is_some_and(|leg| leg.is_by_stream() && leg.gone_at.take().is_some())
    }

    /// Closes the legs of browsers that did not come back in time; the call ends if no other is left.
    pub(super) fn close_gone(&mut self, now: Timestamp) {
        let is_gone = |leg: &&mut Leg| leg.gone_for_good_at().is_some_and(|at| at <= now);
        let gone = self.legs.iter_mut().filter(is_gone).map(|leg| leg.disconnect(now)).count();
        if gone > 0
            && let Some(reason) = self.exhausted()
        {
            self.end(reason, now);
        }
    }

    /// A device rings. Returns whether that was news.
    pub(super) fn alert(&mut self, device: &DeviceId, now: Timestamp) -> bool {
        let was_gone = self.back(device);
        let Some(leg) = self.leg_mut(device) else { return false };
        if leg.state == LegState::Failed || (leg.state.is_open() && leg.state != LegState::Alerting) {
            leg.state = LegState::Alerting;
            leg.reason = None;
            leg.closed_at = None;
            // A browser that was written off speaks.
            leg.gone_at = None;
            leg.alerting_at = Some(now);
            leg.acked_at.get_or_insert(now);
        } else {
            return was_gone;
        }
        self.has_push(device, now);
        if self.state == State::Calling {
            self.state = State::Ringing;
            self.ringing_at = Some(now);
            self.tell(EventKind::Ringing {}, now);
        }
        true
    }

    /// A device could not ring. Returns whether that was news.
    pub(super) fn not_rung(&mut self, device: &DeviceId, reason: &str, now: Timestamp) -> bool {
        let was_gone = self.back(device);
        match self.leg_mut(device) {
            Some(leg) if leg.state.is_open() && leg.state != LegState::NotRung => {
                leg.state = LegState::NotRung;
                leg.reason = Some(reason.to_owned());
                leg.not_rung.clone_from(&leg.reason);
                leg.acked_at.get_or_insert(now);
            }
            _ => return was_gone,
        }
        self.has_push(device, now);
        true
    }

    /// A device has spoken, so it has the push, whatever the provider's answer will be: no further attempt begins.
    fn has_push(&mut self, device: &DeviceId, now: Timestamp) {
        self.tasks.retain(|task| task.attempt > 0 || !task.kind.rings(device));
        for task in self.tasks.iter_mut().filter(|task| task.kind.rings(device)) {
            task.until = task.until.min(now);
        }
    }

    /// The answer: the winner's leg is answered, every other one is stopped, and the call is active.
    pub(super) fn answer(&mut self, winner: Option<&DeviceId>, now: Timestamp) {
        if let Some(leg) = winner.and_then(|device| self.leg_mut(device)) {
            leg.close(LegState::Answered, None, now);
            leg.acked_at.get_or_insert(now);
        }
        self.state = State::Active;
        self.answered_at = Some(now);
        self.answered_by = winner.cloned();
        self.tell(EventKind::Answered { device_id: winner.cloned() }, now);
        self.stop_open_legs(StopReason::AnsweredElsewhere, false, now);
    }

    /// Why the ring of a device is over, once it is, in the word of the push that stops it; nothing for the device that talks.
    pub fn stop_reason(&self, device: &DeviceId) -> Option<StopReason> {
        let state = self.leg(device).map(|leg| leg.state);
        match self.end_reason {
            _ if self.answered_at.is_some() && state != Some(LegState::Answered) => Some(StopReason::AnsweredElsewhere),
            Some(EndReason::Declined) if state == Some(LegState::Declined) => Some(StopReason::Ended),
            reason => reason.map(stop_reason),
        }
    }

    /// One device is out.
    pub(super) fn drop_leg(&mut self, device: &DeviceId, reason: DeclineReason, now: Timestamp) {
        self.tasks.retain(|task| !task.kind.rings(device));
        if let Some(leg) = self.leg_mut(device) {
            let state = match reason {
                DeclineReason::Declined => LegState::Declined,
                DeclineReason::Busy => LegState::Busy,
            };
            leg.close(state, None, now);
            leg.acked_at.get_or_insert(now);
        }
    }

    /// How the call ends because no leg is left from which an answer could come.
    pub(super) fn exhausted(&self) -> Option<EndReason> {
        let any = |state| self.legs.iter().any(|leg| leg.state == state);
        if self.legs.iter().any(|leg| leg.state.is_open()) {
            None
        } else if any(LegState::Declined) {
            Some(EndReason::Declined)
        } else if any(LegState::Busy) {
            Some(EndReason::Busy)
        } else {
            Some(EndReason::Unreachable)
        }
    }

    /// Notes what a provider said about a leg, and what follows for its ring.
    pub(super) fn push_settled(&mut self, kind: &TaskKind, settled: Settled, receipts: &[Receipt], now: Timestamp) {
        let Some(device) = kind.device() else { return };
        self.note(device, receipts);
        let Some(leg) = self.leg_mut(device) else { return };
        let last = receipts.last();
        if let (Settled::Accepted, Some(environment)) = (settled, last.and_then(|receipt| receipt.environment))
            && leg.device.environment != environment
        {
            // The other pushes of this call need not ask the wrong host first.
            Arc::make_mut(&mut leg.device).environment = environment;
        }
        // The alert goes beside the ring: whether the phone can be rung is not for it to say.
        let TaskKind::Ring { number, .. } = kind else { return };
        if settled == Settled::Accepted {
            leg.sent_at.get_or_insert(last.map_or(now, |last| last.at));
        }
        if !leg.is_silent() {
            return;
        }
        match settled {
            Settled::Accepted => {
                leg.state = LegState::Sent;
                self.ring_again(device, *number, now);
            }
            // An earlier push was taken, and may ring yet; unless it was for nobody.
            Settled::Refused if *number > 1 && last.is_none_or(|last| last.verdict != Receipt::DEAD_TOKEN) => {}
            Settled::Refused => {
                leg.close(LegState::Failed, last.map(|last| last.reason.clone()), now);
                self.tasks.retain(|task| !task.kind.rings(device));
            }
            Settled::Later => {}
        }
    }

    /// Stops every leg that may be ringing, and tells its device unless a missed-call push will.
    pub(super) fn stop_open_legs(&mut self, reason: StopReason, missed_follows: bool, now: Timestamp) {
        self.tasks.retain(|task| !task.kind.is_ring());
        let mut stops = Vec::new();
        for leg in self.legs.iter_mut().filter(|leg| leg.state.is_open()) {
            leg.close(LegState::Stopped, Some(reason.as_str().to_owned()), now);
            // On Android the missed-call push replaces the ring under the same collapse key.
            let replaced = missed_follows && leg.device.platform == Platform::Android;
            if self.rules.push.can_stop(&leg.device) && !replaced {
                stops.push((leg.device.id.clone(), leg.device.platform));
            }
        }
        for (device, platform) in stops {
            self.open(TaskKind::StopRing { device, platform, reason }, now + STOP_FOR, now);
        }
    }

    /// Opens a missed-call push for every device that one can still reach.
    pub(super) fn notify_missed(&mut self, now: Timestamp) {
        let reachable: Vec<_> = self
            .legs
            .iter()
            .filter(|leg| leg.state != LegState::Failed || leg.device.notice_token() != leg.device.ring_token())
            .filter(|leg| leg.device.notice_token().is_some())
            .map(|leg| (leg.device.id.clone(), leg.device.platform))
            .collect();
        for (device, platform) in reachable {
            self.open(TaskKind::NotifyMissed { device, platform }, now + MISSED_FOR, now);
        }
    }
}

/// What a provider's answer means for a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Taken.
    Accepted,
    /// Refused for good.
    Refused,
    /// To be tried again.
    Later,
}
