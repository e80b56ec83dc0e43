//! The rules of the ring, one sentence each: who answers, who is stopped, and how an unanswered call ends.

use super::*;
use bellwire::domain::{EndReason, EventKind, TicketScope};

#[test]
fn a_call_rings_every_device_at_once() {
    let stage = Stage::new(invite());
    assert_eq!(stage.tasks(), ["ring iphone-1", "ring pixel-1"]);
    assert_eq!(stage.call.begun_since(None).count(), 2);
    assert_eq!(stage.events(), ["invited"]);
}

#[test]
fn a_browser_needs_no_push() {
    let stage = Stage::new(Invite { devices: vec![device("tab-1", Platform::Web)], ..invite() });
    assert_eq!((stage.stands(), stage.tasks().len(), stage.leg("tab-1")), ("calling".to_owned(), 0, LegState::Sent));
}

#[test]
fn first_answer_wins() {
    let mut stage = Stage::new(invite());
    assert!(stage.give(answer(PIXEL)));
    assert_eq!(stage.refuses(&answer(IPHONE)), RefusalReason::AnsweredElsewhere);
    assert_eq!(stage.call.answered_by, Some(id(PIXEL)));
}

#[test]
fn the_winner_that_asks_again_gets_its_answer_again() {
    let mut stage = Stage::new(invite());
    stage.give(answer(PIXEL));
    let before = stage.call.clone();
    assert!(!stage.after(Duration::from_secs(3)).give(answer(PIXEL)));
    assert_eq!(stage.call, before);
}

#[test]
fn an_answer_stops_every_other_device() {
    let mut stage = Stage::new(invite());
    stage.give(answer(PIXEL));
    assert_eq!(stage.tasks(), ["stop iphone-1: answered_elsewhere"]);
    assert_eq!((stage.leg(PIXEL), stage.leg(IPHONE)), (LegState::Answered, LegState::Stopped));
    assert_eq!(stage.events(), ["invited", "answered"]);
}

#[test]
fn a_decline_ends_the_call_and_tells_the_others() {
    let mut stage = Stage::new(invite());
    stage.all([alerting(IPHONE), alerting(PIXEL), declined(PIXEL)]);
    assert_eq!(stage.stands(), "ended (declined)");
    assert_eq!(stage.tasks(), ["stop iphone-1: declined_elsewhere", "free alice", "free bob"]);
    assert_eq!(stage.events(), ["invited", "ringing", "declined", "ended"]);
}

#[test]
fn with_scope_device_a_decline_ends_one_device_and_tells_nobody() {
    let mut stage = Stage::new(decline_ends_the_device(invite()));
    stage.give(declined(PIXEL));
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("calling".to_owned(), LegState::Declined));
    assert_eq!(stage.tasks(), ["ring iphone-1"]);
    assert_eq!(stage.events(), ["invited"]);
    stage.give(declined(IPHONE));
    assert_eq!(stage.stands(), "ended (declined)");
}

#[test]
fn a_busy_device_leaves_the_call_to_the_others() {
    let mut stage = Stage::new(invite());
    stage.give(busy(PIXEL));
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("calling".to_owned(), LegState::Busy));
    assert!(stage.give(answer(IPHONE)));
    assert_eq!(stage.tasks(), Vec::<String>::new());
}

#[test]
fn a_call_is_busy_when_every_device_has_said_so() {
    let mut stage = Stage::new(invite());
    stage.all([busy(PIXEL), busy(IPHONE)]);
    assert_eq!(stage.stands(), "ended (busy)");
}

#[test]
fn one_decline_outweighs_the_busy_devices() {
    let mut stage = Stage::new(decline_ends_the_device(invite()));
    stage.all([declined(PIXEL), busy(IPHONE)]);
    assert_eq!(stage.stands(), "ended (declined)");
}

#[test]
fn a_device_that_could_not_ring_keeps_the_call_waiting_until_the_ring_is_over() {
    let mut stage = Stage::new(invite());
    stage.all([busy(IPHONE), not_rung(PIXEL)]);
    assert_eq!((stage.stands(), stage.leg(PIXEL)), ("calling".to_owned(), LegState::NotRung));
    while stage.call.is_unanswered() {
        stage.wake();
    }
    assert_eq!((stage.stands(), stage.now), ("ended (timed_out)".to_owned(), START + RING));
}

