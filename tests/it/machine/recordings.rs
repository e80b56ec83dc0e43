//! The rules of a call's recording as the call knows it: it begins where both are connected, both are told, and it does not outlast the call.

use bellwire::domain::EventKind;
use bellwire::domain::recording::{AskedBy, Content, Stage as Recorded};

use super::*;

fn asked() -> Input {
    Input::RecordingAsked(AskedBy::Party(user("bob")))
}

const STARTED: Input = Input::RecordingStarted(1, Content::Audio);
const STOPPED: Input = Input::RecordingStopped(1);
const FAILED: Input = Input::RecordingFailed(1);

/// The scene of a row of the table.
pub(super) fn scene(row: &str, quiet: Stage) -> Option<(Stage, Input)> {
    let column = quiet.call.state;
    let until = |recorded: &[Input]| {
        let mut stage = Stage::connected();
        for input in recorded {
            stage.give(input.clone());
        }
        match column {
            State::Calling | State::Ringing => return None,
            State::Active => {}
            State::Ended => _ = stage.give(Input::HangUp(user("alice"))),
        }
        Some(stage)
    };
    Some(match row {
        "recording asked" => (quiet, asked()),
        "recording asked (it is recorded already)" => (until(&[asked(), STARTED])?, asked()),
        "recording started (it is to begin)" => (until(&[asked()])?, STARTED),
        "recording started (none is wanted)" => (quiet, STARTED),
        "recording stopped (LiveKit records)" => (until(&[asked(), STARTED])?, STOPPED),
        "recording stopped (none is wanted)" => (quiet, STOPPED),
        "recording failed (it is to begin)" => (until(&[asked()])?, FAILED),
        "recording failed (none is wanted)" => (quiet, FAILED),
        _ => return None,
    })
}

/// A call whose recording was stopped.
pub(super) fn stopped() -> Stage {
    let mut stage = Stage::connected();
    stage.all([asked(), STARTED, STOPPED]);
    stage
}

fn stage_of(call: &Stage) -> Recorded {
    call.call.recording.as_ref().expect("a recording").stage
}

#[test]
fn it_begins_when_both_are_connected() {
    let mut stage = Stage::new(invite());
    stage.settle().all([answer(IPHONE), joined("alice", "A1"), asked()]);
    assert!(!stage.tasks().contains(&"start recording".to_owned()));
    stage.give(joined("bob", "B1"));
    assert!(stage.tasks().contains(&"start recording".to_owned()));
    // Coming back is no reason to begin again.
    stage.settle().all([lost("bob", "B1"), joined("bob", "B2")]);
    assert_eq!(stage.tasks(), Vec::<String>::new());
}

#[test]
fn where_every_call_is_recorded_nobody_asks() {
    let mut stage = Stage::new(Invite { rules: Rules { record: true, ..rules() }, ..invite() });
    stage.settle().all([answer(IPHONE), joined("alice", "A1"), joined("bob", "B1")]);
    assert!(stage.tasks().contains(&"start recording".to_owned()));
    assert_eq!(stage.call.recording.as_ref().map(|recording| &recording.asked_by), Some(&AskedBy::Policy));
}

#[test]
fn both_are_told_once_with_what_and_by_whom() {
    let mut stage = Stage::connected();
    stage.all([asked(), STARTED, STARTED]);
    let told = stage.call.events.last().map(|event| &event.kind);
    let expected = EventKind::RecordingStarted { media: Content::Audio, user_id: Some(user("bob")) };
    assert_eq!(told, Some(&expected));
    stage.all([STOPPED, STOPPED]);
    assert_eq!(stage.events().iter().filter(|event| event.starts_with("recording")).count(), 2);
}

#[test]
fn the_end_of_the_call_stops_it_and_is_told_last() {
    let mut stage = Stage::connected();
    stage.all([asked(), STARTED]).settle().give(Input::HangUp(user("alice")));
    assert_eq!(stage.events()[4..], ["recording_started", "recording_stopped", "ended"]);
    assert!(stage.tasks().contains(&"stop recording".to_owned()));
    assert_eq!(stage_of(&stage), Recorded::Over);
}

#[test]
fn a_call_that_ends_while_it_begins_still_stops_it() {
    let mut stage = Stage::connected();
    stage.all([asked(), Input::Cancel]);
    let tasks = stage.tasks();
    assert!(
        tasks.contains(&"stop recording".to_owned()) && !tasks.contains(&"start recording".to_owned()),
        "{tasks:?}"
    );
    assert!(!stage.events().contains(&"recording_stopped".to_owned()), "nothing was recorded");
}

#[test]
fn one_that_failed_can_be_asked_for_again() {
    let mut stage = Stage::connected();
    stage.all([asked(), STARTED, FAILED]);
    assert_eq!(
        (stage_of(&stage), stage.events().last().map(String::as_str)),
        (Recorded::Failed, Some("recording_stopped"))
    );
    stage.settle().give(asked());
    assert!(stage.tasks().contains(&"start recording".to_owned()));
    // What is said of the first one is not said of the second.
    assert!(!stage.give(FAILED) && !stage.give(STARTED));
    assert!(stage.give(Input::RecordingStarted(2, Content::Audio)));
}

#[test]
fn one_that_was_made_is_the_only_one() {
    let mut stage = stopped();
    assert!(!stage.give(asked()));
}

#[test]
fn only_an_answered_call_is_recorded() {
    let stage = Stage::new(invite());
    assert_eq!(stage.refuses(&asked()), RefusalReason::NotAnswered);
}
