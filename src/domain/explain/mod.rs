//! Why a phone rang or did not, in words: the record of a call, read for a person who asks.
//!
//! `finding` names the cause of each device and `refusal` that of a push which was not taken; `cause` is the table of all causes, `verdict`,
//! `outsider` and `summary` are the sentences. How it looks on the wire is `http`'s. No push token comes into any of it.

mod cause;
mod finding;
mod outsider;
mod refusal;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;

pub use cause::Cause;

use super::call::Call;
use super::device::Device;
use super::leg::{Leg, LegState};
use super::receipt::Receipt;
use super::time::Timestamp;
use finding::Word;

/// What is known of the callee beside the record, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Their devices.
    pub devices: &'a [Device],
    /// Since when they are banned, if they are.
    pub callee_banned_at: Option<Timestamp>,
    /// When it is asked.
    pub now: Timestamp,
}

/// A call explained.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// How the call went, in one sentence.
    pub summary: String,
    /// The devices that take part, and then those that the callee has now and that do not.
    pub devices: Vec<DeviceExplanation<'a>>,
}

/// One device explained.
#[derive(Debug)]
pub struct DeviceExplanation<'a> {
    /// The device: as it was when the call began, if it takes part.
    pub device: &'a Device,
    /// Its leg, if it takes part.
    pub leg: Option<&'a Leg>,
    /// Why it rang or did not.
    pub cause: Cause,
    /// The same in one sentence with the facts.
    pub verdict: String,
    /// What it said of its ring, if anything.
    pub ack: Option<Ack<'a>>,
    /// How its ring was stopped, if it was.
    pub stop: Option<Stop<'a>>,
}

/// What a device said of its ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack<'a> {
    /// `alerting` or `not_rung`; `answered`, `declined` or `busy` where that was all that it said.
    pub kind: &'static str,
    /// Why it could not ring.
    pub reason: Option<&'a str>,
    /// When; of `not_rung` after `alerting`, when it first spoke.
    pub at: Option<Timestamp>,
}

/// How the ring of a device was stopped from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop<'a> {
    /// Why, in the word of the push that stops.
    pub reason: Option<&'a str>,
    /// When.
    pub at: Option<Timestamp>,
    /// The push that told the device, if a provider took one; who is connected hears it without.
    pub told_by: Option<&'a Receipt>,
}

/// Explains a call.
pub fn explain<'a>(call: &'a Call, around: &Around<'a>) -> Explanation<'a> {
    let legs = call.legs.iter().map(|leg| {
        let cause = finding::of_leg(call, leg, around.now);
        DeviceExplanation {
            device: &leg.device,
            leg: Some(leg),
            cause,
            verdict: verdict::of_leg(call, leg, cause),
            ack: ack(leg),
            stop: stop(leg),
        }
    });
    let outsiders = around.devices.iter().filter(|device| call.leg(&device.id).is_none()).map(|device| {
        let cause = finding::of_outsider(call, device, around);
        let verdict = outsider::verdict(call, device, cause);
        DeviceExplanation { device, leg: None, cause, verdict, ack: None, stop: None }
    });
    Explanation { summary: summary::of(call, around), devices: legs.chain(outsiders).collect() }
}

fn ack(leg: &Leg) -> Option<Ack<'_>> {
    let said = |kind| Some(Ack { kind, reason: None, at: leg.acked_at.or(leg.closed_at) });
    match (finding::last_word(leg), leg.state) {
        (Some(Word::Rings(at)), _) => Some(Ack { kind: "alerting", reason: None, at: Some(at) }),
        (Some(Word::NotRung(reason)), _) => Some(Ack { kind: "not_rung", reason: Some(reason), at: leg.acked_at }),
        (None, LegState::Answered) => said("answered"),
        (None, LegState::Declined) => said("declined"),
        (None, LegState::Busy) => said("busy"),
        // A record of an older release, which noted no times.
        (None, LegState::Alerting) => said("alerting"),
        (None, LegState::Queued | LegState::Sent | LegState::NotRung | LegState::Stopped | LegState::Failed) => None,
    }
}

fn stop(leg: &Leg) -> Option<Stop<'_>> {
    let told = |receipt: &&Receipt| matches!(receipt.push.as_ref(), "stop" | "missed") && finding::was_taken(receipt);
    (leg.state == LegState::Stopped).then(|| Stop {
        reason: leg.reason.as_deref(),
        at: leg.closed_at,
        told_by: leg.receipts.iter().find(told),
    })
}
