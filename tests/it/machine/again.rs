//! When a ring is pushed again, when an alert goes beside it, and when neither: one sentence each.

use super::*;
use bellwire::domain::leg::WORD_WITHIN;
use bellwire::domain::{Acks, CallId, StopReason};

const AFTER: Duration = Duration::from_secs(6);
const AFTER_ON_IOS: Duration = Duration::from_secs(10);

/// Calls of which each push may be repeated, to phones that are known to ack.
fn repeating() -> Invite {
    let mut invite = invite();
    invite.rules.push =
        PushRules { repush_after_ms: 6_000, repush_max: 2, repush_ios_after_ms: Some(10_000), ..PushRules::default() };
    for device in &mut invite.devices {
        device.acks.since = Some(START - Duration::from_hours(24));
    }
    invite
}

fn pixel_alone(mut invite: Invite) -> Invite {
    invite.devices.retain(|device| device.platform == Platform::Android);
    invite
}

fn iphone_alone(mut invite: Invite) -> Invite {
    invite.devices.retain(|device| device.platform == Platform::Ios);
    invite
}

fn accepted(at: Timestamp) -> TaskResult {
    TaskResult::Done(vec![Receipt { verdict: "accepted".into(), ..receipt("", at) }])
}

fn dead(at: Timestamp) -> TaskResult {
    TaskResult::Failed(vec![Receipt { verdict: "drop_token".into(), ..receipt("UNREGISTERED", at) }])
}

/// The provider takes a ring.
fn taken(stage: &mut Stage, task: &str) {
    let result = accepted(stage.now);
    stage.finish(task, result);
}

/// Wakes until the call has ended; when each ring of the phone was begun, from the start.
fn begun_until_the_end(stage: &mut Stage) -> Vec<Duration> {
    let mut begun = Vec::new();
    while stage.call.is_unanswered() {
        let before = stage.call.clone();
        stage.wake();
        let rings: Vec<_> = stage.call.begun_since(Some(&before)).map(|task| name(&task.kind)).collect();
        for ring in rings.iter().filter(|task| task.starts_with("ring")) {
            begun.push(stage.now.since(START));
            taken(stage, ring);
        }
    }
    begun
}

#[test]
fn a_silent_pixel_is_pushed_to_again_six_seconds_after_each_push_was_taken_and_at_most_twice() {
    let mut stage = Stage::new(pixel_alone(repeating()));
    taken(stage.after(Duration::from_millis(80)), "ring pixel-1");
    assert_eq!(stage.tasks(), ["ring pixel-1 #2"]);
    assert_eq!(stage.call.begun_since(None).count(), 0, "the wake-up begins it");
    let first = Duration::from_millis(80) + AFTER;
    assert_eq!(begun_until_the_end(&mut stage), [first, first + AFTER]);
    assert_eq!(stage.stands(), "ended (timed_out)");
}

#[test]
fn a_push_again_is_another_push_of_the_same_call() {
    let mut stage = Stage::new(pixel_alone(repeating()));
    let first = stage.task("ring pixel-1").0;
    taken(&mut stage, "ring pixel-1");
    stage.wake();
    let (second, attempt) = stage.task("ring pixel-1 #2");
    assert!(second != first && attempt == 1 && stage.call.wants(second, attempt));
}

#[test]
fn an_app_that_was_never_heard_to_ack_is_pushed_to_once() {
    let mut invite = pixel_alone(repeating());
    invite.devices[0].acks = Acks::default();
    let mut stage = Stage::new(invite);
    taken(&mut stage, "ring pixel-1");
    assert!(begun_until_the_end(&mut stage).is_empty());
}

#[test]
fn an_iphone_is_pushed_to_again_only_if_that_is_wished_and_once() {
    let mut stage = Stage::new(iphone_alone(repeating()));
    taken(&mut stage, "ring iphone-1");
    assert_eq!(begun_until_the_end(&mut stage), [AFTER_ON_IOS]);
    let mut without = iphone_alone(repeating());
    without.rules.push.repush_ios_after_ms = None;
    let mut stage = Stage::new(without);
    taken(&mut stage, "ring iphone-1");
    assert!(begun_until_the_end(&mut stage).is_empty());
}

#[test]
fn nothing_is_pushed_again_where_the_ring_would_be_over() {
    let mut stage = Stage::new(pixel_alone(repeating()));
    taken(stage.after(Duration::from_secs(39)), "ring pixel-1");
    assert_eq!(stage.tasks(), Vec::<String>::new());
}

#[test]
fn who_has_said_anything_is_not_pushed_to_again() {
    let said = [alerting(PIXEL), not_rung(PIXEL), busy(PIXEL), declined(PIXEL), answer(PIXEL), Input::Cancel];
    for said in said {
        // While the next push waits, and while it is under way.
        for under_way in [false, true] {
            let mut stage = Stage::new(decline_ends_the_device(repeating()));
            taken(&mut stage, "ring pixel-1");
            if under_way {
                stage.after(AFTER).give(Input::Wake);
            }
            stage.give(said.clone());
            let before = stage.call.clone();
            for _ in 0..20 {
                stage.wake();
            }
            let again = |task: &String| task.starts_with("ring pixel-1");
            assert!(!stage.tasks().iter().any(again), "{}: {:?}", said.name(), stage.tasks());
            let begun = stage.call.begun_since(Some(&before)).filter(|task| task.kind.rings(&id(PIXEL))).count();
            assert_eq!(begun, 0, "{}", said.name());
        }
    }
}

