//! Records across releases: what an earlier one wrote is read, what a later one wrote is kept or left alone.
//!
//! `tests/fixtures/records` has records of each format as they were written; its README says how to add to them. The rules are in
//! docs/decisions/0009-records-across-versions.md.

mod extremes;
mod jobs;
mod json;
mod scenes;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Call, Environment, Input, Outcome, TaskResult, Timestamp, step};
use bellwire::store::embedded::Embedded;
use bellwire::store::{Slot, Store, StoreError, codec};
use serde_json::{Value, json};

use crate::store_laws::fixture::{android, create, device_id, loaded, user};
use json::{Place, WORDS, has, objects, places, shapes};

/// A field, and a word, that no release has had.
const NEW: &str = "x_new";

/// The records that are kept, with their names.
fn fixtures() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records/format-1");
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let record = |path: &Path| serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON");
    files.iter().map(|path| (name(path), record(path))).collect()
}

fn is_tombstone(record: &Value) -> bool {
    record["tombstone"] == json!(true)
}

fn is_job(record: &Value) -> bool {
    record.get("work").is_some()
}

/// The fixtures that are calls.
fn calls() -> Vec<(String, Value)> {
    fixtures().into_iter().filter(|(_, record)| !is_tombstone(record) && !is_job(record)).collect()
}

/// Records as a newer release would have written them: with one more field in each object.
fn newer(mut records: Vec<(String, Value)>) -> Vec<(String, Value)> {
    for (_, record) in &mut records {
        for Place { pointer, .. } in objects(record) {
            record.pointer_mut(&pointer).expect("a place")[NEW] = json!(["of a newer release", null, 1]);
        }
    }
    records
}

fn decode(record: &Value) -> Result<Slot, StoreError> {
    codec::decode(&serde_json::to_vec(record).expect("JSON"))
}

/// Why a record of any kind is not read.
fn refusal(record: &Value) -> Option<StoreError> {
    let text = serde_json::to_vec(record).expect("JSON");
    if is_job(record) { codec::decode_job(&text).err() } else { codec::decode(&text).err() }
}

fn read(record: &Value) -> Call {
    match decode(record).expect("a slot") {
        Slot::Call(call) => *call,
        other => panic!("{other:?}"),
    }
}

/// The record of a call, with the commit that `record` has if any.
fn written(call: &Call, record: &Value) -> Value {
    let commit = record["commit"].as_str().unwrap_or_default();
    serde_json::from_slice(&codec::encode(call, commit).expect("a record")).expect("JSON")
}

/// Reads each and writes it again, with all that it had.
fn written_back_whole<T: Debug + PartialEq>(
    records: Vec<(String, Value)>,
    read: fn(&Value) -> T,
    written: fn(&T, &Value) -> Value,
) {
    for (name, record) in records {
        let it = read(&record);
        let again = written(&it, &record);
        assert!(has(&again, &record), "{name}: {record} became {again}");
        assert_eq!(read(&again), it, "{name}");
    }
}

#[test]
fn a_record_of_an_earlier_release_is_read_and_written_back_whole() {
    written_back_whole(calls(), read, written);
    let tombstones: Vec<_> = fixtures().into_iter().filter(|(_, record)| is_tombstone(record)).collect();
    assert!(!tombstones.is_empty());
    for (name, record) in tombstones {
        assert_eq!(decode(&record).expect("a slot"), Slot::Tombstone, "{name}");
    }
}

/// Whoever adds a field or a word to records keeps a record that has it.
#[test]
fn whatever_is_written_today_stands_in_a_fixture() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("records");
    std::fs::create_dir_all(&folder).expect("a folder");
    let kept: BTreeSet<String> = fixtures().iter().flat_map(|(_, record)| shapes(record)).collect();
    let mut missing = BTreeSet::new();
    for (name, record) in scenes::records() {
        missing.extend(shapes(&serde_json::from_slice(&record).expect("JSON")).difference(&kept).cloned());
        std::fs::write(folder.join(format!("{name}.json")), record).expect("written");
    }
    assert!(missing.is_empty(), "no fixture has {missing:?}; today's records are in {}", folder.display());
}

#[tokio::test]
async fn a_field_of_a_newer_release_is_read_and_written_back_in_every_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), Clock::system());
    let store = store.expect("a store");
    for (name, record) in newer(calls()) {
        let mut call = read(&record);
        assert_eq!(written(&call, &record), record, "{name}");
        // Each in a place of its own, though all are of one call.
        call.id = Clock::system().call_id();
        create(&store, &call).await.expect("written");
        assert_eq!(loaded(&store, call.id).await, call, "{name}");
    }
}

