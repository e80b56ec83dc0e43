//! One sentence for a call: how it stands or ended, and who rang.

use super::Around;
use super::finding::{answered_by_calling, was_busy_at_once};
use super::verdict::after;
use crate::domain::call::Call;
use crate::domain::leg::{Leg, LegState};
use crate::domain::state::{EndReason, State};
use crate::domain::time::millis;

/// The sentence.
pub(super) fn of(call: &Call, around: &Around<'_>) -> String {
    let (caller, callee) = (&call.caller.id, &call.callee.id);
    if call.hidden {
        return format!(
            "{callee} has blocked {caller}, so nothing was pushed, and {caller} cannot tell it from a call that nobody answers."
        );
    }
    let ended = call.ended_at.map(|at| after(call, at)).unwrap_or_default();
    match (call.state, call.end_reason) {
        (State::Calling, _) => format!("No device of {callee} has said yet that it rings."),
        (State::Ringing, _) => {
            format!("{} for {caller}'s call; nobody has answered yet.", rings(call, "rings", "ring"))
        }
        (State::Active, _) => format!("{}, and the call goes on.", answered(call)),
        (State::Ended, Some(EndReason::Unreachable)) => unreachable(call, around),
        (State::Ended, Some(EndReason::Busy)) if was_busy_at_once(call) => {
            format!("{callee} was on another call, so no device was rung.")
        }
        (State::Ended, Some(EndReason::Busy)) => {
            format!(
                "Every device that could have answered said that {callee} is on another call; the call ended at {ended}."
            )
        }
        (State::Ended, Some(EndReason::Declined)) => match call.legs.iter().find(|leg| leg.state == LegState::Declined)
        {
            Some(leg) => format!("{callee} declined on {} at {ended}.", leg.device.id),
            None => format!("{callee} declined at {ended}."),
        },
        (State::Ended, Some(EndReason::Cancelled)) => format!("{caller} gave up at {ended}; {}.", who_rang(call)),
        (State::Ended, Some(EndReason::TimedOut)) => {
            let seconds = call.ring_until.since(call.created_at).as_secs();
            format!("Nobody answered within {seconds} s; {}.", who_rang(call))
        }
        (State::Ended, Some(EndReason::Completed)) => {
            format!(
                "{}, and the call was hung up at {ended}, after {} s of talk.",
                answered(call),
                call.presence.talk_ms / 1000
            )
        }
        (State::Ended, Some(EndReason::NotConnected)) => {
            format!(
                "{}, but the two were not both in the room within {} s.",
                answered(call),
                call.rules.connect_timeout_ms / 1000
            )
        }
        (State::Ended, Some(EndReason::ConnectionLost)) => {
            format!("{}, and the call ended at {ended}, since a party was lost and did not come back.", answered(call))
        }
        (State::Ended, Some(EndReason::MaxDuration)) => {
            format!("{}, and the call ended at {ended}, as long as calls may last.", answered(call))
        }
        (State::Ended, Some(EndReason::Banned)) => {
            format!("A party was banned at {ended}, which ended the call; {}.", who_rang(call))
        }
        (State::Ended, Some(EndReason::Failed) | None) => {
            format!("The gateway could not go on at {ended}; its log says why.")
        }
    }
}

fn unreachable(call: &Call, around: &Around<'_>) -> String {
    let callee = &call.callee.id;
    if !call.legs.is_empty() {
        let took = call.ended_at.map_or(0, |at| millis(at.since(call.created_at)));
        return format!("No device of {callee} could be rung: the last of {} failed after {took} ms.", call.legs.len());
    }
    if around.callee_banned_at.is_some_and(|at| at <= call.created_at) {
        return format!("{callee} is banned, so no device was rung.");
    }
    format!("{callee} had no registered device that could be rung.")
}

fn answered(call: &Call) -> String {
    let callee = &call.callee.id;
    let at = call.answered_at.map(|at| format!(" at {}", after(call, at))).unwrap_or_default();
    match &call.answered_by {
        _ if call.answered_at.is_none() => "Nobody had answered".to_owned(),
        _ if answered_by_calling(call) => {
            format!("{callee} called {} at the same moment, which answered{at}", call.caller.id)
        }
        Some(device) => format!("{callee} answered on {device}{at}"),
        None => format!("{callee} answered{at}"),
    }
}

fn who_rang(call: &Call) -> String {
    match rang(call).next() {
        None => "no device had said that it rings".to_owned(),
        Some(_) => format!("it rang on {}", names(call)),
    }
}

fn rings(call: &Call, one: &str, several: &str) -> String {
    let verb = if rang(call).count() == 1 { one } else { several };
    format!("{} {verb}", names(call))
}

fn names(call: &Call) -> String {
    let names: Vec<_> = rang(call).map(|leg| leg.device.id.as_str()).collect();
    names.join(" and ")
}

/// The devices that said that they ring.
fn rang(call: &Call) -> impl Iterator<Item = &Leg> {
    call.legs.iter().filter(|leg| leg.alerting_at.is_some() || leg.state == LegState::Alerting)
}
