//! Whether LiveKit records is not known: an answer was lost, or it says for a moment that it knows of none.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn unsure() -> Outcome {
    Outcome::Unsure("no answer in time".to_owned())
}

/// LiveKit says again and again that it knows of none, until something else is due; says for how long.
fn is_missed(recording: &mut Recording, next: Next) -> Duration {
    let from = recording.due();
    while recording.next(recording.due()) == Some(next) {
        goes(recording, next, Outcome::Missing);
    }
    Duration::from_millis(recording.due().as_millis() - from.as_millis())
}

/// It is stopped while it is not known whether it was started.
fn perhaps_started() -> Recording {
    let mut recording = recording();
    goes(&mut recording, Next::Start, unsure());
    recording.ask_stop(recording.next_at);
    recording
}

/// Given up, because LiveKit has known nothing of it for a minute, and the call has been told.
fn lost() -> Recording {
    let mut recording = active();
    is_missed(&mut recording, Next::Look);
    goes(&mut recording, Next::Tell(Tell::Failed), Outcome::Done);
    recording
}

#[test]
fn two_empty_lists_far_apart_mean_nothing() {
    for seen_between in [report(Status::Active), Outcome::Unavailable("LiveKit is down".to_owned())] {
        let mut recording = active();
        goes(&mut recording, Next::Look, Outcome::Missing);
        goes(&mut recording, Next::Look, seen_between);
        recording.next_at = recording.next_at + 10 * MINUTE;
        goes(&mut recording, Next::Look, Outcome::Missing);
        assert_eq!(recording.state, RecordingState::Active);
        assert!(is_missed(&mut recording, Next::Look) >= Duration::from_secs(55));
        assert_eq!(recording.state, RecordingState::Failed);
    }
}

#[test]
fn a_webhook_that_tells_nothing_new_shows_that_it_is_not_lost() {
    let mut recording = active();
    goes(&mut recording, Next::Look, Outcome::Missing);
    assert!(recording.reported(&told("EG_1", Status::Active), recording.next_at), "it must be written");
    assert_eq!(recording.missing_since, None);
    assert!(!recording.reported(&told("EG_1", Status::Active), recording.next_at), "once");
}

#[test]
fn one_that_was_given_up_is_told_to_stop() {
    let mut recording = lost();
    assert!(!recording.is_settled());
    goes(&mut recording, Next::StopStray, Outcome::Done);
    assert!(recording.is_settled());
    assert_eq!((recording.state, recording.due()), (RecordingState::Failed, recording.retained_until()));
}

#[test]
fn one_that_cannot_be_stopped_does_not_stand_in_the_way_of_its_erasure() {
    let mut recording = lost();
    recording.ask_erase(recording.next_at);
    let from = recording.due();
    while recording.next(recording.due()) == Some(Next::StopStray) {
        goes(&mut recording, Next::StopStray, Outcome::Unavailable("LiveKit is down".to_owned()));
    }
    assert!(recording.due() < from + 3 * MINUTE);
    goes(&mut recording, Next::Erase, Outcome::Done);
    assert_eq!(recording.state, RecordingState::Erased);
}

#[test]
fn an_empty_list_after_an_answer_that_was_lost_does_not_abort_it() {
    let mut recording = perhaps_started();
    goes(&mut recording, Next::Stop, Outcome::Missing);
    assert_eq!(recording.state, RecordingState::Stopping);
    goes(&mut recording, Next::Stop, report(Status::Ending));
    assert_eq!((recording.state, recording.egress.as_deref()), (RecordingState::Stopping, Some("EG_1")));
}

#[test]
fn a_minute_of_empty_lists_aborts_it() {
    let mut recording = perhaps_started();
    assert!(is_missed(&mut recording, Next::Stop) >= MINUTE);
    assert_eq!(
        (recording.state, recording.why.as_deref()),
        (RecordingState::Aborted, Some("it was stopped before it began"))
    );
    assert!(recording.strays.is_empty());
}

