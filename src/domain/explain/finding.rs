//! Which cause it is: from what the record says of a leg, and of a device that has none.
//!
//! What the device said counts first, then whether a provider took the ring, then why none did.

use super::Around;
use super::cause::Cause;
use super::refusal::{self, Answer};
use crate::domain::call::Call;
use crate::domain::device::{Device, IosPushMode, Platform};
use crate::domain::leg::{Leg, LegState, WORD_WITHIN};
use crate::domain::receipt::Receipt;
use crate::domain::state::EndReason;
use crate::domain::task::StopReason;
use crate::domain::time::Timestamp;

/// The last that a device said of its ring, but for an answer or a decline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// That it rings.
    Rings(Timestamp),
    /// That it could not, and why.
    NotRung(&'a str),
}

/// What a device last said of its ring.
pub(super) fn last_word(leg: &Leg) -> Option<Word<'_>> {
    // Older releases wrote it down with the state alone.
    let of_state = leg.reason.as_deref().filter(|_| leg.state == LegState::NotRung);
    let refused = leg.not_rung.as_deref().or(of_state);
    match (leg.alerting_at, refused) {
        // It rang, and then said that it could not: only the first word has a time of its own.
        (Some(at), Some(reason)) if leg.acked_at.is_none_or(|first| first >= at) && leg.state != LegState::Alerting => {
            Some(Word::NotRung(reason))
        }
        (Some(at), _) => Some(Word::Rings(at)),
        (None, Some(reason)) => Some(Word::NotRung(reason)),
        (None, None) => None,
    }
}

/// Why the device of a leg rang or did not.
pub(super) fn of_leg(call: &Call, leg: &Leg, now: Timestamp) -> Cause {
    match leg.state {
        LegState::Answered => Cause::Answered,
        LegState::Declined => Cause::Declined,
        LegState::Busy => Cause::BusyOnDevice,
        LegState::Alerting => Cause::Rings,
        LegState::NotRung => could_not_ring(leg.reason.as_deref().unwrap_or_default()),
        LegState::Failed => failed(leg),
        LegState::Stopped if was_busy_at_once(call) => Cause::CalleeBusy,
        LegState::Queued | LegState::Sent | LegState::Stopped => match last_word(leg) {
            Some(Word::NotRung(reason)) => could_not_ring(reason),
            Some(Word::Rings(_)) => rang(call, leg),
            None => unheard(call, leg, now),
        },
    }
}

/// Why a device that the callee has now takes no part in the call.
pub(super) fn of_outsider(call: &Call, device: &Device, around: &Around<'_>) -> Cause {
    if call.hidden {
        Cause::BlockedCaller
    } else if around.callee_banned_at.is_some_and(|at| at <= call.created_at) {
        Cause::CalleeBanned
    } else if device.registered_at > call.created_at {
        Cause::RegisteredLater
    } else if device.platform == Platform::Web {
        Cause::BrowserNotConnected
    } else {
        Cause::NotAddressed
    }
}

/// Whether the call found the callee's line taken, so that nothing was pushed.
pub(super) fn was_busy_at_once(call: &Call) -> bool {
    call.end_reason == Some(EndReason::Busy) && call.ended_at == Some(call.created_at)
}

/// The last answer about the ring, one from outside if there is any.
pub(super) fn last_ring(leg: &Leg) -> Option<&Receipt> {
    // That pushes were held back says less than what made it so, where this device saw that itself.
    let held_back = |receipt: &&Receipt| receipt.reason.starts_with("held-back");
    rings(leg).rfind(|receipt| !held_back(receipt)).or_else(|| rings(leg).next_back())
}

/// The answers about the ring, in order.
pub(super) fn rings(leg: &Leg) -> impl DoubleEndedIterator<Item = &Receipt> {
    leg.receipts.iter().filter(|receipt| receipt.push == "ring")
}

/// The pushes of the ring that were taken, in order.
pub(super) fn taken(leg: &Leg) -> impl DoubleEndedIterator<Item = &Receipt> {
    rings(leg).filter(|receipt| was_taken(receipt))
}

/// Older releases noted no verdict.
pub(super) fn was_taken(receipt: &Receipt) -> bool {
    receipt.verdict == Receipt::ACCEPTED || (receipt.verdict.is_empty() && receipt.status == Some(200))
}