#[test]
fn a_field_of_a_newer_release_lives_as_long_as_its_object() {
    for (name, record) in newer(calls()) {
        let first: BTreeSet<String> = objects(&record).into_iter().map(|place| place.name).collect();
        let mut steps = Vec::new();
        let (mut call, mut record) = (read(&record), record);
        while let Some((input, next)) = next(&call, &steps) {
            record = written(&next, &record);
            steps.push(input);
            for Place { name: object, pointer, .. } in objects(&record) {
                // What may be a token of a newer release goes with the tokens.
                let stripped = next.compacted && object.ends_with(".device");
                let has_it = record.pointer(&pointer).expect("a place").get(NEW).is_some();
                assert_eq!(has_it, first.contains(&object) && !stripped, "{name}, {steps:?}: {object}");
            }
            call = read(&record);
        }
        assert!(call.compacted && (!steps.is_empty() || name == "compacted"), "{name} came to its end: {steps:?}");
    }
}

/// What happens to a call that has come this way: it is answered, its tasks are done, it is hung up, and time passes.
fn next(call: &Call, steps: &[&'static str]) -> Option<(&'static str, Call)> {
    let soon = call.events.last().expect("an event").at + Duration::from_secs(1);
    let finished = call.tasks.first().map(|task| {
        let (task, attempt) = (task.id, task.attempt);
        Input::TaskFinished { task, attempt, result: TaskResult::Done(Vec::new()) }
    });
    let inputs = [
        Some((Input::DeviceAlerting(device_id("iphone-1")), soon)),
        Some((Input::Answer(device_id("iphone-1")), soon)),
        Some((Input::ParticipantJoined(user("ann"), "ann-9".to_owned()), soon)),
        Some((Input::ParticipantJoined(user("bob"), "bob-9".to_owned()), soon)),
        finished.map(|input| (input, soon)),
        Some((Input::HangUp(user("ann")), soon)),
        Some((Input::Wake, call.wake_up().at)),
    ];
    let once =
        |input: &Input| input.name() == "task finished" || input.name() == "wake" || !steps.contains(&input.name());
    inputs.into_iter().flatten().filter(|(input, _)| once(input)).find_map(
        |(input, at): (Input, Timestamp)| match step(call, &input, at) {
            Ok(Outcome::Applied(next)) => Some((input.name(), *next)),
            _ => None,
        },
    )
}

#[tokio::test]
async fn a_field_of_a_newer_release_is_kept_in_a_registered_device() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), clock.clone());
    let store = store.expect("a store");
    let mut phone = android("phone", "fictitious-token-1", clock.now());
    phone.unknown.insert(NEW.to_owned(), json!({"endpoint": "https://push.example.com"}));
    store.put_device(&user("bob"), phone.clone(), 10, &[]).await.expect("registered");
    store
        .put_device(&user("bob"), android("tablet", "fictitious-token-2", clock.now()), 10, &[])
        .await
        .expect("registered");
    store.set_environment(&user("bob"), &phone.id, Environment::Sandbox).await.expect("noted");
    phone.environment = Environment::Sandbox;
    assert_eq!(store.devices(&user("bob")).await.expect("devices")[0], phone);
}

#[test]
fn a_record_of_an_earlier_format_is_read_and_written_in_this_one() {
    for (name, mut record) in calls() {
        record["format"] = json!(0);
        let call = read(&record);
        let written = written(&call, &record);
        assert_eq!((written["format"].as_u64(), read(&written) == call), (Some(1), true), "{name}");
    }
}

#[test]
fn a_record_of_a_newer_format_is_refused_whatever_else_it_says() {
    for (name, mut record) in fixtures() {
        record["format"] = json!(codec::FORMAT + 1);
        assert!(matches!(refusal(&record), Some(StoreError::Newer(format)) if format == codec::FORMAT + 1), "{name}");
    }
}

#[test]
fn a_word_of_a_newer_release_makes_a_record_unreadable() {
    let mut seen = BTreeSet::new();
    for (name, record) in fixtures() {
        for Place { pointer, shape, .. } in places(&record) {
            if !WORDS.contains(&shape.as_str()) {
                continue;
            }
            let mut newer = record.clone();
            *newer.pointer_mut(&pointer).expect("a place") = json!(NEW);
            assert!(matches!(refusal(&newer), Some(StoreError::Corrupt(_))), "{name}: {pointer}");
            seen.insert(shape);
        }
    }
    assert_eq!(seen, WORDS.iter().map(|word| (*word).to_owned()).collect());
}

#[test]
fn a_newer_release_may_give_to_a_kind_what_here_another_one_has() {
    let (_, mut record) = calls().into_iter().find(|(name, _)| name == "calling").expect("a fixture");
    record["tasks"][0]["user"] = json!("bob");
    record["tasks"][0]["reason"] = json!("cancelled");
    record["events"][0]["data"] = json!({"device_id": "ann-phone", "user_id": "ann", "reason": "failed"});
    assert_eq!(written(&read(&record), &record), record);
}

#[test]
fn what_this_release_does_not_know_is_not_printed() {
    for (name, record) in newer(calls()) {
        let shown = format!("{:?}", read(&record));
        assert!(shown.contains(NEW) && !shown.contains("of a newer release"), "{name}: {shown}");
    }
}
