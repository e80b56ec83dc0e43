//! The rules of presence, one sentence each: webhooks begin things, and only LiveKit's list ends a call for an absence.

use super::*;

/// Answered, with nobody in the room.
fn answered() -> Stage {
    let mut stage = Stage::new(invite());
    stage.settle().all([answer(IPHONE)]).settle();
    stage
}

#[test]
fn both_in_the_room_are_connected() {
    let mut stage = answered();
    stage.give(joined("alice", "A1"));
    assert_eq!(stage.events().last().map(String::as_str), Some("answered"));
    stage.after(Duration::from_secs(1)).give(joined("bob", "B1"));
    assert_eq!(stage.events().last().map(String::as_str), Some("connected"));
    assert_eq!((stage.call.presence.connected_at, stage.call.presence.peak), (Some(stage.now), 2));
}

#[test]
fn a_caller_who_waits_in_the_room_is_connected_by_the_answer_and_the_callee() {
    let mut stage = Stage::new(invite());
    stage.all([joined("alice", "A1"), joined("bob", "B1")]);
    assert_eq!(stage.events(), ["invited"]);
    stage.give(answer(IPHONE));
    assert_eq!(stage.events(), ["invited", "answered", "connected"]);
}

#[test]
fn who_is_lost_is_reconnecting_and_who_is_back_reconnected() {
    let mut stage = Stage::connected();
    stage.all([lost("bob", "B1"), joined("bob", "B2")]);
    assert_eq!(stage.events()[4..], ["reconnecting", "reconnected"]);
    assert_eq!(stage.call.wake_up().at, START + LONGEST);
}

#[test]
fn only_the_time_together_is_talk() {
    let mut stage = Stage::connected();
    stage.after(Duration::from_mins(1)).give(lost("bob", "B1"));
    stage.after(Duration::from_secs(10)).give(joined("bob", "B2"));
    stage.after(Duration::from_secs(5)).give(Input::HangUp(user("bob")));
    assert_eq!(stage.call.presence.talk_ms, 65_000);
}

#[test]
fn talk_is_nothing_if_media_never_came_up() {
    let mut stage = answered();
    stage.after(Duration::from_secs(5)).give(Input::HangUp(user("alice")));
    assert_eq!((stage.stands(), stage.call.presence.talk_ms), ("ended (completed)".to_owned(), 0));
}

#[test]
fn a_party_that_is_not_back_in_time_is_a_lost_connection() {
    let mut stage = Stage::connected();
    stage.after(Duration::from_mins(1)).give(lost("bob", "B1"));
    stage.wake();
    assert_eq!((stage.now, stage.tasks()), (START + Duration::from_mins(1) + GRACE, vec!["ask".to_owned()]));
    stage.finish("ask", present(&["alice"]));
    assert_eq!((stage.stands(), stage.call.presence.talk_ms), ("ended (connection_lost)".to_owned(), 60_000));
}

#[test]
fn a_call_whose_parties_never_met_is_not_connected() {
    let mut stage = answered();
    stage.give(joined("bob", "B1"));
    stage.wake();
    assert_eq!((stage.now, stage.stands()), (START + CONNECT, "active".to_owned()));
    stage.finish("ask", present(&["bob"]));
    assert_eq!(stage.stands(), "ended (not_connected)");
}

#[test]
fn a_call_that_both_left_on_purpose_is_completed() {
    let mut stage = Stage::connected();
    stage.all([left("alice", "A1"), left("bob", "B1")]);
    assert_eq!(stage.stands(), "active");
    stage.give(Input::RoomFinished);
    stage.finish("ask", present(&[]));
    assert_eq!(stage.stands(), "ended (completed)");
}

#[test]
fn a_call_that_both_left_on_purpose_is_over_long_before_the_grace() {
    let mut stage = Stage::connected();
    stage.give(left("alice", "A1"));
    assert_eq!(stage.call.wake_up().at, stage.now + GRACE, "one alone may come back");
    stage.after(Duration::from_secs(10)).give(left("bob", "B1"));
    let both_gone = stage.now;
    stage.wake();
    assert_eq!((stage.now, stage.tasks()), (both_gone + Duration::from_secs(5), vec!["ask".to_owned()]));
    stage.finish("ask", present(&[]));
    assert_eq!(stage.stands(), "ended (completed)");
}

