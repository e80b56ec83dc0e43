//! What LiveKit says of a recording that is over.

use super::*;

/// One that may have been started, and of which nothing was found for a minute; the call has been told.
fn aborted() -> Recording {
    let mut recording = recording();
    goes(&mut recording, Next::Start, Outcome::Unsure("no answer in time".to_owned()));
    recording.ask_stop(recording.next_at);
    while recording.state == RecordingState::Stopping {
        goes(&mut recording, Next::Stop, Outcome::Missing);
    }
    goes(&mut recording, Next::Tell(Tell::Failed), Outcome::Done);
    recording
}

/// One whose file was deleted before LiveKit said that it was there.
fn erased() -> Recording {
    let mut recording = aborted();
    recording.ask_erase(START + Duration::from_mins(5));
    goes(&mut recording, Next::Erase, Outcome::Done);
    assert_eq!((recording.state, recording.due()), (RecordingState::Erased, recording.retained_until()));
    recording
}

/// An hour later LiveKit says this.
fn hears(recording: &mut Recording, report: &Report) -> bool {
    recording.reported(report, START + Duration::from_hours(1))
}

#[test]
fn one_that_runs_unknown_is_stopped() {
    let failed = Recording { state: RecordingState::Failed, ..aborted() };
    let erasing = Recording { state: RecordingState::Erasing, ..aborted() };
    for mut recording in [aborted(), failed, erasing, erased()] {
        let state = recording.state;
        for status in [Status::Starting, Status::Active] {
            assert!(hears(&mut recording, &told("EG_1", status)));
            assert!(!hears(&mut recording, &told("EG_1", status)), "once is enough");
            goes(&mut recording, Next::StopStray, Outcome::Refused("it ends already".to_owned()));
        }
        assert_eq!(recording.state, state);
    }
}

#[test]
fn what_livekit_has_ended_is_not_stopped_again() {
    let mut recording = active();
    goes(&mut recording, Next::Look, report(Status::Complete));
    assert!(!hears(&mut recording, &told("EG_1", Status::Active)));
    recording.ask_erase(recording.next_at);
    assert!(
        !hears(&mut recording, &told("EG_1", Status::Active))
            && !hears(&mut recording, &told("EG_1", Status::Complete))
    );
}

#[test]
fn a_file_that_comes_late_counts_once() {
    let failed = Recording { state: RecordingState::Failed, egress: Some("EG_1".to_owned()), ..aborted() };
    for mut recording in [aborted(), failed] {
        assert!(hears(&mut recording, &told("EG_1", Status::Complete)));
        assert_eq!((recording.state, recording.why.as_deref()), (RecordingState::Complete, None));
        assert_eq!(recording.tell.iter().filter(|tell| **tell == Tell::Ready).count(), 1);
        assert!(!hears(&mut recording, &told("EG_1", Status::Complete)), "once");
    }
}

#[test]
fn a_failure_that_nobody_was_told_of_yet_is_not_told_after_a_late_file() {
    let mut recording = active();
    while recording.state == RecordingState::Active {
        goes(&mut recording, Next::Look, Outcome::Missing);
    }
    assert_eq!(recording.tell, [Tell::Failed]);
    assert!(hears(&mut recording, &told("EG_1", Status::Complete)));
    assert_eq!(recording.tell, [Tell::Stopped, Tell::Ready]);
}

#[test]
fn a_file_that_comes_after_it_was_erased_is_erased() {
    let mut recording = erased();
    assert!(hears(&mut recording, &told("EG_1", Status::Complete)));
    assert_eq!(recording.state, RecordingState::Erasing);
    goes(&mut recording, Next::Erase, Outcome::Done);
    assert_eq!(recording.state, RecordingState::Erased);
    assert!(!hears(&mut recording, &told("EG_1", Status::Complete)), "once");
}

#[test]
fn a_file_that_comes_while_it_is_erased_is_erased_after_that() {
    let mut recording = aborted();
    recording.ask_erase(START + Duration::from_mins(5));
    let now = recording.due();
    recording.begin(now);
    let begun = recording.busy_until;
    assert!(recording.reported(&told("EG_1", Status::Complete), now));
    recording.finish(begun, Next::Erase, Outcome::Done, now);
    assert_eq!((recording.state, recording.next(now)), (RecordingState::Erasing, Some(Next::Erase)));
}

