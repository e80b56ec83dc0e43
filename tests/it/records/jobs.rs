//! Records of jobs across releases, as `mod` does for calls: of every kind, a recording wherever it may stand.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::job::{Ban, Erased, Erasure, Mark, Webhook};
use bellwire::domain::recording::{AskedBy, Content, Next, Outcome, RecordingPlan, Report, Status};
use bellwire::domain::webhook::WebhookEvent;
use bellwire::domain::{EndpointId, Job, JobId, Recording, Timestamp, TraceParent, Unknown, Work};
use bellwire::store::embedded::Embedded;
use bellwire::store::{Store, codec};
use serde_json::{Value, json};
use uuid::Uuid;

use super::json::has;
use super::scenes::{START, Scene};
use super::{fixtures, is_job, newer, written_back_whole};
use crate::store_laws::fixture::user;

const ID: Uuid = Uuid::from_u128(0x0192_f3d1_7c3a_8c3a_8c3a_0000_0000_f1c7);
/// When everything happens that comes after the beginning.
const LATER: Timestamp = Timestamp::from_millis(START.as_millis() + 61_000);

/// A job of every kind, by name.
pub fn scenes() -> Vec<(String, Job)> {
    let kind = |name: &str, id, work| (format!("job-{name}"), Job::new(id, work, START, LATER));
    let marks = [
        kind("usage-check", JobId::usage_check(29_500_000), Work::UsageCheck(Mark::default())),
        kind("usage-warned", JobId::usage_warned("minutes", "2026-02", 5000, 80), Work::UsageWarned(Mark::default())),
        kind("erased", JobId::erasure(ID), Work::Erased(erased())),
    ];
    let webhooks =
        WebhookEvent::ALL.map(|event| (format!("job-webhook-{}", event.as_str().replace('.', "-")), webhook(event)));
    let recordings = recordings().map(|(name, recording)| {
        let work = Work::Recording(Box::new(recording));
        kind(&format!("recording-{name}"), JobId::recording(Scene::new().call.id), work)
    });
    let others = [("job-ban".to_owned(), ban()), ("job-erasure".to_owned(), erasure())];
    others.into_iter().chain(marks).chain(webhooks).chain(recordings).collect()
}

/// A ban of which endpoints are told that this gateway does not know.
fn ban() -> Job {
    let tell = ["0011223344556677", "8899aabbccddeeff"].map(|id| EndpointId::new(id).expect("an endpoint"));
    let ban = Ban {
        user: user("bob"),
        reason: Some("rude to Änn".to_owned()),
        created_at: START,
        until: Some(LATER),
        was_put: true,
        tell: tell.to_vec(),
        unknown: Unknown::default(),
    };
    let job = Job::new(JobId::ban(ID), Work::Ban(ban), START, LATER);
    job.begun(START).left_to_others(START, LATER)
}

fn webhook(event: WebhookEvent) -> Job {
    let webhook = Webhook {
        endpoint: EndpointId::new("0011223344556677").expect("an endpoint"),
        event,
        message: ID,
        body: json!({"type": event, "timestamp": "2026-02-02T02:40:00Z", "data": {"note": "\"Käse\""}}).to_string(),
        trace: TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        unknown: Unknown::default(),
    };
    let job = Job::new(JobId::webhook(ID), Work::Webhook(webhook), START, START);
    Job { until: Some(START + Duration::from_hours(72)), ..job }
}

/// An erasure that has done what it could at its first attempt.
fn erasure() -> Job {
    let erasure = Erasure {
        user: user("bob"),
        ban: true,
        asked_at: START,
        forgotten: true,
        erased: erased(),
        left: vec!["calls".to_owned(), "recordings".to_owned()],
        unknown: Unknown::default(),
    };
    Job::new(JobId::erasure(ID), Work::Erasure(erasure), START, START).begun(START).put_off(LATER)
}

fn erased() -> Erased {
    Erased {
        calls: 1,
        recordings: 2,
        devices: 3,
        blocks: 4,
        blocked_by: 5,
        contacts: 6,
        missed: 7,
        idempotency_keys: 8,
        rates: 9,
        bans: 1,
        history_rows: 11,
        unknown: Unknown::default(),
    }
}

