//! The state machine of a call: `step` takes its record from one input to the next.
//!
//! Its first record is made in `invite`, and what an end brings with it is in `ending`. Pure: the time comes in, the next record comes out, and nothing else happens. `docs/STATE-MACHINE.md` has the table of
//! every state against every input; a test walks it.

use super::call::Call;
use super::device::Device;
use super::ids::{DeviceId, UserId};
use super::input::{DeclineReason, Input, Outcome, Refusal, RefusalReason};
use super::leg::{Leg, LegState};
use super::recording::AskedBy;
use super::ring::Settled;
use super::state::{DeclineScope, EndReason, State};
use super::task::{Task, TaskKind, TaskResult};
use super::time::Timestamp;

/// Takes a call through one input.
pub fn step(call: &Call, input: &Input, now: Timestamp) -> Result<Outcome, Refusal> {
    let mut next = call.clone();
    match apply(&mut next, input, now) {
        Ok(Effect::Changed) if next == *call => Ok(Outcome::Ignored("it changes nothing")),
        Ok(Effect::Changed) => Ok(Outcome::Applied(Box::new(next))),
        Ok(Effect::Nothing(why)) => Ok(Outcome::Ignored(why)),
        Err(why) => Err(Refusal { state: call.state, input: input.name(), why }),
    }
}

/// The most legs of a call, so that its record stays small however many devices are registered while it rings.
const MAX_LEGS: usize = 16;