#[test]
fn a_push_again_that_is_refused_leaves_the_first_one_ringing() {
    let mut stage = Stage::new(pixel_alone(repeating()));
    taken(&mut stage, "ring pixel-1");
    stage.wake();
    stage.finish("ring pixel-1 #2", TaskResult::Failed(vec![receipt("SENDER_ID_MISMATCH", stage.now)]));
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("calling".to_owned(), LegState::Sent));
}

#[test]
fn a_call_is_unreachable_when_a_push_again_finds_the_last_token_dead() {
    let mut stage = Stage::new(pixel_alone(repeating()));
    taken(&mut stage, "ring pixel-1");
    stage.wake();
    let result = dead(stage.now);
    stage.finish("ring pixel-1 #2", result);
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("ended (unreachable)".to_owned(), LegState::Failed));
}

#[test]
fn an_ack_revives_a_leg_that_has_failed() {
    let mut stage = Stage::new(repeating());
    let result = dead(stage.now);
    stage.finish("ring pixel-1", result);
    assert_eq!(stage.leg(PIXEL), LegState::Failed);
    stage.give(alerting(PIXEL));
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("ringing".to_owned(), LegState::Alerting));
    assert_eq!(stage.call.leg(&id(PIXEL)).and_then(|leg| leg.closed_at), None);
}

#[test]
fn an_alert_goes_beside_the_voip_push_when_the_budget_is_used_up() {
    for (silent, expected) in [(1, vec!["ring iphone-1"]), (2, vec!["ring iphone-1", "alert iphone-1"])] {
        let mut invite = iphone_alone(counted(invite()));
        invite.devices[0].acks.silent = silent;
        assert_eq!(Stage::new(invite).tasks(), expected, "{silent} silent rings");
    }
    let mut off = iphone_alone(invite());
    off.devices[0].acks.silent = 100;
    assert_eq!(Stage::new(off).tasks(), ["ring iphone-1"], "off by default");
}

#[test]
fn the_alert_says_nothing_about_the_ring() {
    let mut invite = iphone_alone(counted(invite()));
    invite.devices[0].acks.silent = 2;
    let mut stage = Stage::new(invite.clone());
    taken(&mut stage, "alert iphone-1");
    assert_eq!((stage.leg(IPHONE), stage.tasks()), (LegState::Queued, vec!["ring iphone-1".to_owned()]));
    let result = dead(stage.now);
    stage.finish("ring iphone-1", result);
    assert_eq!(stage.stands(), "ended (unreachable)");
    let mut stage = Stage::new(invite);
    let result = dead(stage.now);
    stage.finish("alert iphone-1", result);
    assert_eq!((stage.stands(), stage.leg(IPHONE)), ("calling".to_owned(), LegState::Queued));
    taken(&mut stage, "ring iphone-1");
    assert_eq!(stage.leg(IPHONE), LegState::Sent);
}

#[test]
fn a_ring_is_silent_if_its_device_was_in_touch_and_said_nothing() {
    let silent = |inputs: &[Input], for_as_long: Duration| {
        let mut stage = Stage::new(counted(invite()));
        stage.settle();
        for input in inputs {
            stage.give(input.clone());
        }
        stage.after(for_as_long).give(Input::Cancel);
        stage.call.leg(&id(IPHONE)).expect("a leg").kept_silent()
    };
    let contact = Input::DeviceContacted(id(IPHONE));
    assert!(silent(std::slice::from_ref(&contact), WORD_WITHIN));
    assert!(!silent(std::slice::from_ref(&contact), Duration::from_secs(4)), "it had no time to speak");
    assert!(!silent(&[], WORD_WITHIN), "it may have been off");
    let spoken = |word| !silent(&[contact.clone(), word], WORD_WITHIN);
    assert!(spoken(alerting(IPHONE)) && spoken(not_rung(IPHONE)));
}

#[test]
fn a_voip_cancel_reaches_an_iphone_without_an_alert_token_only_if_it_is_wished() {
    for wished in [false, true] {
        let mut invite = iphone_alone(invite());
        invite.rules.push.cancel_by_voip = wished;
        invite.rules.missed_call = false;
        invite.devices[0].alert_token = None;
        let mut stage = Stage::new(invite);
        stage.give(Input::Cancel);
        assert_eq!(stage.tasks().contains(&"stop iphone-1: cancelled".to_owned()), wished);
    }
}

#[test]
fn a_device_that_comes_late_is_told_why_its_ring_is_over() {
    let over = |inputs: &[Input], device: &str| {
        let mut stage = Stage::new(invite());
        for input in inputs {
            stage.give(input.clone());
        }
        stage.call.stop_reason(&id(device))
    };
    let hang_up = Input::HangUp(user("alice"));
    assert_eq!(over(&[alerting(PIXEL)], PIXEL), None);
    assert_eq!(over(&[answer(IPHONE)], PIXEL), Some(StopReason::AnsweredElsewhere));
    assert_eq!(over(&[answer(IPHONE)], IPHONE), None);
    assert_eq!(over(&[answer(IPHONE), hang_up.clone()], PIXEL), Some(StopReason::AnsweredElsewhere));
    assert_eq!(over(&[answer(IPHONE), hang_up], IPHONE), Some(StopReason::Ended));
    assert_eq!(over(&[declined(IPHONE)], PIXEL), Some(StopReason::DeclinedElsewhere));
    assert_eq!(over(&[declined(IPHONE)], IPHONE), Some(StopReason::Ended));
    assert_eq!(over(&[Input::Cancel], PIXEL), Some(StopReason::Cancelled));
}

#[test]
fn silence_of_the_same_call_counts_once() {
    let call = CallId::parse("019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id");
    let mut acks = Acks::default();
    assert!(acks.note(bellwire::domain::Heard::Silent(call)) && !acks.note(bellwire::domain::Heard::Silent(call)));
}
