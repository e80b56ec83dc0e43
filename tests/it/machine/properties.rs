//! What holds in any history of any call.
//!
//! The histories are `histories`' affair. Each property is checked after every single input.

use super::histories::{Turn, every_push, invites, talk, turns};
use super::*;
use bellwire::domain::{EndReason, EventKind, Task};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeSet;
use std::sync::Arc;

const MAX_RECORD: usize = 32 * 1024;
const MAX_EVENTS: usize = 200;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    }
}

/// Plays a history, and hands every step to a check: the call before and after it, and the input.
fn play(invite: Invite, turns: &[Turn], mut check: impl FnMut(&Stage, &Stage, &Input)) -> Stage {
    let mut stage = Stage::new(invite);
    for turn in turns {
        let input = stage.input(turn);
        let before = stage.clone();
        if let Ok(Outcome::Applied(next)) = step(&stage.call, &input, stage.now) {
            stage.call = *next;
        }
        check(&before, &stage, &input);
    }
    stage
}

/// The record without what still changes after the end.
fn outcome(call: &Call) -> Call {
    let mut call = call.clone();
    call.tasks.clear();
    call.compacted = false;
    // Who came too late is remembered, and the room closed.
    call.next_task = 0;
    (call.presence.caller, call.presence.callee) = (None, None);
    for leg in &mut call.legs {
        leg.receipts.clear();
        leg.late_at = None;
        let device = Arc::make_mut(&mut leg.device);
        (device.voip_token, device.alert_token) = (None, None);
        (device.fcm_token, device.fcm_fid) = (None, None);
    }
    call
}

/// The longest that user ids can be, of characters that JSON writes as two.
fn long_names() -> [String; 2] {
    ["\"", "\\"].map(|character| character.repeat(UserId::MAX_BYTES))
}

fn freed(call: &Call) -> Vec<(u32, &UserId)> {
    let free = call.tasks.iter().filter_map(|task| match &task.kind {
        TaskKind::FreeLine { user } => Some((task.id, user)),
        _ => None,
    });
    free.collect()
}

/// When a call that has not ended must do something at the latest.
fn deadline(call: &Call) -> Timestamp {
    match call.answered_at {
        None => call.ring_until,
        Some(at) => at + Duration::from_millis(call.rules.max_duration_ms),
    }
}