#[test]
fn a_device_that_could_not_ring_may_still_answer() {
    let mut stage = Stage::new(invite());
    stage.all([not_rung(PIXEL), answer(PIXEL)]);
    assert_eq!(stage.stands(), "active");
}

#[test]
fn a_cancel_stops_the_ring() {
    let mut stage = Stage::new(invite());
    stage.all([alerting(PIXEL), Input::Cancel]);
    assert_eq!(stage.stands(), "ended (cancelled)");
    assert_eq!(stage.events(), ["invited", "ringing", "cancelled", "ended"]);
    assert!(stage.call.tasks.iter().all(|task| !task.kind.is_ring()));
}

#[test]
fn a_cancel_of_an_active_call_completes_it() {
    let mut stage = Stage::connected();
    stage.give(Input::Cancel);
    assert_eq!(stage.stands(), "ended (completed)");
    assert_eq!(stage.events(), ["invited", "ringing", "answered", "connected", "ended"]);
}

#[test]
fn a_decline_by_the_device_that_answered_completes_the_call() {
    let mut stage = Stage::connected();
    stage.give(declined(IPHONE));
    assert_eq!(stage.stands(), "ended (completed)");
}

#[test]
fn a_hang_up_of_the_callee_before_the_answer_is_a_decline() {
    let mut stage = Stage::new(decline_ends_the_device(invite()));
    stage.give(Input::HangUp(user("bob")));
    assert_eq!(stage.stands(), "ended (declined)");
}

#[test]
fn an_answer_after_the_ring_but_before_the_timeout_is_committed_is_an_answer() {
    let mut stage = Stage::new(invite());
    stage.after(RING + Duration::from_secs(1)).give(answer(IPHONE));
    assert_eq!(stage.stands(), "active");
    assert!(!stage.give(Input::Wake));
}

#[test]
fn an_answer_after_the_end_says_how_the_call_ended() {
    let mut stage = Stage::new(invite());
    stage.give(Input::Cancel);
    assert_eq!(stage.refuses(&answer(IPHONE)), RefusalReason::Ended(EndReason::Cancelled));
    assert_eq!(stage.refuses(&alerting(IPHONE)), RefusalReason::Ended(EndReason::Cancelled));
}

#[test]
fn a_hang_up_after_the_end_is_a_success_and_changes_nothing() {
    let mut stage = Stage::new(invite());
    stage.give(Input::Cancel);
    let before = stage.call.clone();
    for input in [Input::Cancel, declined(IPHONE), declined("unknown"), Input::HangUp(user("bob"))] {
        assert!(!stage.give(input));
    }
    assert_eq!(stage.call, before);
}

#[test]
fn glare_answers_the_call_that_came_first() {
    let mut stage = Stage::new(invite());
    stage.give(Input::InvitedBack(Some(id(PIXEL))));
    assert_eq!((stage.stands(), stage.call.answered_by.clone()), ("active".to_owned(), Some(id(PIXEL))));
    assert_eq!(stage.tasks(), ["stop iphone-1: answered_elsewhere"]);
}

#[test]
fn glare_from_no_named_device_belongs_to_no_device() {
    let mut stage = Stage::new(invite());
    stage.give(Input::InvitedBack(None));
    assert_eq!(stage.refuses(&answer(PIXEL)), RefusalReason::AnsweredElsewhere);
    let answered = stage.call.events.last().map(|event| event.kind.clone());
    assert_eq!(answered, Some(EventKind::Answered { device_id: None }));
    assert_eq!(stage.call.ticket_scope(&id(PIXEL), stage.now), TicketScope::Outcome);
}

#[test]
fn a_blocked_callers_call_touches_nothing_of_the_callee() {
    let mut stage = Stage::new(Invite { hidden: true, busy: true, ..invite() });
    assert_eq!((stage.stands(), stage.call.legs.len(), stage.tasks().len()), ("calling".to_owned(), 0, 0));
    assert!(!stage.give(Input::LegAdded(Box::new(device("ipad-1", Platform::Ios)))));
    assert_eq!(stage.refuses(&answer(IPHONE)), RefusalReason::NotALeg);
    assert_eq!(stage.refuses(&Input::InvitedBack(None)), RefusalReason::NotAParty);
    assert!(stage.call.is_visible_to(&user("alice")) && !stage.call.is_visible_to(&user("bob")));
    stage.wake();
    assert_eq!((stage.stands(), stage.now), ("ended (timed_out)".to_owned(), START + RING));
    assert_eq!(stage.tasks(), ["free alice"]);
    assert_eq!(stage.events(), ["invited", "ended"]);
}

