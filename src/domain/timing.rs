//! How long the steps of a ring took, read off two records of a call: the one before a commit and the one after it.
//!
//! Whoever measures looks here alone: each step is in exactly one commit, whichever instance makes it.

use std::time::Duration;

use super::call::Call;
use super::leg::{Leg, LegState};
use super::receipt::Receipt;

/// A step that a commit brought, of one device of the callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The device's leg after it.
    pub leg: &'a Leg,
    /// Which step.
    pub step: Step,
}

/// A step of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first push of the ring that a provider answered was handed to the transport, so long after the invite was committed.
    Sent(Duration),
    /// The device said that it rings, so long after the provider took the push.
    Alerting(Duration),
    /// The device said that it rings, so long after the call's beginning.
    Rang(Duration),
    /// The device answered the call, so long after it said that it rings.
    Picked(Duration),
    /// Both parties were in the room, so long after the device answered.
    Connected(Duration),
    /// No answer can come from the device any more.
    Closed,
}

/// The steps that are in a record and not in the one before it.
pub fn marks<'a>(before: Option<&'a Call>, after: &'a Call) -> impl Iterator<Item = Mark<'a>> {
    after.legs.iter().flat_map(move |leg| {
        let known = before.and_then(|call| call.leg(&leg.device.id));
        let steps = steps(known, leg, after).into_iter().chain([connected(before, leg, after)]);
        steps.flatten().map(move |step| Mark { leg, step })
    })
}

fn steps(known: Option<&Leg>, leg: &Leg, call: &Call) -> [Option<Step>; 5] {
    // The device may be quicker than the provider's answer.
    let rang = |leg: &Leg| leg.alerting_at.zip(leg.sent_at);
    let closed_before = known.is_some_and(|known| known.closed_at.is_some());
    let sent = first_ring(leg).filter(|_| known.and_then(first_ring).is_none());
    let alerting = rang(leg).filter(|_| known.and_then(rang).is_none());
    let spoke = leg.alerting_at.filter(|_| known.is_none_or(|known| known.alerting_at.is_none()));
    let closed = leg.closed_at.filter(|_| !closed_before);
    let picked = closed.filter(|_| leg.state == LegState::Answered).zip(leg.alerting_at);
    [
        sent.map(|receipt| Step::Sent(receipt.first_sent_at().since(call.created_at))),
        alerting.map(|(at, sent)| Step::Alerting(at.since(sent))),
        spoke.map(|at| Step::Rang(at.since(call.created_at))),
        picked.map(|(at, alerting)| Step::Picked(at.since(alerting))),
        closed.map(|_| Step::Closed),
    ]
}

/// That the media came up is the step of the device that answered.
fn connected(before: Option<&Call>, leg: &Leg, call: &Call) -> Option<Step> {
    let is_new = before.is_none_or(|before| before.presence.connected_at.is_none());
    let (connected, answered) = call.presence.connected_at.zip(call.answered_at).filter(|_| is_new)?;
    (call.answered_by.as_ref() == Some(&leg.device.id)).then(|| Step::Connected(connected.since(answered)))
}

/// What a provider first answered to the ring; one that it was not given says nothing.
fn first_ring(leg: &Leg) -> Option<&Receipt> {
    leg.receipts.iter().find(|receipt| receipt.push == "ring" && receipt.number <= 1 && receipt.status.is_some())
}
