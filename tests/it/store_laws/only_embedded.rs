//! What only the embedded store promises: one owner of the file, and nothing acknowledged lost, however the process ends.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{CallId, Input};
use bellwire::store::embedded::{Embedded, OpenError};
use bellwire::store::{Ban, Opening, Reservation, Role, Slot, Store};

use super::fixture::{after, android, at_once, claim, create, is_conflict, loaded, new_call, replace, user};

/// Names the file in the child of the kill test.
const KILL_TEST_FILE: &str = "BELLWIRE_KILL_TEST_FILE";

fn open(path: &Path, clock: &Clock) -> Result<Embedded, OpenError> {
    Embedded::open(path, Duration::from_secs(10), clock.clone())
}

#[tokio::test]
async fn a_second_owner_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data").join("bellwire.redb");
    let clock = Clock::system();
    let store = open(&path, &clock).expect("the folder is made too");
    let refused = open(&path, &clock).err().expect("refused");
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    let message = refused.to_string();
    assert!(message.contains(path.to_str().expect("a path")), "{message}");
    assert!(message.ends_with("is in use by another bellwire; one process owns an embedded store"), "{message}");
    store.close().await;
    open(&path, &clock).expect("free again");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but dear to somebody").expect("written");
    let refused = open(&path, &Clock::system()).err().expect("refused");
    assert!(refused.to_string().contains("notes.txt"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "not a database, but dear to somebody");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bellwire.redb");
    let _store = open(&path, &Clock::system()).expect("a store");
    let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o077, 0, "it holds push tokens");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bellwire.redb");
    let clock = Clock::system();
    let (ann, bob) = (user("ann"), user("bob"));
    let call = new_call(&clock);
    let outgoing = claim(&clock, "ann", "bob", Role::Caller);
    let until = clock.now() + Duration::from_hours(1);
    let key = Reservation { key: "key".to_owned(), body: "digest".to_owned(), replaces: None, until };
    let ban = Ban { user: bob.clone(), reason: None, created_at: clock.now(), until: None };
    let device = android("phone", "token", clock.now());
    let buried = clock.call_id();

    let store = open(&path, &clock).expect("a store");
    create(&store, &call).await.expect("written");
    store.bury(buried).await.expect("buried");
    store.put_device(&bob, device.clone(), 10, &[]).await.expect("registered");
    store.set_block(&ann, &bob, true).await.expect("blocked");
    store.put_ban(ban.clone()).await.expect("banned");
    // These last ones alone would not have to be on disk yet.
    store.open_line(outgoing.clone(), Some(key.clone()), &[]).await.expect("opened");
    store.count_missed(&ann, &bob, call.id).await.expect("counted");
    store.close().await;

    let store = open(&path, &clock).expect("a store");
    assert_eq!(loaded(&store, call.id).await, call);
    assert_eq!(store.due(call.wake_up().at, 10, &HashSet::new()).await.expect("due"), [call.id]);
    assert_eq!(store.load(buried).await.expect("a slot"), Slot::Tombstone);
    assert_eq!(store.devices(&bob).await.expect("devices"), [device]);
    assert_eq!(store.blocks(&ann).await.expect("blocks"), std::slice::from_ref(&bob));
    assert_eq!(store.bans(clock.now()).await.expect("bans"), [ban]);
    assert_eq!(store.history(&ann, None, 10).await.expect("a history"), [outgoing.call]);
    let again = claim(&clock, "ann", "bob", Role::Caller);
    let taken = Opening::Reserved { call: outgoing.call, same_body: true };
    assert_eq!(store.open_line(again.clone(), Some(key), &[]).await.expect("an opening"), taken);
    assert_eq!(store.open_line(again, None, &[]).await.expect("an opening"), Opening::Claimed(vec![outgoing]));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_nothing_to_the_others_of_its_group() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    let store = Arc::new(open(&folder.path().join("bellwire.redb"), &clock).expect("a store"));
    let taken = new_call(&clock);
    create(&*store, &taken).await.expect("written");
    let results = at_once(200, |number| {
        let call = if number % 2 == 0 { taken.clone() } else { new_call(&clock) };
        let store = store.clone();
        async move { (create(&*store, &call).await, call) }
    })
    .await;
    assert_eq!(results.iter().filter(|(result, _)| is_conflict(result)).count(), 100);
    for (_, call) in results.iter().filter(|(result, _)| result.is_ok()) {
        assert_eq!(loaded(&*store, call.id).await, *call);
    }
}

/// Killed in the middle of a burst, the store comes back with every call that was acknowledged, and each is due.
#[tokio::test]
async fn a_killed_process_loses_no_acknowledged_call() {
    const ENOUGH: usize = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bellwire.redb");
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "store_laws::only_embedded::the_child_that_is_killed", "--nocapture"])
            .env(KILL_TEST_FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut acknowledged = Vec::new();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        for line in output.lines() {
            let line = line.expect("text");
            let Some((id, version)) = line.strip_prefix("acknowledged ").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            let version: u64 = version.parse().expect("a version");
            acknowledged.push((CallId::parse(id).expect("a call id"), version));
            if acknowledged.len() == ENOUGH * round {
                // The lines that are on their way are read to the end of the output.
                child.kill().expect("killed");
            }
        }
        child.wait().expect("its end");
        assert!(acknowledged.len() >= ENOUGH * round, "it ended by itself after {}", acknowledged.len());

        let store = open(&path, &Clock::system()).expect("the file is sound");
        let in_an_hour = Clock::system().now() + Duration::from_hours(1);
        let due: HashSet<CallId> =
            store.due(in_an_hour, usize::MAX, &HashSet::new()).await.expect("due").into_iter().collect();
        for (id, version) in &acknowledged {
            let call = loaded(&store, *id).await;
            assert!(call.version >= *version, "round {round}: {id} is at {} and not {version}", call.version);
            assert!(due.contains(id), "round {round}: {id} has no wake-up");
        }
        store.close().await;
    }
}

/// No test of its own: the process that `a_killed_process_loses_no_acknowledged_call` starts and kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child_that_is_killed() {
    let Some(path) = std::env::var_os(KILL_TEST_FILE) else { return };
    let clock = Clock::system();
    let store = Arc::new(open(Path::new(&path), &clock).expect("a store"));
    at_once::<(), _>(32, |_| {
        let (store, clock) = (store.clone(), clock.clone());
        async move {
            loop {
                let first = new_call(&clock);
                store.open_line(claim(&clock, "ann", "bob", Role::Caller), None, &[]).await.expect("opened");
                create(&*store, &first).await.expect("written");
                acknowledge(first.id, first.version);
                let next = after(&first, &Input::Cancel, clock.now());
                replace(&*store, &first, &next).await.expect("written");
                acknowledge(next.id, next.version);
            }
        }
    })
    .await;
}

fn acknowledge(id: CallId, version: u64) {
    // Not `println!`, which the test harness may keep.
    writeln!(std::io::stdout().lock(), "acknowledged {id} {version}").expect("somebody reads");
}