/// When a provider first took the ring.
pub(super) fn taken_at(leg: &Leg) -> Option<Timestamp> {
    taken(leg).next().map(|receipt| receipt.since.unwrap_or(receipt.at)).or(leg.sent_at)
}

/// Whether the callee answered by a call of their own, so that no device of this one did.
pub(super) fn answered_by_calling(call: &Call) -> bool {
    call.answered_at.is_some() && !call.legs.iter().any(|leg| leg.state == LegState::Answered)
}

fn could_not_ring(reason: &str) -> Cause {
    match reason {
        "do_not_disturb" | "focus" => Cause::DoNotDisturb,
        "block_list" | "blocked" => Cause::BlockedOnDevice,
        "no_permission" | "permission" | "permission_denied" | "unentitled" => Cause::NoPermission,
        _ => Cause::CouldNotRing,
    }
}

fn rang(call: &Call, leg: &Leg) -> Cause {
    match call.stop_reason(&leg.device.id) {
        None => Cause::Rings,
        Some(StopReason::AnsweredElsewhere) if answered_by_calling(call) => Cause::CalledElsewhere,
        Some(StopReason::AnsweredElsewhere) => Cause::RangAnsweredElsewhere,
        Some(StopReason::DeclinedElsewhere) => Cause::RangDeclinedElsewhere,
        Some(StopReason::Cancelled) => Cause::RangCancelled,
        Some(StopReason::TimedOut) => Cause::RangUnanswered,
        Some(StopReason::Ended) => Cause::RangUntilEnd,
    }
}

fn failed(leg: &Leg) -> Cause {
    let of_reason = Answer { reason: leg.reason.as_deref().unwrap_or_default(), ..Answer::default() };
    refusal::cause(last_ring(leg).map_or(of_reason, Answer::from))
}

/// Of a device that has said nothing of its ring.
fn unheard(call: &Call, leg: &Leg, now: Timestamp) -> Cause {
    let over_at = leg.closed_at.or(call.ended_at);
    let until = over_at.unwrap_or(now);
    if leg.device.platform == Platform::Web {
        return match over_at {
            None if until.since(call.created_at) < WORD_WITHIN => Cause::WaitingForWord,
            Some(_) if until.since(call.created_at) < WORD_WITHIN => stopped_soon(call, leg),
            _ => Cause::BrowserSilent,
        };
    }
    if leg.late_at.is_some() {
        return Cause::CameLate;
    }
    match (taken_at(leg), last_ring(leg)) {
        (Some(at), _) if until.since(at) < WORD_WITHIN => match over_at {
            None => Cause::WaitingForWord,
            Some(_) => stopped_soon(call, leg),
        },
        (Some(_), _) => silent(leg),
        (None, Some(refused)) => refusal::cause(refused.into()),
        (None, None) if over_at.is_none() => Cause::OnItsWay,
        (None, None) if until.since(call.created_at) < WORD_WITHIN => Cause::EndedBeforePush,
        (None, None) => Cause::NoRecord,
    }
}

fn stopped_soon(call: &Call, leg: &Leg) -> Cause {
    let elsewhere = call.stop_reason(&leg.device.id) == Some(StopReason::AnsweredElsewhere);
    if elsewhere && answered_by_calling(call) { Cause::CalledElsewhere } else { Cause::StoppedSoon }
}

/// Of a phone whose provider took the ring, and that has had time to say so.
fn silent(leg: &Leg) -> Cause {
    let device = &leg.device;
    let has_alert = leg.receipts.iter().any(|receipt| receipt.push == "ring_alert" && was_taken(receipt));
    let is_known = device.acks.since.is_some();
    match device.platform {
        _ if has_alert => Cause::SilentBesideAlert,
        _ if leg.contacted_at.is_some() => Cause::SilentInTouch,
        _ if taken(leg).any(|receipt| receipt.number > 1) => Cause::PushedAgain,
        Platform::Ios if device.ios_push_mode == IosPushMode::Alert => Cause::AlertMode,
        Platform::Ios if is_known => Cause::SilentIphone,
        Platform::Android if is_known => Cause::SilentAndroid,
        Platform::Ios => Cause::UnackedIphone,
        Platform::Android => Cause::UnackedAndroid,
        Platform::Web => Cause::BrowserSilent,
    }
}