enum Effect {
    Changed,
    Nothing(&'static str),
}

const DUPLICATE: Effect = Effect::Nothing("this is known already");
const LATE: Effect = Effect::Nothing("the call has gone on since");

fn apply(call: &mut Call, input: &Input, now: Timestamp) -> Result<Effect, RefusalReason> {
    match input {
        Input::LegAdded(device) => Ok(add_leg(call, device, now)),
        Input::DeviceAlerting(device) => {
            rings(call, device)?;
            Ok(changed_if(call.alert(device, now)))
        }
        Input::DeviceNotRung(device, reason) => {
            rings(call, device)?;
            Ok(changed_if(call.not_rung(device, reason, now)))
        }
        Input::DeviceContacted(device) => Ok(if_live(call, |call| call.contacted(device, now))),
        Input::DeviceLate(device) => Ok(changed_if(call.came_late(device, now))),
        Input::DeviceGone(device) => Ok(changed_if(call.gone(device, now))),
        Input::DeviceBack(device) => Ok(changed_if(call.back(device))),
        Input::Answer(device) => answer(call, device, now),
        Input::InvitedBack(device) => invited_back(call, device.as_ref(), now),
        Input::Decline(device, reason) => decline(call, device, *reason, now),
        // An answer that came first stands: it was not this call that the caller gave up.
        Input::Redialled if call.state == State::Active => Ok(LATE),
        Input::Cancel | Input::Redialled => Ok(finish(call, EndReason::Cancelled, now)),
        Input::HangUp(user) => hang_up(call, user, now),
        Input::TaskFinished { task, attempt, result } => Ok(task_finished(call, *task, *attempt, result, now)),
        Input::PushTold(device, receipts) => Ok(changed_if(call.told(device, receipts))),
        Input::ParticipantJoined(user, session) if call.is_ended() => {
            Ok(changed_if(call.joined_too_late(user, session, now)))
        }
        Input::ParticipantJoined(user, session) => Ok(changed_if(call.joined(user, session, now))),
        Input::ParticipantLeft { user, session, reason } => {
            Ok(if_live(call, |call| call.left(user, session, reason, now)))
        }
        Input::RoomStarted => Ok(changed_if(call.room_started(now))),
        // The caller waits in the room, or will come back to it.
        Input::RoomFinished if call.is_unanswered() => Ok(changed_if(call.open_room(now))),
        Input::RoomFinished | Input::PresenceDoubted => Ok(doubt_presence(call, now)),
        Input::TokenGiven => Ok(if_live(call, |call| call.open_room(now))),
        Input::RecordingAsked(by) => recording_asked(call, by, now),
        Input::RecordingStarted(number, content) => {
            Ok(if_live(call, |call| call.recording_started(*number, *content, now)))
        }
        Input::RecordingStopped(number) => Ok(if_live(call, |call| call.recording_stopped(*number, false, now))),
        Input::RecordingFailed(number) => Ok(if_live(call, |call| call.recording_stopped(*number, true, now))),
        Input::Banned(user) => Ok(banned(call, user, now)),
        Input::Wake => Ok(wake(call, now)),
    }
}

const fn changed_if(news: bool) -> Effect {
    if news { Effect::Changed } else { DUPLICATE }
}

fn if_live(call: &mut Call, change: impl FnOnce(&mut Call) -> bool) -> Effect {
    if call.is_ended() { LATE } else { changed_if(change(call)) }
}

/// Refuses what a device says about its ring when the ring is over for it.
fn rings(call: &Call, device: &DeviceId) -> Result<(), RefusalReason> {
    match (call.state, call.end_reason) {
        (State::Ended, reason) => Err(RefusalReason::Ended(reason.unwrap_or(EndReason::Failed))),
        (State::Active, _) if call.answered_by.as_ref() != Some(device) => Err(RefusalReason::AnsweredElsewhere),
        _ if call.leg(device).is_none() => Err(RefusalReason::NotALeg),
        _ => Ok(()),
    }
}

fn add_leg(call: &mut Call, device: &Device, now: Timestamp) -> Effect {
    if !call.is_unanswered() || call.hidden {
        return LATE;
    }
    if call.leg(&device.id).is_some() {
        return DUPLICATE;
    }
    if call.legs.len() >= MAX_LEGS {
        return Effect::Nothing("the call has as many legs as its record can hold");
    }
    // It has spoken, so it is awake and needs no push.
    call.legs.push(Leg { state: LegState::Sent, reason: None, closed_at: None, ..Leg::new(device.clone(), now) });
    Effect::Changed
}

fn answer(call: &mut Call, device: &DeviceId, now: Timestamp) -> Result<Effect, RefusalReason> {
    rings(call, device)?;
    if call.state == State::Active {
        return Ok(DUPLICATE);
    }
    if call.leg(device).is_some_and(|leg| matches!(leg.state, LegState::Declined | LegState::Busy)) {
        return Err(RefusalReason::Declined);
    }
    call.answer(Some(device), now);
    call.meet(now);
    Ok(Effect::Changed)
}

fn invited_back(call: &mut Call, device: Option<&DeviceId>, now: Timestamp) -> Result<Effect, RefusalReason> {
    match (call.state, call.end_reason) {
        (State::Ended, reason) => Err(RefusalReason::Ended(reason.unwrap_or(EndReason::Failed))),
        (State::Active, _) if call.answered_by.as_ref() == device => Ok(DUPLICATE),
        (State::Active, _) => Err(RefusalReason::AnsweredElsewhere),
        // The callee does not know of it, so calling back is no answer.
        _ if call.hidden => Err(RefusalReason::NotAParty),
        (State::Calling | State::Ringing, _) => {
            call.answer(device, now);
            call.meet(now);
            Ok(Effect::Changed)
        }
    }
}

fn decline(call: &mut Call, device: &DeviceId, reason: DeclineReason, now: Timestamp) -> Result<Effect, RefusalReason> {
    if call.is_ended() {
        return Ok(LATE);
    }
    rings(call, device)?;
    if call.state == State::Active {
        return Ok(finish(call, EndReason::Completed, now));
    }
    if call.leg(device).is_some_and(|leg| matches!(leg.state, LegState::Declined | LegState::Busy)) {
        return Ok(DUPLICATE);
    }
    call.drop_leg(device, reason, now);
    let whole_call = reason == DeclineReason::Declined && call.rules.decline == DeclineScope::Call;
    let ends = if whole_call { Some(EndReason::Declined) } else { call.exhausted() };
    if let Some(reason) = ends {
        call.end(reason, now);
    }
    Ok(Effect::Changed)
}

fn hang_up(call: &mut Call, user: &UserId, now: Timestamp) -> Result<Effect, RefusalReason> {
    if call.caller.id == *user {
        Ok(finish(call, EndReason::Cancelled, now))
    } else if call.is_visible_to(user) {
        // Before the answer there is nothing to hang up: the callee does not want the call.
        Ok(finish(call, EndReason::Declined, now))
    } else {
        Err(RefusalReason::NotAParty)
    }
}

/// Ends a call by a party's wish: for this reason before the answer, as completed after it.
fn finish(call: &mut Call, unanswered: EndReason, now: Timestamp) -> Effect {
    let reason = match call.state {
        State::Ended => return LATE,
        State::Active => EndReason::Completed,
        State::Calling | State::Ringing => unanswered,
    };
    call.end(reason, now);
    Effect::Changed
}

fn recording_asked(call: &mut Call, by: &AskedBy, now: Timestamp) -> Result<Effect, RefusalReason> {
    match (call.state, call.end_reason) {
        (State::Ended, reason) => Err(RefusalReason::Ended(reason.unwrap_or(EndReason::Failed))),
        (State::Calling | State::Ringing, _) => Err(RefusalReason::NotAnswered),
        (State::Active, _) => Ok(changed_if(call.record(by.clone(), now))),
    }
}

fn banned(call: &mut Call, user: &UserId, now: Timestamp) -> Effect {
    if call.is_ended() || call.party(user).is_none() {
        return LATE;
    }
    call.end_by_ban(user, now);
    Effect::Changed
}

fn doubt_presence(call: &mut Call, now: Timestamp) -> Effect {
    let asking = call.tasks.iter().any(|task| task.kind == TaskKind::AskPresence);
    if call.state != State::Active || !call.rules.presence || asking {
        return LATE;
    }
    ask_presence(call, now);
    Effect::Changed
}

fn ask_presence(call: &mut Call, now: Timestamp) {
    call.open(TaskKind::AskPresence, call.longest(), now);
}

fn task_finished(call: &mut Call, id: u32, attempt: u32, result: &TaskResult, now: Timestamp) -> Effect {
    let Some(index) = call.tasks.iter().position(|task| task.id == id) else { return DUPLICATE };
    let success = matches!(result, TaskResult::Done(_) | TaskResult::Present(_));
    if call.tasks[index].attempt != attempt && !success {
        // A newer attempt is under way, and its word counts.
        return LATE;
    }
    if let TaskResult::Retry(pause, receipts) = result
        && now + *pause < call.tasks[index].until
    {
        call.tasks[index].due = now + *pause;
        let kind = call.tasks[index].kind.clone();
        call.push_settled(&kind, Settled::Later, receipts, now);
        return Effect::Changed;
    }
    let Task { kind, due, attempt: latest, .. } = call.tasks.remove(index);
    let began = due - kind.lease().saturating_mul(latest.saturating_sub(attempt).saturating_add(1));
    if kind == TaskKind::OpenRoom && call.is_ended() {
        call.close_room(None, now);
    }
    match result {
        TaskResult::Done(receipts) => call.push_settled(&kind, Settled::Accepted, receipts, now),
        // A pause that outlasts the task's purpose is a failure for good.
        TaskResult::Failed(receipts) | TaskResult::Retry(_, receipts) => {
            call.push_settled(&kind, Settled::Refused, receipts, now);
            failed(call, &kind, now);
        }
        TaskResult::Present(there) => present(call, there, began, now),
    }
    Effect::Changed
}

/// LiveKit has said who is in the room.
fn present(call: &mut Call, there: &[(UserId, String)], asked: Timestamp, now: Timestamp) {
    match call.present(there, asked, now) {
        Some(reason) => call.end(reason, now),
        // There may be no room any more, which LiveKit does not tell: who comes back within the grace finds one.
        None if there.is_empty() => _ = call.open_room(now),
        None => {}
    }
}

/// What follows from a task that can never be done.
fn failed(call: &mut Call, kind: &TaskKind, now: Timestamp) {
    if *kind == TaskKind::AskPresence {
        call.presence_unknown(now);
    }
    if kind.is_ring()
        && call.is_unanswered()
        && let Some(reason) = call.exhausted()
    {
        call.end(reason, now);
    }
}

fn wake(call: &mut Call, now: Timestamp) -> Effect {
    if call.wake_up().at > now {
        return Effect::Nothing("nothing is due yet");
    }
    if call.is_unanswered() && call.ring_until <= now {
        call.end(EndReason::TimedOut, now);
    } else if call.is_unanswered() {
        call.close_gone(now);
    } else if call.state == State::Active && call.longest() <= now {
        call.end(EndReason::MaxDuration, now);
    } else if call.state == State::Active && call.presence_deadline().is_some_and(|at| at <= now) {
        ask_presence(call, now);
    }
    drop_purposeless(call, now);
    for task in call.tasks.iter_mut().filter(|task| task.due <= now) {
        task.attempt = task.attempt.saturating_add(1);
        task.due = now + task.kind.lease();
    }
    if call.is_ended() && call.tasks.is_empty() && !call.compacted && call.compact_at() <= now {
        call.compact();
    }
    // Past its retention nothing changes any more, and the record waits to be removed.
    Effect::Changed
}

/// What has lost its purpose goes, but not before an attempt that is under way has had its time.
fn drop_purposeless(call: &mut Call, now: Timestamp) {
    let has_purpose = |task: &Task| task.until > now || task.due > now;
    let opening = call.tasks.iter().any(|task| task.kind == TaskKind::OpenRoom && !has_purpose(task));
    call.tasks.retain(has_purpose);
    if opening && call.is_ended() {
        // Nobody knows what became of it: it may have made the room after that was closed.
        call.close_room(None, now);
    }
}
