//! The rules of a call's room, one sentence each: it is there for those who may come, and for nobody after the end.

use super::*;

fn managed() -> Stage {
    Stage::new(with_rooms(invite()))
}

/// Answered, with both in the room.
fn connected() -> Stage {
    let mut stage = managed();
    stage.settle().all([alerting(IPHONE), answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]).settle();
    stage
}

/// How often LiveKit is asked about this call.
fn check() -> Duration {
    connected().call.wake_up().at.since(START)
}

fn done() -> TaskResult {
    TaskResult::Done(Vec::new())
}

#[test]
fn the_room_is_made_with_the_invite_and_after_the_pushes_are_begun() {
    assert_eq!(managed().tasks(), ["ring iphone-1", "ring pixel-1", "open room"]);
    assert!(!Stage::new(invite()).tasks().contains(&"open room".to_owned()), "where rooms are managed");
}

#[test]
fn a_blocked_caller_finds_a_room_too() {
    let mut stage = Stage::new(Invite { hidden: true, ..with_rooms(invite()) });
    assert_eq!(stage.tasks(), ["open room"]);
    stage.settle().wake();
    assert_eq!(stage.tasks(), ["free alice", "close room"]);
}

#[test]
fn a_call_that_ends_at_once_has_no_room() {
    let busy = Stage::new(Invite { busy: true, ..with_rooms(invite()) });
    let unreachable = Stage::new(Invite { devices: Vec::new(), ..with_rooms(invite()) });
    for stage in [busy, unreachable] {
        assert!(!stage.tasks().iter().any(|task| task.contains("room")), "{:?}", stage.tasks());
    }
}

#[test]
fn a_call_goes_on_without_its_room() {
    let mut stage = managed();
    for _ in 0..5 {
        stage.finish("open room", TaskResult::Retry(Duration::from_millis(400), Vec::new()));
        stage.wake();
    }
    stage.all([alerting(IPHONE), answer(IPHONE)]);
    assert_eq!(stage.stands(), "active");
    stage.after(RING + CONNECT).give(Input::Wake);
    assert!(!stage.tasks().contains(&"open room".to_owned()), "its purpose is over");
}

#[test]
fn every_end_closes_the_room() {
    for end in [Input::Cancel, declined(IPHONE), Input::HangUp(user("bob")), Input::Redialled] {
        let mut stage = managed();
        stage.settle().give(end.clone());
        assert!(stage.tasks().contains(&"close room".to_owned()), "{end:?}");
    }
    let mut stage = connected();
    stage.give(Input::HangUp(user("bob")));
    assert_eq!(stage.tasks(), ["free alice", "free bob", "account", "close room"]);
}

#[test]
fn a_ban_takes_the_banned_out_of_the_room_first() {
    let mut stage = connected();
    stage.give(Input::Banned(user("bob")));
    assert_eq!((stage.stands(), stage.tasks()[3].as_str()), ("ended (banned)".to_owned(), "close room without bob"));
}

#[test]
fn a_room_that_was_made_after_the_end_is_closed_again() {
    let mut stage = managed();
    stage.give(Input::Cancel);
    stage.finish("close room", done());
    assert!(stage.tasks().contains(&"open room".to_owned()), "it is under way");
    stage.finish("open room", done());
    assert!(stage.tasks().contains(&"close room".to_owned()));
    stage.settle();
    assert_eq!(stage.tasks(), Vec::<String>::new());
}

#[test]
fn a_room_of_which_nobody_knows_whether_it_was_made_is_closed_again() {
    let mut stage = managed();
    stage.give(Input::Cancel);
    for task in stage.tasks().iter().filter(|task| *task != "open room") {
        stage.finish(task, done());
    }
    let before = stage.call.clone();
    stage.wake();
    assert_eq!((stage.now, stage.tasks()), (START + Duration::from_secs(6), vec!["close room".to_owned()]));
    assert_eq!(stage.call.begun_since(Some(&before)).count(), 1, "and it is not made again");
}

#[test]
fn who_comes_after_the_end_is_taken_out_and_the_room_is_closed_again() {
    let mut stage = connected();
    stage.give(Input::HangUp(user("alice")));
    stage.settle();
    assert!(stage.give(joined("bob", "B2")));
    assert_eq!(stage.tasks(), ["close room without bob"]);
    stage.settle();
    for again in [joined("bob", "B2"), joined("bob", "B1"), joined("carol", "C1"), lost("bob", "B2")] {
        assert!(!stage.give(again));
    }
    assert!(stage.give(joined("bob", "B3")));
    assert_eq!(
        (stage.tasks(), stage.stands()),
        (vec!["close room without bob".to_owned()], "ended (completed)".to_owned())
    );
}

#[test]
fn who_comes_while_the_room_is_being_closed_is_taken_out_too() {
    let mut stage = connected();
    stage.give(Input::Banned(user("bob")));
    let (closing, _) = stage.task("close room without bob");
    stage.give(joined("alice", "A2"));
    let (again, attempt) = stage.task("close room without alice");
    assert!(again > closing && attempt == 1, "the first may have been done before she came");
}

#[test]
fn a_room_that_is_made_by_who_joins_after_the_end_is_closed() {
    let mut stage = connected();
    stage.give(Input::HangUp(user("alice")));
    stage.settle();
    assert!(stage.give(Input::RoomStarted) && !stage.give(Input::RoomStarted));
    assert_eq!(stage.tasks(), ["close room"]);
}

