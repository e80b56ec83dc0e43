//! What a call's records and a push's report say of the loop from invite to answer.
//!
//! Each commit is seen once, by the instance that made it, so that the sum over instances is right.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;

use super::metrics::{Answered, CallEnd, LegEnd, Metrics, Pushed, observe};
use crate::domain::leg::WORD_WITHIN;
use crate::domain::timing::marks;
use crate::domain::{Call, Device, EndReason, Leg, LegState, Mark, Step};

/// Calls that came to the same state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reached {
    state: &'static str,
}

/// An attempt to push, as `dispatch` knows it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// To which device.
    pub device: &'a Device,
    /// `apns`, `fcm` or `none`.
    pub provider: &'static str,
    /// `ring`, `ring_alert`, `stop`, `missed` or `proof`.
    pub push: &'static str,
    /// What was made of the answer.
    pub verdict: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why it was refused.
    pub reason: &'a str,
    /// From handing it to the connections to the answer.
    pub latency: Duration,
}

impl Metrics {
    /// Notes what became of an attempt to push.
    pub fn pushed(&self, attempt: &Attempt<'_>) {
        let Attempt { device, provider, push, .. } = *attempt;
        let app = self.app(device);
        if attempt.status.is_some() {
            observe(&self.push_seconds, &Pushed { provider, app: app.clone(), push }, attempt.latency);
        }
        let (verdict, status) = (attempt.verdict, attempt.status.unwrap_or(0));
        let answered = Answered { provider, app, push, verdict, status, reason: self.reason(attempt.reason) };
        self.pushes.get_or_create(&answered).inc();
    }

    /// Notes what a commit changed.
    pub fn committed(&self, call: &Call, before: Option<&Call>) {
        for Mark { leg, step } in marks(before, call) {
            let kind = || self.kind(&leg.device);
            match step {
                Step::Sent(after) => observe(&self.ring_sent_seconds, &kind(), after),
                Step::Alerting(after) => observe(&self.ring_alerting_seconds, &kind(), after),
                Step::Rang(after) => observe(&self.ring_seconds, &kind(), after),
                Step::Picked(after) => observe(&self.ring_answer_seconds, &kind(), after),
                Step::Connected(after) => observe(&self.ring_media_seconds, &kind(), after),
                Step::Closed => drop(self.legs.get_or_create(&self.leg_end(leg)).inc()),
            }
        }
        if before.is_none_or(|before| before.state != call.state) {
            self.call_states.get_or_create(&Reached { state: call.state.as_str() }).inc();
        }
        self.begun_late(call, before);
        let was_live = before.is_none_or(|before| before.end_reason.is_none());
        if let Some(reason) = call.end_reason.filter(|_| was_live) {
            if let (EndReason::TimedOut, Some(ended)) = (reason, call.ended_at) {
                self.ring_end_late_seconds.observe(ended.since(call.ring_until).as_secs_f64());
            }
            let labels = CallEnd { media: call.media.as_str(), reason: reason.as_str() };
            self.calls.get_or_create(&labels).inc();
        }
    }

    fn leg_end(&self, leg: &Leg) -> LegEnd {
        let rang_for = leg.closed_at.zip(leg.sent_at).map_or(Duration::ZERO, |(closed, sent)| closed.since(sent));
        let acked = match leg.acked_at {
            Some(_) => "yes",
            None if leg.state == LegState::Stopped && rang_for < WORD_WITHIN => "too_soon",
            None => "no",
        };
        let (platform, app) = (leg.device.platform.as_str(), self.app(&leg.device));
        LegEnd { platform, app, state: leg.state.as_str(), acked }
    }
}