/// A recording after each of the things that can happen to one.
fn recordings() -> [(&'static str, Recording); 12] {
    let missing = finished(heard(new(2), Status::Active), Next::Look, Outcome::Missing);
    let unsure = Outcome::Unsure("LiveKit does not answer".to_owned());
    let mut unwanted = new(1);
    unwanted.ask_stop(LATER);
    let mut under_way = new(1);
    under_way.begin(LATER);
    [
        ("requested", Recording { asked_by: AskedBy::Policy, content: Content::Audio, ..new(1) }),
        ("begun", under_way),
        ("unsure", finished(new(1), Next::Start, unsure)),
        ("starting", heard(new(1), Status::Starting)),
        ("active", heard(new(1), Status::Active)),
        ("missing", missing),
        ("stopping", heard(heard(new(1), Status::Active), Status::Ending)),
        ("complete", complete()),
        ("failed", strayed(heard(new(1), Status::Failed))),
        ("aborted", unwanted),
        ("erasing", erasing()),
        ("erased", forgotten()),
    ]
}

fn new(number: u32) -> Recording {
    let plan = RecordingPlan {
        content: Content::Composite,
        retention: Duration::from_hours(720),
        prefix: "calls".to_owned(),
        ..RecordingPlan::default()
    };
    Recording::new(&Scene::new().call, &plan, "recordings".to_owned(), AskedBy::Party(user("ann")), number, START)
}

/// LiveKit says this of it.
fn heard(mut recording: Recording, status: Status) -> Recording {
    let report = report(&recording, "EG_fictitious1", status);
    assert!(recording.reported(&report, LATER), "{status:?}");
    recording
}

fn report(recording: &Recording, egress: &str, status: Status) -> Report {
    let is_over = status >= Status::Complete;
    Report {
        egress: egress.to_owned(),
        status,
        file: Some(recording.key.clone()),
        started_at: Some(START),
        ended_at: is_over.then_some(LATER),
        duration_ms: is_over.then_some(60_000),
        bytes: is_over.then_some(1_234_567),
        error: (status == Status::Failed).then(|| "no space".to_owned()),
    }
}

/// One more egress writes its file.
fn strayed(mut recording: Recording) -> Recording {
    let report = report(&recording, "EG_fictitious2", Status::Active);
    assert!(recording.reported(&report, LATER));
    recording
}

/// This was next, and that came of it.
fn finished(mut recording: Recording, next: Next, outcome: Outcome) -> Recording {
    recording.tell.clear();
    recording.begin(LATER);
    recording.finish(recording.busy_until, next, outcome, LATER);
    recording
}

fn complete() -> Recording {
    heard(heard(new(1), Status::Active), Status::Complete)
}

/// Its file is to go, which the storage refuses.
fn erasing() -> Recording {
    let mut recording = complete();
    recording.ask_erase(LATER);
    finished(recording, Next::Erase, Outcome::Unavailable("the storage is away".to_owned()))
}

/// Its file is gone, and so is whose it was.
fn forgotten() -> Recording {
    let mut recording = finished(erasing(), Next::Erase, Outcome::Done);
    recording.forget_parties(LATER);
    recording
}

/// The fixtures that are jobs.
fn jobs() -> Vec<(String, Value)> {
    let jobs: Vec<_> = fixtures().into_iter().filter(|(_, record)| is_job(record)).collect();
    assert!(!jobs.is_empty(), "no fixture is a job");
    jobs
}

fn read(record: &Value) -> Job {
    codec::decode_job(&serde_json::to_vec(record).expect("JSON")).expect("a job")
}

/// The record of a job, with the commit that `record` has if any.
fn written(job: &Job, record: &Value) -> Value {
    let commit = record["commit"].as_str().unwrap_or_default();
    serde_json::from_slice(&codec::encode_job(job, commit).expect("a record")).expect("JSON")
}

#[test]
fn a_job_of_an_earlier_release_is_read_and_written_back_whole() {
    written_back_whole(jobs(), read, written);
}

#[test]
fn the_job_of_a_ban_that_had_but_the_user_tells_nobody() {
    let (_, record) = jobs().into_iter().find(|(name, _)| name == "job-ban-of-89111fd").expect("a fixture");
    let Work::Ban(Ban { user, was_put, tell, .. }) = read(&record).work else { panic!("{record}") };
    assert_eq!((user.as_str(), was_put, tell), ("bob", false, Vec::new()));
}

#[tokio::test]
async fn a_field_of_a_newer_release_is_kept_in_every_object_of_a_job() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), Clock::system());
    let store = store.expect("a store");
    for (name, record) in newer(jobs()) {
        let job = read(&record);
        assert!(has(&written(&job, &record), &record), "{name}");
        // Each under an id of its own, though some are for the same.
        let job = Job { id: JobId::new(&name).expect("a job id"), ..job };
        store.commit_job(&job, None).await.expect("written");
        assert_eq!(store.load_job(&job.id).await.expect("an answer"), Some(job), "{name}");
    }
}
