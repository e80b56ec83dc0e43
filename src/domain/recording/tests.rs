//! The rules of a recording, one sentence each.

mod late;
mod unsure;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::domain::{Job, JobId, Work};

const START: Timestamp = Timestamp::from_millis(1_712_345_678_000);

fn recording() -> Recording {
    serde_json::from_value(json!({
        "call": "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a", "parties": ["alice", "bob"], "room": "bw_main_1", "content": "audio",
        "state": "requested", "asked_by": "party:alice", "asked_at": START, "number": 1, "bucket": "calls",
        "key": "recordings/1.mp4", "retention_ms": 1_000_000_000_u64, "next_at": START,
    }))
    .expect("a recording")
}

/// What LiveKit says of its egress of this id, which writes the file.
fn told(egress: &str, status: Status) -> Report {
    let file = Some("recordings/1.mp4".to_owned());
    let (started_at, ended_at, duration_ms, bytes, error) = (None, None, None, None, None);
    Report { egress: egress.to_owned(), status, file, started_at, ended_at, duration_ms, bytes, error }
}

fn report(status: Status) -> Outcome {
    Outcome::Report(told("EG_1", status))
}

/// Does what is next, which must be this, a second later.
fn goes(recording: &mut Recording, next: Next, outcome: Outcome) {
    let now = recording.due() + Duration::from_secs(1);
    assert_eq!(recording.next(now), Some(next));
    recording.begin(now);
    recording.finish(recording.busy_until, next, outcome, now);
}

fn active() -> Recording {
    let mut recording = recording();
    goes(&mut recording, Next::Start, report(Status::Starting));
    goes(&mut recording, Next::Look, report(Status::Active));
    goes(&mut recording, Next::Tell(Tell::Started), Outcome::Done);
    recording
}

#[test]
fn it_goes_its_way_from_the_wish_to_its_end() {
    let mut recording = active();
    recording.ask_stop(recording.next_at);
    goes(&mut recording, Next::Stop, report(Status::Ending));
    goes(&mut recording, Next::Tell(Tell::Stopped), Outcome::Done);
    goes(&mut recording, Next::Look, report(Status::Complete));
    goes(&mut recording, Next::Tell(Tell::Ready), Outcome::Done);
    assert_eq!((recording.state, recording.due()), (RecordingState::Complete, recording.retained_until()));
    assert_eq!(recording.next(recording.due()), Some(Next::Remove));
}

#[test]
fn while_one_is_at_work_nobody_else_begins() {
    let mut recording = recording();
    recording.begin(START);
    let before = START + LEASE - Duration::from_secs(1);
    recording.ask_stop(before);
    assert_eq!(recording.next(before), None);
    // The one at work never came back: whether it was started is asked before it counts as stopped.
    assert_eq!(recording.next(START + LEASE), Some(Next::Stop));
    goes(&mut recording, Next::Stop, Outcome::Missing);
    assert_eq!(recording.state, RecordingState::Stopping, "LiveKit may be about to list it");
}

#[test]
fn what_nobody_ever_asked_livekit_for_is_stopped_at_once() {
    let mut recording = recording();
    recording.ask_stop(START);
    assert_eq!((recording.state, recording.tell.as_slice()), (RecordingState::Aborted, [Tell::Failed].as_slice()));
}

#[test]
fn a_late_failure_of_another_attempt_changes_nothing_and_late_news_counts() {
    let mut recording = recording();
    recording.begin(START);
    let first = recording.busy_until;
    recording.begin(START + LEASE);
    let before = recording.clone();
    recording.finish(first, Next::Start, Outcome::Refused("too late".to_owned()), START + LEASE);
    assert_eq!(recording, before);
    recording.finish(first, Next::Start, report(Status::Active), START + LEASE);
    assert_eq!((recording.state, recording.busy_until), (RecordingState::Active, before.busy_until));
}

#[test]
fn reports_only_lead_forward() {
    let mut recording = active();
    let next_at = recording.next_at;
    for late in [told("EG_1", Status::Starting), told("EG_1", Status::Unknown), told("EG_2", Status::Failed)] {
        assert!(!recording.reported(&late, next_at), "{late:?}");
    }
    assert_eq!(recording.state, RecordingState::Active);
}

#[test]
fn one_whose_beginning_was_never_told_is_told_with_its_end() {
    let mut recording = recording();
    goes(&mut recording, Next::Start, report(Status::Complete));
    assert_eq!(recording.tell, [Tell::Started, Tell::Stopped, Tell::Ready]);
}

