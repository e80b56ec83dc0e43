//! The rules of tasks, tickets and the record's last days, one sentence each.

use super::*;
use bellwire::domain::TicketScope;
use bellwire::domain::call::{COMPACT_AFTER, OUTCOME_READABLE_FOR};

const PAUSE: Duration = Duration::from_millis(200);

fn result(task: u32, attempt: u32, result: TaskResult) -> Input {
    Input::TaskFinished { task, attempt, result }
}

/// An invite to the Pixel alone, whose ring is task 1.
fn pixel_alone() -> Invite {
    Invite { devices: vec![device(PIXEL, Platform::Android)], ..invite() }
}

#[test]
fn an_attempt_is_left_alone_for_its_lease_and_then_begun_again() {
    let mut stage = Stage::new(pixel_alone());
    assert!(!stage.after(Duration::from_millis(4_999)).give(Input::Wake));
    let before = stage.call.clone();
    assert!(stage.after(Duration::from_millis(1)).give(Input::Wake));
    assert_eq!(stage.task("ring pixel-1"), (1, 2));
    assert_eq!(stage.call.begun_since(Some(&before)).count(), 1);
    assert!(!stage.give(Input::Wake));
}

#[test]
fn a_pause_sets_when_the_next_attempt_begins() {
    let mut stage = Stage::new(pixel_alone());
    stage.finish("ring pixel-1", TaskResult::Retry(PAUSE, vec![receipt("503", START)]));
    assert_eq!(stage.leg(PIXEL), LegState::Queued);
    stage.wake();
    assert_eq!((stage.now, stage.task("ring pixel-1")), (START + PAUSE, (1, 2)));
}

#[test]
fn a_pause_that_outlasts_the_ring_is_a_failure_for_good() {
    let mut stage = Stage::new(pixel_alone());
    stage.finish("ring pixel-1", TaskResult::Retry(RING, vec![receipt("429", START)]));
    assert_eq!(stage.stands(), "ended (unreachable)");
}

#[test]
fn a_late_failure_of_an_earlier_attempt_changes_nothing() {
    let mut stage = Stage::new(pixel_alone());
    stage.wake();
    let before = stage.call.clone();
    assert!(!stage.give(result(1, 1, TaskResult::Failed(vec![receipt("BadDeviceToken", START)]))));
    assert!(!stage.give(result(1, 1, TaskResult::Retry(PAUSE, vec![receipt("503", START)]))));
    assert_eq!(stage.call, before);
}

#[test]
fn a_late_success_of_an_earlier_attempt_counts() {
    let mut stage = Stage::new(pixel_alone());
    stage.wake();
    assert!(stage.give(result(1, 1, TaskResult::Done(vec![receipt("accepted", START)]))));
    assert_eq!((stage.leg(PIXEL), stage.tasks().len()), (LegState::Sent, 0));
    assert!(!stage.give(result(1, 2, TaskResult::Failed(vec![receipt("BadDeviceToken", START)]))));
    assert_eq!(stage.stands(), "calling");
}

#[test]
fn a_result_that_comes_twice_counts_once() {
    let mut stage = Stage::new(pixel_alone());
    let answer = || TaskResult::Retry(PAUSE, vec![receipt("503", START)]);
    assert!(stage.give(result(1, 1, answer())) && !stage.give(result(1, 1, answer())));
    assert_eq!(stage.call.leg(&id(PIXEL)).map(|leg| leg.receipts.len()), Some(1));
}

#[test]
fn no_attempt_to_ring_begins_once_the_device_has_spoken() {
    for said in [alerting(PIXEL), not_rung(PIXEL)] {
        let mut stage = Stage::new(pixel_alone());
        stage.give(said.clone());
        assert!(!stage.call.wants(1, 1), "{said:?}");
        stage.finish("ring pixel-1", TaskResult::Retry(PAUSE, vec![receipt("503", START)]));
        assert_eq!(stage.tasks().len(), 0, "{said:?}");
        let mut silent = Stage::new(pixel_alone());
        silent.give(said);
        silent.wake();
        assert_eq!((silent.tasks().len(), silent.stands() == "ended (unreachable)"), (0, false));
    }
}

#[test]
fn the_result_of_a_push_is_kept_though_its_device_was_quicker() {
    let mut stage = Stage::new(invite());
    stage.give(alerting(PIXEL));
    // The iPhone's lease ends first.
    stage.wake();
    stage.finish("ring pixel-1", TaskResult::Done(vec![receipt("accepted", START)]));
    assert_eq!(stage.leg(PIXEL), LegState::Alerting);
    assert_eq!(stage.call.leg(&id(PIXEL)).map(|leg| leg.receipts.len()), Some(1));
}

#[test]
fn a_leg_keeps_its_first_receipt_and_the_last_seven() {
    let mut stage = Stage::new(pixel_alone());
    for attempt in 1..=12 {
        stage.finish("ring pixel-1", TaskResult::Retry(PAUSE, vec![receipt(&format!("answer {attempt}"), stage.now)]));
        stage.wake();
    }
    let leg = stage.call.leg(&id(PIXEL)).expect("a leg");
    let kept: Vec<_> = leg.receipts.iter().map(|receipt| receipt.reason.as_str()).collect();
    let (first, last) = kept.split_first().expect("a receipt");
    assert_eq!(*first, "answer 1");
    assert_eq!(last, (6..=12).map(|n| format!("answer {n}")).collect::<Vec<_>>());
}