#[test]
fn a_room_that_cannot_be_closed_is_left_to_the_sweep_after_ten_minutes() {
    let mut stage = connected();
    stage.give(Input::HangUp(user("alice")));
    let ended = stage.now;
    while stage.tasks().iter().any(|task| task == "close room") {
        stage.finish("close room", TaskResult::Retry(Duration::from_secs(15), Vec::new()));
        stage.wake();
    }
    assert!(stage.now >= ended + Duration::from_mins(10) - Duration::from_secs(15));
    assert!(stage.now <= ended + Duration::from_mins(10));
}

#[test]
fn a_party_that_gets_a_token_finds_a_room() {
    let mut stage = connected();
    assert!(stage.give(Input::TokenGiven) && !stage.give(Input::TokenGiven));
    assert_eq!(stage.tasks(), ["open room"]);
    stage.settle();
    assert!(stage.give(Input::TokenGiven));
}

#[test]
fn a_room_that_closes_while_the_phone_rings_is_made_again() {
    let mut stage = managed();
    stage.settle().give(Input::RoomFinished);
    assert_eq!(stage.tasks(), ["open room"]);
}

#[test]
fn a_room_that_livekit_has_lost_is_made_again_for_those_who_come_back() {
    let mut stage = connected();
    stage.give(Input::RoomFinished);
    stage.finish("ask", present(&[]));
    assert_eq!((stage.stands(), stage.tasks()), ("active".to_owned(), vec!["open room".to_owned()]));
    assert_eq!(stage.events()[4..], ["reconnecting", "reconnecting"]);
    stage.finish("open room", done());
    stage.all([joined("bob", "B2"), joined("alice", "A2")]);
    assert_eq!(stage.events()[6..], ["reconnected", "reconnected"]);
    assert_eq!(stage.call.wake_up().at, stage.now + check());
}

#[test]
fn a_lost_room_that_nobody_comes_back_to_is_a_lost_connection_after_the_grace() {
    let mut stage = connected();
    stage.give(Input::RoomFinished);
    stage.finish("ask", present(&[]));
    stage.settle().wake();
    assert_eq!(stage.now, START + GRACE);
    stage.finish("ask", present(&[]));
    assert_eq!(stage.stands(), "ended (connection_lost)");
    assert!(!stage.tasks().contains(&"open room".to_owned()));
}

#[test]
fn livekit_is_asked_every_five_minutes_or_sooner_about_a_call_that_goes_on_quietly() {
    let mut stage = connected();
    for times in 1..=3 {
        stage.wake();
        assert_eq!((stage.now, stage.tasks()), (START + check() * times, vec!["ask".to_owned()]));
        stage.finish("ask", present(&["alice", "bob"]));
    }
    assert_eq!(stage.events().len(), 4);
}

#[test]
fn calls_that_connect_together_are_not_asked_about_together() {
    let mut times = std::collections::BTreeSet::new();
    for byte in 0..=255 {
        let mut stage = connected();
        stage.call.id = CallId::parse(&format!("019a3c5e-7c3a-7c3a-8c3a-0192f3d17c{byte:02x}")).expect("a call id");
        times.insert(stage.call.wake_up().at.since(START));
    }
    let (first, last) = (times.first().expect("a time"), times.last().expect("a time"));
    assert_eq!((times.len(), *last), (256, Duration::from_mins(5)));
    assert!(*first >= Duration::from_mins(4), "{first:?}");
}

#[test]
fn a_doubt_that_livekit_does_not_answer_is_asked_again_in_seconds() {
    let mut stage = connected();
    for _ in 0..3 {
        let asked = stage.now;
        stage.give(Input::PresenceDoubted);
        stage.finish("ask", TaskResult::Failed(Vec::new()));
        stage.wake();
        assert_eq!((stage.now, stage.tasks()), (asked + Duration::from_secs(5), vec!["ask".to_owned()]));
        stage.finish("ask", TaskResult::Failed(Vec::new()));
    }
    let asked = stage.now;
    stage.wake();
    stage.finish("ask", present(&["alice", "bob"]));
    assert_eq!(stage.call.wake_up().at, asked + Duration::from_secs(5) + check(), "answered, it is forgotten");
}

#[test]
fn a_pause_of_a_quiet_call_does_not_delay_the_end_of_a_grace() {
    let mut stage = connected();
    for _ in 0..3 {
        stage.wake();
        stage.finish("ask", TaskResult::Failed(Vec::new()));
    }
    stage.give(lost("bob", "B1"));
    assert_eq!(stage.call.wake_up().at, stage.now + GRACE);
}

#[test]
fn a_check_that_livekit_does_not_answer_is_made_again_in_a_minute() {
    let mut stage = connected();
    stage.wake();
    let asked = stage.now;
    stage.finish("ask", TaskResult::Failed(Vec::new()));
    assert_eq!((stage.call.wake_up().at, stage.stands()), (asked + Duration::from_mins(1), "active".to_owned()));
}

#[test]
fn a_check_finds_who_left_without_a_webhook_and_gives_them_the_grace() {
    let mut stage = connected();
    stage.give(Input::PresenceDoubted);
    stage.finish("ask", present(&["alice"]));
    assert_eq!((stage.stands(), stage.events()[4].as_str()), ("active".to_owned(), "reconnecting"));
    assert_eq!(stage.call.wake_up().at, stage.now + GRACE);
}

#[test]
fn livekit_keeps_an_empty_room_longer_than_the_grace_and_an_unused_one_longer_than_the_ring() {
    let call = managed().call;
    assert_eq!(call.rules.departure_timeout(), GRACE + Duration::from_secs(10));
    assert!(call.empty_timeout(START) > RING + CONNECT);
    assert_eq!(call.empty_timeout(START + RING), CONNECT + Duration::from_mins(1));
}