/// The earliest moment at which a call may end for this reason.
fn not_before(call: &Call, reason: EndReason) -> Timestamp {
    let answered = call.answered_at.unwrap_or(call.created_at);
    match reason {
        EndReason::TimedOut => call.ring_until,
        EndReason::NotConnected => answered + CONNECT,
        EndReason::MaxDuration => answered + LONGEST,
        EndReason::ConnectionLost => {
            let gone = [&call.presence.caller, &call.presence.callee].into_iter().flatten();
            gone.filter_map(|visit| visit.left_at).min().expect("somebody left") + GRACE
        }
        _ => call.created_at,
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn ended_stays_ended(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            if before.call.is_ended() {
                assert_eq!(outcome(&before.call), outcome(&after.call));
            }
        });
    }

    #[test]
    fn one_device_answers_for_good(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            let answered = after.call.legs.iter().filter(|leg| leg.state == LegState::Answered).count();
            assert!(answered <= usize::from(after.call.answered_by.is_some()));
            if before.call.answered_at.is_some() {
                assert_eq!(before.call.answered_by, after.call.answered_by);
                assert_eq!(before.call.answered_at, after.call.answered_at);
            }
        });
    }

    #[test]
    fn a_call_wakes_in_time(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |_, after, _| {
            let wake_up = after.call.wake_up();
            if !after.call.is_ended() {
                assert!(wake_up.urgent && wake_up.at <= deadline(&after.call));
            } else if after.call.tasks.is_empty() {
                assert!(!wake_up.urgent);
            }
        });
    }

    #[test]
    fn a_call_never_ends_before_its_time(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, input| {
            if let (None, Some(reason)) = (before.call.end_reason, after.call.end_reason) {
                assert!(after.now >= not_before(&after.call, reason), "{reason} by {}", input.name());
                assert_eq!(after.call.ended_at, Some(after.now));
            }
        });
    }

    #[test]
    fn the_same_input_again_at_once_changes_nothing(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |_, after, input| {
            let again = step(&after.call, input, after.now);
            assert!(!matches!(again, Ok(Outcome::Applied(_))), "{} again changed the call", input.name());
        });
    }

    #[test]
    fn events_are_numbered_without_a_gap_and_end_with_the_end(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            let events = &after.call.events;
            assert!(events.iter().map(|event| event.seq).eq(1..=after.call.last_seq()));
            assert_eq!(events[..before.call.events.len()], before.call.events[..]);
            let ends = |kind: &EventKind| matches!(kind, EventKind::Ended { .. });
            assert_eq!(events.iter().filter(|event| ends(&event.kind)).count(), usize::from(after.call.is_ended()));
            assert_eq!(events.last().is_some_and(|event| ends(&event.kind)), after.call.is_ended());
        });
    }

    #[test]
    fn tasks_stand_only_where_they_have_a_purpose(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |_, after, _| {
            let call = &after.call;
            for task in &call.tasks {
                let fits = match task.kind {
                    TaskKind::Ring { .. } | TaskKind::RingAlert { .. } => call.is_unanswered() && !call.hidden,
                    TaskKind::StopRing { .. } => !call.is_unanswered() && !call.hidden,
                    TaskKind::NotifyMissed { .. } => call.end_reason.is_some_and(EndReason::is_missed) && !call.hidden,
                    TaskKind::FreeLine { .. } | TaskKind::Report { .. } | TaskKind::Account => call.is_ended(),
                    TaskKind::AskPresence => call.state == State::Active && call.rules.presence,
                    // One that is under way at the end is waited for.
                    TaskKind::OpenRoom => call.rules.rooms && call.ended_at.is_none_or(|ended| task.until <= ended),
                    TaskKind::CloseRoom { .. } => call.rules.rooms && call.is_ended(),
                    TaskKind::StartRecording => call.state == State::Active && call.is_recorded(),
                    TaskKind::StopRecording => call.is_ended() && call.recording.is_some(),
                };
                assert!(fits, "{} while {}", name(&task.kind), after.stands());
            }
        });
    }

    #[test]
    fn no_task_id_is_used_twice(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            let ids: BTreeSet<_> = after.call.tasks.iter().map(|task| task.id).collect();
            assert_eq!(ids.len(), after.call.tasks.len());
            assert!(after.call.next_task >= before.call.next_task);
            for task in &after.call.tasks {
                assert!(task.id < after.call.next_task);
                if let Some(known) = before.call.task(task.id) {
                    assert!(known.kind == task.kind && known.attempt <= task.attempt);
                } else {
                    let begins_later = matches!(task.kind, TaskKind::Ring { number: 2.., .. });
                    assert!(task.id >= before.call.next_task && task.attempt == u32::from(!begins_later));
                }
            }
        });
    }

    #[test]
    fn no_attempt_begins_before_it_is_due(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            for task in after.call.begun_since(Some(&before.call)) {
                let again = |known: &Task| known.due <= after.now && task.until > after.now;
                assert!(task.due > after.now && before.call.task(task.id).is_none_or(again));
            }
        });
    }

    #[test]
    fn a_device_that_has_spoken_is_not_rung_again(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            for task in after.call.begun_since(Some(&before.call)).filter(|task| task.kind.is_ring()) {
                let state = task.kind.device().and_then(|device| after.call.leg(device)).map(|leg| leg.state);
                assert!(matches!(state, Some(LegState::Queued | LegState::Sent)), "{state:?}");
            }
        });
    }

    #[test]
    fn a_phone_is_pushed_to_once_more_at_a_time_and_only_after_the_last_push_was_taken(
        invite in invites(),
        turns in turns(60),
    ) {
        play(invite, &turns, |before, after, _| {
            for leg in &after.call.legs {
                let device = &leg.device.id;
                let rings = |task: &&Task| matches!(&task.kind, TaskKind::Ring { device: of, .. } if of == device);
                assert!(after.call.tasks.iter().filter(rings).count() <= 1, "{device} is rung twice at once");
                for task in after.call.tasks.iter().filter(rings).filter(|task| before.call.task(task.id).is_none()) {
                    let TaskKind::Ring { number, platform, .. } = task.kind else { continue };
                    assert!(number <= if platform == Platform::Ios { 2 } else { 3 });
                    assert_eq!(leg.state, LegState::Sent, "push {number} of a leg that was not taken");
                    assert!(task.due > after.now && task.due < after.call.ring_until);
                }
            }
        });
    }

    #[test]
    fn both_lines_are_freed_once_and_with_the_end(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, _| {
            if !before.call.is_ended() && after.call.is_ended() {
                let users: Vec<_> = freed(&after.call).into_iter().map(|(_, user)| user.as_str()).collect();
                assert_eq!(users, if after.call.hidden { vec!["alice"] } else { vec!["alice", "bob"] });
            } else {
                let known = freed(&before.call);
                assert!(freed(&after.call).iter().all(|free| known.contains(free)));
            }
        });
    }

    #[test]
    fn a_room_that_may_have_been_made_is_closed_after_the_end(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |before, after, input| {
            let closing = |stage: &Stage| stage.call.tasks.iter().find(|task| matches!(task.kind, TaskKind::CloseRoom { .. })).map(|task| task.id);
            let opening = |stage: &Stage| stage.call.tasks.iter().any(|task| task.kind == TaskKind::OpenRoom);
            let ends = !before.call.is_ended() && after.call.is_ended();
            let opened = before.call.is_ended() && opening(before) && !opening(after);
            if after.call.rules.rooms && (ends || opened) {
                assert!(closing(after).is_some_and(|task| Some(task) != closing(before)), "after {}", input.name());
            }
        });
    }

    #[test]
    fn a_record_stays_small_and_is_read_as_it_was_written(invite in invites(), turns in turns(60)) {
        play(invite, &turns, |_, after, _| {
            let json = serde_json::to_vec(&after.call).expect("JSON");
            assert!(json.len() <= MAX_RECORD && after.call.events.len() <= MAX_EVENTS);
            assert_eq!(serde_json::from_slice::<Call>(&json).expect("a call"), after.call);
        });
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_call_ends_by_its_wake_ups_alone(mut invite in invites(), turns in turns(40)) {
        // A day of missed-call pushes that nobody carries out would be many thousand attempts, all alike.
        invite.rules = Rules { missed_call: false, max_duration_ms: 600_000, retention_ms: 1_200_000, ..invite.rules };
        let mut stage = play(invite, &turns, |_, _, _| ());
        let in_time = stage.now.max(deadline(&stage.call));
        let mut wakes = 0;
        while stage.call.wake_up().urgent {
            assert!(stage.wake(), "a wake-up that was due changed nothing");
            assert!(!stage.call.is_unanswered() || stage.now < in_time);
            wakes += 1;
            assert!(wakes < 2000, "still {} after {wakes} wake-ups", stage.stands());
        }
        assert!(stage.call.is_ended() && stage.call.tasks.is_empty());
        assert!(stage.call.ended_at <= Some(in_time));
        let compacted = stage.call.compacted;
        assert_eq!(stage.wake(), !compacted);
        assert!(stage.call.compacted);
        assert!(!stage.wake());
        assert!(stage.now >= stage.call.retained_until());
    }
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn a_long_talk_over_a_bad_line_fits_the_record(turns in talk(long_names(), 1000)) {
        let devices = (0..10).map(|n| device(&format!("device-{n}"), [Platform::Ios, Platform::Android][n % 2]));
        let metadata = Some(serde_json::json!({"opaque": "x".repeat(2030)}).into());
        let [caller, callee] = long_names().map(|name| user(&name));
        let caller = Party { id: caller, name: Some("A".repeat(64)), avatar: Some("https://a.example/".repeat(8)), unknown: Unknown::default() };
        let rules = Rules { push: PushRules { cancel_by_voip: true, ..every_push() }, ..rules() };
        let mut devices: Vec<_> = devices.collect();
        for device in &mut devices {
            device.acks = Acks { since: Some(START), silent: 1, call: Some(invite().id), unknown: Unknown::default() };
        }
        let mut stage = Stage::new(Invite { caller, callee, devices, metadata, rules, ..invite() });
        for round in 0..8 {
            for task in stage.tasks() {
                let answer = Receipt {
                    provider_id: Some("i".repeat(128)),
                    environment: Some(Environment::Production),
                    verdict: "our_fault".into(),
                    ..receipt(&format!("{round} {}", "\"".repeat(60)), stage.now)
                };
                stage.finish(&task, TaskResult::Retry(Duration::from_millis(200), vec![answer]));
            }
            stage.wake();
        }
        stage.give(answer("device-0"));
        for turn in &turns {
            let input = stage.input(turn);
            stage.give(input);
        }
        let told = stage.call.events.len();
        assert!(!stage.call.is_ended() && told > 30, "{} with {told} events", stage.stands());
        stage.give(Input::Cancel);
        assert!(matches!(stage.call.events.last().map(|event| &event.kind), Some(EventKind::Ended { .. })));
        let size = serde_json::to_vec(&stage.call).expect("JSON").len();
        assert!(size <= MAX_RECORD && told < MAX_EVENTS, "{size} bytes, {told} events");
    }
}