#[test]
fn an_erased_file_is_deleted_once_more_with_its_record() {
    let recording = erased();
    let until = recording.retained_until();
    assert_eq!((recording.next(until - Duration::from_secs(1)), recording.next(until)), (None, Some(Next::Remove)));
}

#[test]
fn what_cannot_be_deleted_when_its_time_is_over_is_shown_to_nobody_any_more() {
    for outcome in [Outcome::Refused("no such bucket".to_owned()), Outcome::Unavailable("no answer".to_owned())] {
        let mut recording = active();
        goes(&mut recording, Next::Look, report(Status::Complete));
        goes(&mut recording, Next::Tell(Tell::Stopped), Outcome::Done);
        goes(&mut recording, Next::Tell(Tell::Ready), Outcome::Done);
        goes(&mut recording, Next::Remove, outcome);
        assert_eq!(recording.state, RecordingState::Erasing);
        goes(&mut recording, Next::Erase, Outcome::Done);
        assert_eq!(recording.next(recording.due()), Some(Next::Remove));
    }
}

#[test]
fn a_second_egress_with_its_file_is_stopped_and_the_first_goes_on() {
    let mut recording = active();
    assert!(hears(&mut recording, &told("EG_2", Status::Active)));
    goes(&mut recording, Next::StopStray, Outcome::Done);
    assert_eq!((recording.state, recording.egress.as_deref()), (RecordingState::Active, Some("EG_1")));
    assert!(!hears(&mut recording, &told("EG_2", Status::Ending)));
}

#[test]
fn an_egress_of_the_one_before_is_stopped_and_its_file_erased() {
    let mut recording = Recording { number: 2, key: "recordings/1-2.mp4".to_owned(), ..erased() };
    assert!(hears(&mut recording, &told("EG_9", Status::Starting)));
    goes(&mut recording, Next::StopStray, Outcome::Done);
    assert!(hears(&mut recording, &told("EG_9", Status::Complete)));
    assert_eq!(recording.state, RecordingState::Erasing);
    let of_an_operator = Report { file: Some("another.mp4".to_owned()), ..told("EG_8", Status::Active) };
    assert!(!hears(&mut recording, &of_an_operator));
}

#[test]
fn the_answer_to_a_start_that_came_too_late_is_stopped() {
    let mut recording = recording();
    recording.begin(START);
    let first = recording.busy_until;
    recording.begin(START + LEASE);
    recording.finish(recording.busy_until, Next::Start, report(Status::Active), START + LEASE);
    recording.finish(first, Next::Start, Outcome::Report(told("EG_2", Status::Starting)), START + LEASE);
    assert_eq!(
        (recording.egress.as_deref(), recording.strays.as_slice()),
        (Some("EG_1"), ["EG_2".to_owned()].as_slice())
    );
}

#[test]
fn a_clock_of_livekit_that_is_ahead_keeps_nothing_for_longer() {
    let mut recording = active();
    let ahead = Some(recording.next_at + Duration::from_hours(24 * 365));
    let complete = Report { ended_at: ahead, ..told("EG_1", Status::Complete) };
    assert!(recording.reported(&complete, recording.next_at));
    assert_eq!(recording.ended_at, Some(recording.next_at));
}

#[test]
fn of_an_erased_one_whose_parties_are_forgotten_a_late_file_goes_too() {
    let mut recording = erased();
    let now = recording.ended_at.expect("its end") + Duration::from_hours(5);
    recording.forget_parties(now);
    assert!(!serde_json::to_string(&recording).expect("JSON").contains("alice"));
    assert_eq!(recording.next(now + Duration::from_hours(23)), None);
    assert!(recording.reported(&told("EG_1", Status::Complete), now));
    goes(&mut recording, Next::Erase, Outcome::Done);
    assert_eq!(recording.state, RecordingState::Erased);
    assert_eq!(recording.next(now + Duration::from_hours(24)), Some(Next::Remove), "and once more");
}

#[test]
fn one_that_runs_although_it_was_erased_is_stopped_before_its_names_are_waited_for() {
    let mut recording = erased();
    let now = START + Duration::from_hours(1);
    assert!(recording.reported(&told("EG_1", Status::Active), now));
    recording.forget_parties(now);
    assert_eq!(recording.next(now), Some(Next::StopStray));
}