#[test]
fn who_is_back_after_both_left_on_purpose_goes_on_and_the_other_has_the_whole_grace() {
    let mut stage = Stage::connected();
    stage.all([left("alice", "A1"), left("bob", "B1")]);
    let left_at = stage.now;
    stage.wake();
    stage.finish("ask", listed(&[("alice", "A2")]));
    assert_eq!((stage.stands(), stage.call.wake_up().at), ("active".to_owned(), left_at + GRACE));
    stage.give(joined("bob", "B2"));
    assert_eq!((stage.stands(), stage.call.wake_up().at), ("active".to_owned(), START + LONGEST));
}

#[test]
fn a_call_that_one_left_on_purpose_and_one_lost_is_a_lost_connection() {
    let mut stage = Stage::connected();
    stage.all([left("alice", "A1"), lost("bob", "B1")]).wake();
    stage.finish("ask", present(&[]));
    assert_eq!(stage.stands(), "ended (connection_lost)");
}

#[test]
fn a_webhook_never_ends_a_call() {
    let mut stage = Stage::connected();
    stage.all([lost("alice", "A1"), lost("bob", "B1"), Input::RoomFinished]).after(GRACE * 4).give(Input::Wake);
    assert_eq!((stage.stands(), stage.tasks()), ("active".to_owned(), vec!["ask".to_owned()]));
}

#[test]
fn a_call_about_which_livekit_cannot_be_asked_stays_and_is_asked_about_again() {
    let mut stage = Stage::connected();
    stage.give(lost("bob", "B1"));
    stage.wake();
    for _ in 0..3 {
        let asked = stage.now;
        stage.finish("ask", TaskResult::Failed(Vec::new()));
        assert_eq!((stage.stands(), stage.tasks().len()), ("active".to_owned(), 0));
        stage.wake();
        assert_eq!((stage.now, stage.tasks()), (asked + Duration::from_secs(5), vec!["ask".to_owned()]));
    }
    stage.finish("ask", present(&["alice"]));
    assert_eq!(stage.stands(), "ended (connection_lost)");
}

#[test]
fn livekits_list_stands_in_for_lost_webhooks() {
    let mut stage = answered();
    stage.wake();
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!((stage.stands(), stage.events().last().map(String::as_str)), ("active".to_owned(), Some("connected")));
    assert_eq!(stage.call.wake_up().at, START + LONGEST);
}

#[test]
fn a_party_known_from_the_list_can_leave_and_be_listed_again() {
    let mut stage = answered();
    stage.wake();
    stage.finish("ask", present(&["alice", "bob"]));
    assert!(stage.give(lost("bob", "B1")));
    assert!(!stage.give(lost("bob", "B1")));
    stage.wake();
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!(stage.events()[2..], ["connected", "reconnecting", "reconnected"]);
    assert_eq!(stage.call.wake_up().at, START + LONGEST);
}

#[test]
fn a_room_that_was_closed_early_leaves_the_parties_their_time() {
    let mut stage = Stage::connected();
    stage.give(Input::RoomFinished);
    stage.finish("ask", present(&[]));
    assert_eq!(stage.events()[4..], ["reconnecting", "reconnecting"]);
    assert_eq!((stage.stands(), stage.call.wake_up().at), ("active".to_owned(), stage.now + GRACE));
    stage.wake();
    stage.finish("ask", present(&[]));
    assert_eq!(stage.stands(), "ended (connection_lost)");
}

#[test]
fn a_party_that_came_while_livekit_was_asked_is_not_ended() {
    let mut stage = answered();
    stage.give(joined("alice", "A1"));
    stage.wake();
    stage.give(joined("bob", "B1"));
    stage.finish("ask", present(&["alice"]));
    assert_eq!(stage.stands(), "active");
    stage.wake();
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!((stage.stands(), stage.call.wake_up().at), ("active".to_owned(), START + LONGEST));
    let bob = stage.call.presence.callee.clone().expect("a visit");
    assert_eq!((bob.session.as_str(), bob.reconnects), ("B1", 0), "it is the session that he had");
    // When he does go, it is told and believed.
    assert!(stage.give(left("bob", "B1")));
    assert_eq!(stage.events().last().map(String::as_str), Some("reconnecting"));
}