#[test]
fn starting_is_given_up_after_ten_tries_and_erasing_never() {
    let unavailable = || Outcome::Unavailable("no worker".to_owned());
    let mut recording = recording();
    for _ in 0..10 {
        assert_eq!(recording.state, RecordingState::Requested);
        goes(&mut recording, Next::Start, unavailable());
    }
    assert_eq!((recording.state, recording.why.as_deref()), (RecordingState::Failed, Some("no worker")));
    assert!(recording.ended_at.is_some_and(|at| at < START + Duration::from_mins(3)));
    goes(&mut recording, Next::Tell(Tell::Failed), Outcome::Done);
    recording.ask_erase(recording.next_at);
    for _ in 0..30 {
        goes(&mut recording, Next::Erase, unavailable());
    }
    assert_eq!(recording.state, RecordingState::Erasing);
}

#[test]
fn a_worker_that_died_ends_a_recording_in_an_hour() {
    let mut recording = active();
    recording.ask_stop(recording.next_at);
    goes(&mut recording, Next::Stop, report(Status::Active));
    while recording.state == RecordingState::Stopping {
        goes(&mut recording, Next::Look, report(Status::Active));
    }
    let stopped = recording.stop_at.expect("stopped");
    assert_eq!(recording.state, RecordingState::Failed);
    assert!(recording.ended_at.is_some_and(|at| at < stopped + Duration::from_mins(62)));
}

#[test]
fn every_file_of_it_is_known() {
    let plan = RecordingPlan { prefix: "a/b".to_owned(), ..RecordingPlan::default() };
    let call = recording().call;
    let third = Recording { key: plan.key(call, 3), number: 3, ..recording() };
    assert_eq!(third.keys(), [1, 2, 3].map(|number| plan.key(call, number)));
    assert_eq!(recording().keys(), ["recordings/1.mp4"]);
}

#[test]
fn its_record_keeps_what_it_does_not_know() {
    let call = recording().call;
    let job = Job::new(JobId::recording(call), Work::Recording(Box::new(active())), START, START);
    let mut written: Value = serde_json::to_value(&job).expect("JSON");
    assert_eq!(written["work"]["kind"], "recording");
    written["work"]["x_new"] = json!({"of": ["a newer release"]});
    let read: Job = serde_json::from_value(written.clone()).expect("a job");
    let Work::Recording(recording) = &read.work else { panic!("{read:?}") };
    assert_eq!(recording.state, RecordingState::Active);
    assert_eq!(serde_json::to_value(&read).expect("JSON"), written);
}

/// The records that are kept.
fn fixtures() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/jobs/format-1");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| {
        let record = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        (path.display().to_string(), record)
    };
    files.map(read).filter(|(_, record): &(_, Value)| record["work"]["kind"] == "recording").collect()
}

#[test]
fn a_record_of_an_earlier_release_is_read_and_written_back_whole() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 6);
    for (name, record) in fixtures {
        let job: Job = serde_json::from_value(record.clone()).expect("a job");
        assert_eq!(serde_json::to_value(&job).expect("JSON"), record, "{name}");
        let Work::Recording(recording) = job.work else { panic!("{name}") };
        assert_eq!(recording.unknown, Unknown::default(), "{name}");
        assert_eq!(recording.start_sent, name.contains("unsure"), "{name}");
    }
}

#[test]
fn whatever_is_written_today_stands_in_a_fixture() {
    let now = Some(START);
    let full = Recording {
        egress: Some("EG_1".to_owned()),
        heard: Status::Active,
        started_at: now,
        ended_at: now,
        duration_ms: Some(1),
        bytes: Some(1),
        why: Some("why".to_owned()),
        start_sent: true,
        stop_at: now,
        stop_sent: true,
        strays: vec!["EG_2".to_owned()],
        tell: vec![Tell::Started],
        tries: 1,
        missing_since: now,
        busy_until: now,
        ..recording()
    };
    let written = serde_json::to_value(full).expect("JSON");
    let fixtures = fixtures();
    for field in written.as_object().expect("an object").keys() {
        assert!(fixtures.iter().any(|(_, record)| record["work"].get(field).is_some()), "{field}");
    }
}

#[test]
fn who_asked_is_one_word() {
    for by in [AskedBy::Policy, AskedBy::Service, AskedBy::Party(UserId::new("party:1").expect("a user"))] {
        assert_eq!(AskedBy::try_from(String::from(by.clone())), Ok(by));
    }
    assert!(AskedBy::try_from("party:".to_owned()).is_err() && AskedBy::try_from("nobody".to_owned()).is_err());
}
