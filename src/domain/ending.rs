//! The end of a call, whatever its reason: who must be told, what is opened, what is dropped later.
//!
//! When a call ends, and why, is `machine`'s.

use std::sync::Arc;
use std::time::Duration;

use super::call::Call;
use super::event::EventKind;
use super::ids::UserId;
use super::state::{EndReason, State};
use super::task::{StopReason, TaskKind};
use super::time::Timestamp;
use super::unknown::Unknown;
use super::webhook::{Subscribers, WebhookEvent};

/// How long it is tried to tell the backend that a call ended. What an endpoint does not take is a job's soon.
const REPORTED_FOR: Duration = Duration::from_hours(3 * 24);
/// How long it is tried to add the call to what was used, at the most: the store knows for a day longer that it was added.
const ACCOUNTED_FOR: Duration = Duration::from_hours(6 * 24);

impl Call {
    /// Ends the call: stops what rings, tells the parties, and opens what is left to do.
    pub(super) fn end(&mut self, reason: EndReason, now: Timestamp) {
        self.conclude(reason, now);
        self.close_room(None, now);
    }

    /// As [`end`](Self::end), for a party that was banned: they are taken out of the room before it is closed.
    pub(super) fn end_by_ban(&mut self, banned: &UserId, now: Timestamp) {
        self.conclude(EndReason::Banned, now);
        self.close_room(Some(banned.clone()), now);
    }

    /// As [`end`](Self::end), for a call that nobody has a token of, so that there is no room.
    pub(super) fn conclude(&mut self, reason: EndReason, now: Timestamp) {
        let was_unanswered = self.is_unanswered();
        let missed = reason.is_missed() && self.rules.missed_call && !self.hidden;
        self.part(now);
        self.nobody_stays(now);
        self.tasks.retain(|task| task.kind != TaskKind::AskPresence);
        self.stop_opening(now);
        if was_unanswered {
            self.stop_open_legs(stop_reason(reason), missed, now);
        }
        self.state = State::Ended;
        self.end_reason = Some(reason);
        self.ended_at = Some(now);
        match reason {
            EndReason::Declined => self.tell(EventKind::Declined {}, now),
            EndReason::Cancelled => self.tell(EventKind::Cancelled {}, now),
            _ => {}
        }
        self.end_recording(now);
        self.tell(EventKind::Ended { reason }, now);
        if missed {
            self.notify_missed(now);
        }
        self.free_lines(now);
        self.report(now);
    }

    fn free_lines(&mut self, now: Timestamp) {
        let until = self.retained_until();
        self.open(TaskKind::FreeLine { user: self.caller.id.clone() }, until, now);
        // A hidden call claims nothing of the callee's line.
        if !self.hidden {
            self.open(TaskKind::FreeLine { user: self.callee.id.clone() }, until, now);
        }
    }

    /// What the backend hears of, and what was used.
    fn report(&mut self, now: Timestamp) {
        let until = now + REPORTED_FOR;
        if self.presence.caller.is_some() || self.presence.callee.is_some() {
            self.open(TaskKind::Account, self.retained_until().min(now + ACCOUNTED_FOR), now);
        }
        let missed = self.end_reason.is_some_and(EndReason::is_missed) && !self.hidden;
        let Subscribers { ended, missed: of_missed, .. } = self.rules.webhooks.clone();
        let reports = ended.into_iter().map(|endpoint| (WebhookEvent::CallEnded, endpoint));
        let of_missed = of_missed.into_iter().filter(|_| missed);
        for (event, endpoint) in reports.chain(of_missed.map(|endpoint| (WebhookEvent::CallMissed, endpoint))) {
            self.open(TaskKind::Report { event, endpoint }, until, now);
        }
    }

    /// Drops what only a live call needs: push tokens. What became of each push stays, for who asks later why a phone did not ring.
    pub(super) fn compact(&mut self) {
        for leg in &mut self.legs {
            let device = Arc::make_mut(&mut leg.device);
            device.voip_token = None;
            device.alert_token = None;
            device.fcm_token = None;
            device.fcm_fid = None;
            // They may be tokens of a newer release, which leaves a compacted record as it is.
            device.unknown = Unknown::default();
        }
        self.compacted = true;
    }
}

pub(super) const fn stop_reason(reason: EndReason) -> StopReason {
    match reason {
        EndReason::Cancelled => StopReason::Cancelled,
        EndReason::Declined => StopReason::DeclinedElsewhere,
        EndReason::TimedOut => StopReason::TimedOut,
        EndReason::Completed
        | EndReason::Busy
        | EndReason::Unreachable
        | EndReason::NotConnected
        | EndReason::ConnectionLost
        | EndReason::MaxDuration
        | EndReason::Banned
        | EndReason::Failed => StopReason::Ended,
    }
}