#[test]
fn a_list_that_is_older_than_the_word_of_a_leaving_revives_nobody() {
    let mut stage = Stage::connected();
    stage.give(Input::PresenceDoubted);
    stage.after(Duration::from_millis(1)).give(left("bob", "B1"));
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!(stage.events()[4..], ["reconnecting"]);
    // One that was asked for since is.
    stage.after(Duration::from_secs(1)).give(Input::PresenceDoubted);
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!(stage.events()[4..], ["reconnecting", "reconnected"]);
}

#[test]
fn a_list_without_a_party_who_then_is_told_to_have_left_revives_nobody_either() {
    let mut stage = Stage::connected();
    stage.give(Input::PresenceDoubted);
    stage.finish("ask", present(&["alice"]));
    stage.give(Input::PresenceDoubted);
    stage.after(Duration::from_millis(1));
    assert!(stage.give(left("bob", "B1")) && !stage.give(left("bob", "B1")));
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!(stage.events()[4..], ["reconnecting"]);
}

#[test]
fn another_session_in_the_list_is_a_reconnection() {
    let mut stage = Stage::connected();
    stage.give(Input::PresenceDoubted);
    stage.finish("ask", listed(&[("alice", "A1"), ("bob", "B2")]));
    let bob = stage.call.presence.callee.clone().expect("a visit");
    assert_eq!((bob.session.as_str(), bob.reconnects, stage.events().len()), ("B2", 1, 4));
    assert!(!stage.give(joined("bob", "B2")) && !stage.give(lost("bob", "B1")));
    assert!(stage.give(lost("bob", "B2")));
}

#[test]
fn a_webhook_that_comes_again_revives_no_session() {
    let mut stage = Stage::connected();
    stage.all([lost("bob", "B1"), joined("bob", "B2"), lost("bob", "B2")]);
    let before = stage.call.clone();
    for input in [joined("bob", "B1"), lost("bob", "B1"), joined("bob", "B2"), joined("alice", "A1")] {
        assert!(!stage.give(input));
    }
    assert_eq!(stage.call, before);
}

#[test]
fn a_leaving_that_is_told_before_the_coming_is_remembered() {
    let mut stage = answered();
    stage.all([joined("alice", "A1"), left("bob", "B1")]);
    assert!(!stage.give(joined("bob", "B1")));
    assert_eq!((stage.call.presence.connected_at, stage.call.presence.peak), (None, 1));
}

#[test]
fn a_stranger_in_the_room_is_no_party() {
    let mut stage = answered();
    assert!(!stage.give(joined("carol", "C1")) && !stage.give(lost("carol", "C1")));
}

#[test]
fn without_presence_nobodys_absence_ends_a_call() {
    let mut stage = Stage::new(Invite { rules: Rules { presence: false, ..rules() }, ..invite() });
    stage.all([answer(IPHONE)]).settle();
    assert_eq!(stage.call.wake_up().at, START + LONGEST);
    stage.all([joined("alice", "A1"), joined("bob", "B1"), lost("bob", "B1"), Input::RoomFinished]);
    assert_eq!((stage.call.wake_up().at, stage.tasks().len()), (START + LONGEST, 0));
    stage.wake();
    assert_eq!(stage.stands(), "ended (max_duration)");
}

#[test]
fn a_call_ends_at_its_longest_length_even_if_livekit_is_being_asked() {
    let mut stage = Stage::connected();
    stage.after(LONGEST.saturating_sub(Duration::from_secs(3))).give(Input::RoomFinished);
    while !stage.call.is_ended() {
        stage.wake();
    }
    assert_eq!((stage.stands(), stage.now), ("ended (max_duration)".to_owned(), START + LONGEST));
    assert_eq!(stage.tasks(), ["free alice", "free bob", "account"]);
    assert_eq!(stage.call.presence.talk_ms, bellwire::domain::time::millis(LONGEST));
}

#[test]
fn a_party_that_joins_twice_replaces_itself() {
    // As LiveKit tells it, and the other way round.
    for order in [[joined("bob", "B2"), replaced("bob", "B1")], [replaced("bob", "B1"), joined("bob", "B2")]] {
        let mut stage = Stage::connected();
        stage.all(order.clone());
        assert_eq!((stage.events().len(), stage.call.presence.together_since), (4, Some(START)), "{order:?}");
        let bob = stage.call.presence.callee.as_ref().expect("a visit");
        assert_eq!((bob.session.as_str(), bob.reconnects, bob.left_at), ("B2", 1, None), "{order:?}");
        // Its new session is what counts.
        assert!(!stage.give(lost("bob", "B1")));
        assert!(stage.give(lost("bob", "B2")));
        assert_eq!(stage.events()[4..], ["reconnecting"], "{order:?}");
    }
}

