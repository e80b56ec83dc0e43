//! A browser takes part while it has an event stream, and a little longer.

use bellwire::domain::EndReason;
use bellwire::domain::leg::BACK_WITHIN;

use super::*;

const A_MOMENT: Duration = Duration::from_millis(1);

fn browser() -> Device {
    device(BROWSER, Platform::Web)
}

fn alone() -> Stage {
    Stage::new(Invite { devices: vec![browser()], ..invite() })
}

fn beside_a_phone() -> Stage {
    let mut stage = Stage::new(Invite { devices: vec![device(IPHONE, Platform::Ios), browser()], ..invite() });
    stage.settle();
    stage
}

#[test]
fn nobody_can_be_reached_once_the_only_browser_is_gone_and_not_before() {
    let mut stage = alone();
    stage.after(Duration::from_secs(3)).give(gone());
    assert_eq!(stage.call.wake_up().at, stage.now + BACK_WITHIN);
    stage.after(BACK_WITHIN.saturating_sub(A_MOMENT));
    assert!(!stage.give(Input::Wake), "it may come back");
    stage.after(A_MOMENT).give(Input::Wake);
    assert_eq!(stage.call.end_reason, Some(EndReason::Unreachable));
    let leg = stage.call.leg(&id(BROWSER)).expect("a leg");
    assert_eq!((leg.state, leg.reason.as_deref()), (LegState::Failed, Some("disconnected")));
    assert_eq!(leg.closed_at, stage.call.ended_at);
}

#[test]
fn a_page_that_is_loaded_again_goes_on_ringing() {
    let mut stage = alone();
    for _ in 0..3 {
        stage.give(gone());
        stage.after(BACK_WITHIN.saturating_sub(A_MOMENT)).give(back());
        assert_eq!(stage.call.wake_up().at, stage.call.ring_until);
        stage.after(BACK_WITHIN).give(Input::Wake);
        assert!(stage.call.is_unanswered());
    }
}

/// Each time anew: it is not gone since the first time.
#[test]
fn a_browser_that_is_gone_again_has_its_time_again() {
    let mut stage = alone();
    stage.all([gone(), back()]).after(BACK_WITHIN.saturating_sub(A_MOMENT)).give(gone());
    assert_eq!(stage.call.wake_up().at, stage.now + BACK_WITHIN);
}

#[test]
fn the_phone_rings_on_without_the_browser_which_may_still_speak() {
    let mut stage = beside_a_phone();
    stage.give(gone());
    stage.wake();
    assert_eq!((stage.leg(BROWSER), stage.leg(IPHONE)), (LegState::Failed, LegState::Sent));
    assert!(!stage.give(back()), "it was written off");
    assert!(stage.give(alerting(BROWSER)), "and speaks");
    assert_eq!((stage.leg(BROWSER), stage.call.wake_up().at), (LegState::Alerting, stage.call.ring_until));
    stage.after(BACK_WITHIN).give(Input::Wake);
    assert_eq!(stage.leg(BROWSER), LegState::Alerting);
    stage.give(answer(BROWSER));
    assert_eq!(stage.call.answered_by, Some(id(BROWSER)));
}

#[test]
fn the_call_waits_for_the_phone_and_ends_with_it() {
    let mut stage = beside_a_phone();
    stage.all([gone(), busy(IPHONE)]);
    assert!(stage.call.is_unanswered(), "the browser may come back");
    stage.wake();
    assert_eq!(stage.call.end_reason, Some(EndReason::Busy));
}

#[test]
fn a_phone_needs_no_stream() {
    let mut stage = beside_a_phone();
    assert!(!stage.give(Input::DeviceGone(id(IPHONE))));
    assert_eq!(stage.call.wake_up().at, stage.call.ring_until);
}

#[test]
fn an_answer_from_a_page_without_a_stream_counts() {
    let mut stage = alone();
    stage.all([gone(), answer(BROWSER)]);
    assert_eq!(stage.call.answered_by, Some(id(BROWSER)));
    assert!(stage.call.wake_up().at > stage.now + BACK_WITHIN, "it is no affair of the ring any more");
}

/// Whatever became of its stream, the page was there.
#[test]
fn any_word_of_a_browser_calls_it_back() {
    for word in [alerting(BROWSER), not_rung(BROWSER)] {
        let mut stage = alone();
        for time in ["first", "said again"] {
            stage.give(gone());
            assert!(stage.give(word.clone()), "{time}");
            assert_eq!(stage.call.wake_up().at, stage.call.ring_until, "{time}");
        }
        assert!(!stage.give(word), "known");
    }
}
