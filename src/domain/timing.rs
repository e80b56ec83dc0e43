//! How long the steps of a ring took, read off two records of a call: the one before a commit and the one after it.
//!
//! Whoever measures looks here alone: each step is in exactly one commit, whichever instance makes it.

use std::time::Duration;

use super::call::Call;
use super::device::Platform;
use super::ids::AppId;
use super::leg::{Leg, LegState};
use super::receipt::Receipt;

/// A step that a commit brought, of one device of the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The device's platform.
    pub platform: Platform,
    /// Its app.
    pub app: &'a AppId,
    /// Which step.
    pub step: Step<'a>,
}

/// A step of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// The first push of the ring was handed to the transport, so long after the invite was committed.
    Sent(Duration),
    /// A provider answered a push of any kind.
    Answered {
        /// The answer, with its verdict, reason and latency.
        receipt: &'a Receipt,
        /// How often it came since the commit before.
        times: u32,
    },
    /// The device said that it rings, so long after the provider took the push.
    Alerting(Duration),
    /// The device answered the call, so long after it said that it rings.
    Picked(Duration),
    /// The provider took the ring, and the device said nothing to its end.
    Silent,
}

/// The steps that are in a record and not in the one before it.
pub fn marks<'a>(before: Option<&'a Call>, after: &'a Call) -> impl Iterator<Item = Mark<'a>> {
    after.legs.iter().flat_map(move |leg| {
        let known = before.and_then(|call| call.leg(&leg.device.id));
        let steps = answers(known, leg).chain(sent(known, leg, after)).chain(words(known, leg));
        steps.map(|step| Mark { platform: leg.device.platform, app: &leg.device.app, step })
    })
}

fn answers<'a>(known: Option<&'a Leg>, leg: &'a Leg) -> impl Iterator<Item = Step<'a>> {
    leg.receipts.iter().filter_map(move |receipt| {
        let counted = known.into_iter().flat_map(|leg| &leg.receipts).find(|known| receipt.goes_on_from(known));
        let times = receipt.times() - counted.map_or(0, Receipt::times).min(receipt.times());
        (times > 0).then_some(Step::Answered { receipt, times })
    })
}

fn sent<'a>(known: Option<&Leg>, leg: &Leg, call: &Call) -> Option<Step<'a>> {
    let first = |leg: &Leg| leg.receipts.iter().find(|receipt| receipt.push == "ring" && receipt.number <= 1).cloned();
    let is_news = known.is_none_or(|known| first(known).is_none());
    first(leg).filter(|_| is_news).map(|receipt| Step::Sent(receipt.first_sent_at().since(call.created_at)))
}

fn words<'a>(known: Option<&Leg>, leg: &Leg) -> impl Iterator<Item = Step<'a>> {
    let rang_before = known.is_some_and(|known| known.alerting_at.is_some());
    let closed_before = known.is_none_or(|known| known.closed_at.is_some());
    let alerting = leg.alerting_at.filter(|_| !rang_before).zip(leg.sent_at);
    let closed = leg.closed_at.filter(|_| !closed_before);
    let picked = closed.filter(|_| leg.state == LegState::Answered).zip(leg.alerting_at);
    let silent = closed.filter(|_| leg.state == LegState::Stopped && leg.sent_at.is_some() && leg.acked_at.is_none());
    [
        alerting.map(|(at, sent)| Step::Alerting(at.since(sent))),
        picked.map(|(at, alerting)| Step::Picked(at.since(alerting))),
        silent.map(|_| Step::Silent),
    ]
    .into_iter()
    .flatten()
}