#[test]
fn a_blocked_callers_call_to_nobodys_device_is_unreachable() {
    let stage = Stage::new(Invite { hidden: true, devices: Vec::new(), ..invite() });
    assert_eq!((stage.stands(), stage.tasks()), ("ended (unreachable)".to_owned(), vec!["free alice".to_owned()]));
}

#[test]
fn busy_at_once_pushes_the_missed_call_and_nothing_else() {
    let stage = Stage::new(Invite { busy: true, ..invite() });
    assert_eq!(stage.stands(), "ended (busy)");
    assert_eq!(stage.tasks(), ["missed iphone-1", "missed pixel-1", "free alice", "free bob"]);
    assert_eq!(stage.events(), ["invited", "ended"]);
}

#[test]
fn a_call_to_nobodys_device_is_unreachable_at_once() {
    let stage = Stage::new(Invite { devices: Vec::new(), ..invite() });
    assert_eq!(
        (stage.stands(), stage.events()),
        ("ended (unreachable)".to_owned(), vec!["invited".into(), "ended".into()])
    );
}

#[test]
fn a_call_is_unreachable_as_soon_as_the_last_push_is_refused() {
    let mut stage = Stage::new(invite());
    stage
        .after(Duration::from_millis(40))
        .finish("ring iphone-1", TaskResult::Failed(vec![receipt("Unregistered", START)]));
    assert_eq!((stage.stands(), stage.leg(IPHONE)), ("calling".to_owned(), LegState::Failed));
    stage.finish("ring pixel-1", TaskResult::Failed(Vec::new()));
    assert_eq!((stage.stands(), stage.call.ended_at), ("ended (unreachable)".to_owned(), Some(stage.now)));
    // The iPhone's alert token is another one, which may still be good.
    assert_eq!(stage.tasks(), ["missed iphone-1", "free alice", "free bob"]);
}

#[test]
fn the_missed_call_takes_the_place_of_the_stop_on_android() {
    let mut stage = Stage::new(invite());
    stage.settle().give(Input::Cancel);
    let told = ["stop iphone-1: cancelled", "missed iphone-1", "missed pixel-1", "free alice", "free bob"];
    assert_eq!(stage.tasks(), told);
}

#[test]
fn without_missed_calls_every_ringing_device_is_stopped() {
    let mut stage = Stage::new(Invite { rules: Rules { missed_call: false, ..rules() }, ..invite() });
    stage.give(Input::Cancel);
    let told = ["stop iphone-1: cancelled", "stop pixel-1: cancelled", "free alice", "free bob"];
    assert_eq!(stage.tasks(), told);
}

#[test]
fn a_device_that_registered_after_the_invite_takes_part_when_it_speaks() {
    let mut stage = Stage::new(invite());
    let ipad = Input::LegAdded(Box::new(device("ipad-1", Platform::Ios)));
    stage.all([ipad, answer("ipad-1")]);
    assert_eq!(stage.call.answered_by, Some(id("ipad-1")));
    assert!(stage.call.begun_since(None).all(|task| !task.kind.rings(&id("ipad-1"))));
}

#[test]
fn a_call_has_no_more_legs_than_its_record_can_hold() {
    let mut stage = Stage::new(invite());
    for n in 0..20 {
        stage.give(Input::LegAdded(Box::new(device(&format!("late-{n}"), Platform::Ios))));
    }
    assert_eq!(stage.call.legs.len(), 16);
}

#[test]
fn a_redial_gives_up_a_call_that_rings_and_no_answered_one() {
    let mut stage = Stage::new(invite());
    stage.give(Input::Redialled);
    assert_eq!(stage.stands(), "ended (cancelled)");
    let mut stage = Stage::new(invite());
    stage.give(answer(PIXEL));
    assert!(!stage.give(Input::Redialled));
    assert_eq!(stage.stands(), "active");
}

#[test]
fn a_ban_ends_the_call_and_stops_the_ring() {
    let mut stage = Stage::new(invite());
    stage.give(Input::Banned(user("bob")));
    assert_eq!(stage.stands(), "ended (banned)");
    assert_eq!(stage.tasks()[..2], ["stop iphone-1: ended", "stop pixel-1: ended"]);
}