#[test]
fn a_party_that_was_replaced_without_a_word_of_the_new_session_is_still_there() {
    let mut stage = Stage::connected();
    stage.give(replaced("bob", "B1"));
    assert!(!stage.give(replaced("bob", "B1")));
    assert_eq!(stage.events().len(), 4);
    // Nor did the new one's coming arrive; its leaving does.
    stage.give(lost("bob", "B2"));
    assert_eq!(stage.events()[4..], ["reconnecting"]);
}

#[test]
fn what_statistics_need_is_counted() {
    let mut stage = Stage::connected();
    stage.after(Duration::from_mins(1)).give(lost("bob", "B1"));
    stage.after(Duration::from_secs(10)).give(joined("bob", "B2"));
    stage.after(Duration::from_secs(30)).give(replaced("bob", "B2"));
    stage.after(Duration::from_secs(1)).give(joined("bob", "B3"));
    stage.after(Duration::from_secs(9)).give(Input::HangUp(user("alice")));
    let (alice, bob) = (stage.call.presence.caller.as_ref(), stage.call.presence.callee.as_ref());
    let (alice, bob) = (alice.expect("a visit"), bob.expect("a visit"));
    assert_eq!((alice.there_ms, alice.reconnects, alice.reasons.len()), (110_000, 0, 0));
    assert_eq!((bob.there_ms, bob.reconnects), (100_000, 2));
    assert_eq!(bob.reasons, ["SIGNAL_CLOSE", "DUPLICATE_IDENTITY"]);
    let later = stage.now + Duration::from_hours(1);
    assert_eq!((alice.there_ms_until(later), bob.there_ms_until(later)), (110_000, 100_000), "it is over");
}

#[test]
fn reasons_are_few_and_short() {
    let mut stage = Stage::connected();
    for number in 0..20 {
        let reason = format!("REASON_{number:02} \u{202e}{}", "X".repeat(100));
        let session = format!("B{}", number + 1);
        stage.give(Input::ParticipantLeft { user: user("bob"), session: session.clone(), reason });
        stage.give(joined("bob", &format!("B{}", number + 2)));
    }
    let reasons = &stage.call.presence.callee.as_ref().expect("a visit").reasons;
    assert_eq!((reasons.len(), reasons[7].len()), (8, 32));
    assert!(reasons[7].starts_with("REASON_19X"), "{}", reasons[7]);
}

#[test]
fn figures_of_a_call_are_those_of_its_course() {
    let seconds = Duration::from_secs;
    let mut stage = Stage::new(invite());
    stage.after(seconds(1)).give(Input::ParticipantJoined(user("alice"), "a-1".to_owned()));
    stage.after(seconds(1)).give(alerting(IPHONE));
    stage.after(seconds(5)).give(answer(IPHONE));
    stage.after(seconds(2)).give(Input::ParticipantJoined(user("bob"), "b-1".to_owned()));
    stage.after(seconds(60)).give(lost("bob", "b-1"));
    stage.after(seconds(10)).give(Input::ParticipantJoined(user("bob"), "b-2".to_owned()));
    stage.after(seconds(20)).give(Input::HangUp(user("alice")));
    let figures = stage.call.statistics(stage.now);
    assert_eq!((figures.ring_ms, figures.answer_ms, figures.media_ms), (Some(5_000), Some(7_000), Some(2_000)));
    assert_eq!((figures.talk_ms, figures.total_ms, figures.reconnects), (80_000, 99_000, 1));
    // Alice from the first second on, Bob but for the ten seconds.
    assert_eq!((figures.participant_ms, figures.peak_participants), (98_000 + 80_000, 2));
    let stays: Vec<_> =
        stage.call.stays().iter().map(|stay| (stay.to.since(stay.from).as_secs(), stay.there_ms)).collect();
    assert_eq!(stays, [(98, 98_000), (90, 80_000)]);
}