#[test]
fn nothing_of_a_ring_begins_after_the_end() {
    let mut stage = Stage::new(invite());
    stage.give(Input::Cancel);
    assert!(!stage.call.wants(1, 1) && !stage.call.wants(2, 1));
    assert!(!stage.give(result(1, 1, TaskResult::Done(Vec::new()))));
}

#[test]
fn a_stop_that_reaches_nobody_is_given_up_after_a_minute() {
    let mut stage = Stage::new(invite());
    stage.give(answer(IPHONE));
    while stage.tasks().iter().any(|task| task.starts_with("stop")) {
        stage.wake();
    }
    assert_eq!(stage.now, START + Duration::from_mins(1));
}

#[test]
fn a_new_task_has_a_new_id() {
    let mut stage = Stage::connected();
    let mut ids = Vec::new();
    for _ in 0..3 {
        stage.give(Input::RoomFinished);
        ids.push(stage.task("ask").0);
        stage.finish("ask", TaskResult::Failed(Vec::new()));
    }
    // Two rings and a stop came before.
    assert_eq!(ids, [4, 5, 6]);
}

#[test]
fn a_call_that_has_ended_is_compacted_and_then_only_kept() {
    let mut stage = Stage::new(invite());
    stage.finish("ring iphone-1", TaskResult::Done(vec![receipt("accepted", START)]));
    stage.give(Input::Cancel);
    stage.settle();
    let wake_up = stage.call.wake_up();
    assert_eq!((wake_up.at, wake_up.urgent), (START + COMPACT_AFTER, false));
    assert!(stage.wake());
    let legs = &stage.call.legs;
    assert!(legs.iter().all(|leg| leg.device.tokens().next().is_none()));
    assert_eq!(legs[0].receipts.len(), 1, "why a phone did not ring is asked later");
    assert_eq!((stage.call.wake_up().at, stage.call.wake_up().urgent), (START + RETENTION, false));
    assert!(!stage.wake());
    assert_eq!(stage.events(), ["invited", "cancelled", "ended"]);
}

#[test]
fn a_ticket_is_good_for_everything_until_the_answer() {
    let stage = Stage::new(invite());
    for (name, scope) in [(IPHONE, TicketScope::Full), (PIXEL, TicketScope::Full), ("ipad-1", TicketScope::Nothing)] {
        assert_eq!(stage.call.ticket_scope(&id(name), stage.now), scope, "{name}");
    }
}

#[test]
fn a_ticket_of_a_stopped_device_reads_the_outcome_for_five_minutes_and_no_more() {
    let mut stage = Stage::new(invite());
    stage.give(answer(IPHONE));
    let answered = stage.now;
    for (after, iphone, pixel) in [
        (Duration::ZERO, TicketScope::Full, TicketScope::Outcome),
        (OUTCOME_READABLE_FOR, TicketScope::Full, TicketScope::Outcome),
        (OUTCOME_READABLE_FOR + Duration::from_millis(1), TicketScope::Full, TicketScope::Nothing),
    ] {
        assert_eq!(stage.call.ticket_scope(&id(IPHONE), answered + after), iphone);
        assert_eq!(stage.call.ticket_scope(&id(PIXEL), answered + after), pixel);
    }
    stage.after(Duration::from_hours(1)).give(Input::Cancel);
    assert_eq!(stage.call.ticket_scope(&id(PIXEL), stage.now), TicketScope::Nothing);
    assert_eq!(stage.call.ticket_scope(&id(IPHONE), stage.now), TicketScope::Outcome);
    assert_eq!(stage.call.ticket_scope(&id(IPHONE), stage.now + GRACE * 11), TicketScope::Nothing);
}

#[test]
fn a_ticket_of_an_unanswered_call_reads_the_outcome_for_five_minutes() {
    let mut stage = Stage::new(invite());
    stage.after(Duration::from_secs(10)).give(Input::Cancel);
    assert_eq!(stage.call.ticket_scope(&id(PIXEL), stage.now + OUTCOME_READABLE_FOR), TicketScope::Outcome);
    assert_eq!(stage.call.ticket_scope(&id(PIXEL), stage.now + GRACE * 11), TicketScope::Nothing);
}

#[test]
fn fields_of_a_newer_release_are_kept() {
    let mut record = serde_json::to_value(&Stage::new(invite()).call).expect("JSON");
    record["from_the_future"] = serde_json::json!({"x": 1});
    let call: Call = serde_json::from_value(record.clone()).expect("a call");
    assert_eq!(serde_json::to_value(&call).expect("JSON"), record);
}

/// Else it would cost what another device was told, and a commit, for nothing.
#[test]
fn what_the_record_has_no_room_for_is_no_news() {
    let phone = |number: usize| format!("phone-{number}");
    let devices = (0..16).map(|number| device(&phone(number), Platform::Android)).collect();
    let mut stage = Stage::new(Invite { devices, ..invite() });
    let told = |number, reason: usize, at| Input::PushTold(id(&phone(number)), vec![receipt(&"r".repeat(reason), at)]);
    for number in 0..16 {
        assert!(stage.give(told(number, 34, START)));
    }
    assert!(stage.give(told(15, 0, START)), "there is room for a small one");
    let before = stage.call.clone();
    assert!(!stage.give(told(0, 64, START + Duration::from_secs(1))), "and for no large one");
    assert_eq!(stage.call, before);
}