#[test]
fn what_comes_between_does_not_make_it_one_that_livekit_was_never_asked_for() {
    let mut recording = recording();
    goes(&mut recording, Next::Start, unsure());
    goes(&mut recording, Next::Start, Outcome::NothingYet);
    recording.ask_stop(recording.next_at);
    assert_eq!(recording.state, RecordingState::Stopping);
}

#[test]
fn what_was_not_sent_is_stopped_at_once() {
    let mut recording = recording();
    goes(&mut recording, Next::Start, Outcome::Unavailable("LiveKit is down".to_owned()));
    recording.ask_stop(recording.next_at);
    assert_eq!(recording.state, RecordingState::Aborted);
}

#[test]
fn what_turns_out_not_to_have_been_sent_is_over_when_that_is_known() {
    let mut recording = recording();
    recording.begin(START);
    recording.ask_stop(START);
    assert_eq!(recording.state, RecordingState::Stopping);
    recording.finish(recording.busy_until, Next::Start, Outcome::NothingYet, START);
    assert_eq!((recording.state, recording.tell.as_slice()), (RecordingState::Aborted, [Tell::Failed].as_slice()));
}

#[test]
fn a_start_that_is_given_up_is_looked_for_and_then_fails_in_livekits_words() {
    let mut recording = recording();
    while recording.next(recording.due()) == Some(Next::Start) {
        goes(&mut recording, Next::Start, unsure());
    }
    assert_eq!(recording.state, RecordingState::Stopping);
    is_missed(&mut recording, Next::Stop);
    assert_eq!((recording.state, recording.why.as_deref()), (RecordingState::Failed, Some("no answer in time")));
}

#[test]
fn a_start_is_not_given_up_once_livekit_has_it() {
    for outcome in [Outcome::Refused("twice".to_owned()), unsure(), Outcome::NothingYet] {
        let mut recording = recording();
        recording.tries = 9;
        recording.begin(START);
        assert!(recording.reported(&told("EG_1", Status::Active), START));
        recording.finish(recording.busy_until, Next::Start, outcome, START);
        assert_eq!((recording.state, recording.next(START)), (RecordingState::Active, Some(Next::Tell(Tell::Started))));
    }
}

#[test]
fn an_end_that_is_told_meanwhile_is_not_made_a_failure() {
    let mut recording = active();
    recording.ask_stop(recording.next_at);
    let late = recording.due() + Duration::from_hours(2);
    recording.begin(late);
    recording.reported(&told("EG_1", Status::Complete), late);
    recording.finish(recording.busy_until, Next::Stop, Outcome::Unavailable("LiveKit is down".to_owned()), late);
    assert_eq!(
        (recording.state, recording.tell.as_slice()),
        (RecordingState::Complete, [Tell::Stopped, Tell::Ready].as_slice())
    );
}

#[test]
fn one_that_its_call_does_not_want_is_stopped() {
    let mut recording = recording();
    goes(&mut recording, Next::Start, Outcome::NotWanted);
    assert_eq!(recording.state, RecordingState::Aborted);
    let mut recording = super::recording();
    goes(&mut recording, Next::Start, report(Status::Active));
    goes(&mut recording, Next::Tell(Tell::Started), Outcome::NotWanted);
    assert_eq!(recording.next(recording.due()), Some(Next::Stop), "the parties did not hear of it");
}

#[test]
fn one_that_ends_by_itself_is_not_stopped_and_is_waited_for_an_hour() {
    let mut recording = active();
    goes(&mut recording, Next::Look, report(Status::Ending));
    goes(&mut recording, Next::Tell(Tell::Stopped), Outcome::Done);
    let ended = recording.due();
    while recording.state == RecordingState::Stopping {
        goes(&mut recording, Next::Look, report(Status::Ending));
    }
    assert_eq!(recording.state, RecordingState::Failed);
    assert!(recording.ended_at.is_some_and(|at| at < ended + Duration::from_mins(62)));
}
