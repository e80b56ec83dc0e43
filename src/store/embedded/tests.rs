//! What needs a look inside: disks that fail or hang, records of a newer release, and what has expired.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTableMetadata, StorageBackend};
use serde_json::json;

use super::file::Opener;
use super::*;
use crate::domain::{Call, Limit, Rate};
use crate::store::Role;

/// A disk in memory that can be full, or hang.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Platter>);

#[derive(Debug, Default)]
struct Platter {
    bytes: InMemoryBackend,
    full: AtomicBool,
    hangs: Mutex<bool>,
    freed: Condvar,
}

impl Disk {
    fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    fn set_hanging(&self, hangs: bool) {
        *self.0.hangs.lock().expect("no panic") = hangs;
        self.0.freed.notify_all();
    }

    fn store(&self, timeout: Duration) -> Embedded {
        let disk = self.clone();
        let opener: Opener = Box::new(move || Database::builder().create_with_backend(disk.clone()));
        Embedded::start(Path::new("memory"), timeout, Clock::system(), opener).expect("a store")
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let hangs = self.0.hangs.lock().expect("no panic");
        drop(self.0.freed.wait_while(hangs, |hangs| *hangs).expect("no panic"));
        if self.0.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.bytes.write(offset, data)
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn store() -> Embedded {
    Disk::default().store(10 * SECOND)
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user id")
}

fn call(store: &Embedded) -> Arc<Call> {
    let json = json!({
        "id": store.clock.call_id().to_string(), "version": 1, "state": "calling", "caller": {"id": "ann"},
        "callee": {"id": "bob"}, "media": "audio", "room": "r", "next_task": 1, "events": [],
        "created_at": 1, "ring_until": 45_000,
        "rules": {
            "connect_timeout_ms": 1, "reconnect_grace_ms": 1, "max_duration_ms": 1, "retention_ms": 1,
            "decline": "call", "missed_call": true, "presence": true,
        },
    });
    Arc::new(serde_json::from_value(json).expect("a call"))
}

fn first(call: &Arc<Call>) -> Commit {
    Commit { call: call.clone(), expected: None, announced: 0 }
}

fn claim(store: &Embedded) -> Claim {
    let at = store.clock.now();
    let until = at + Duration::from_hours(1);
    Claim { user: user("ann"), call: store.clock.call_id(), peer: user("bob"), role: Role::Caller, at, until }
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_again_when_it_has_room() {
    let disk = Disk::default();
    let store = disk.store(10 * SECOND);
    let (kept, lost, later) = (call(&store), call(&store), call(&store));
    store.commit(first(&kept)).await.expect("written");
    disk.set_full(true);
    assert!(is_unavailable(&store.commit(first(&lost)).await));
    disk.set_full(false);
    store.commit(first(&later)).await.expect("written");
    for call in [kept, later] {
        assert_eq!(store.load(call.id).await.expect("a slot"), Slot::Call(Box::new((*call).clone())));
    }
    assert_eq!(store.health().await.expect("in health"), "embedded, memory, redb 4");
}

#[tokio::test]
async fn a_store_whose_disk_stays_full_says_so() {
    let disk = Disk::default();
    let store = disk.store(10 * SECOND);
    disk.set_full(true);
    for _ in 0..3 {
        assert!(is_unavailable(&store.commit(first(&call(&store))).await));
    }
    assert!(is_unavailable(&store.health().await));
}

#[tokio::test]
async fn who_waits_for_a_hanging_disk_is_told_and_not_served_later() {
    let disk = Disk::default();
    let store = disk.store(Duration::from_millis(100));
    let (begun, abandoned, later) = (call(&store), call(&store), call(&store));
    disk.set_hanging(true);
    assert!(is_unavailable(&store.commit(first(&begun)).await));
    assert!(is_unavailable(&store.commit(first(&abandoned)).await));
    disk.set_hanging(false);
    while store.commit(first(&later)).await.is_err() {
        // Written, but the answer came too late.
        if store.load(later.id).await.expect("a slot") != Slot::Vacant {
            break;
        }
    }
    assert_eq!(store.load(abandoned.id).await.expect("a slot"), Slot::Vacant);
    assert_ne!(store.load(begun.id).await.expect("a slot"), Slot::Vacant, "nothing was known of it");
}

#[tokio::test]
async fn a_claim_does_not_wait_for_the_disk() {
    let disk = Disk::default();
    let store = disk.store(10 * SECOND);
    let (first_claim, second_claim) = (claim(&store), claim(&store));
    disk.set_hanging(true);
    assert_eq!(store.open_line(first_claim.clone(), None, &[]).await.expect("opened"), Opening::Claimed(Vec::new()));
    assert_eq!(store.history(&user("ann"), None, 10).await.expect("a history"), [first_claim.call]);
    disk.set_hanging(false);
    store.commit(first(&call(&store))).await.expect("written");
    let after = Opening::Claimed(vec![first_claim]);
    assert_eq!(store.open_line(second_claim, None, &[]).await.expect("opened"), after);
}

/// Puts a record under an id, as another release would have.
fn plant(store: &Embedded, id: CallId, format: u32, record: &[u8]) {
    let txn = store.file.begin_write().expect("a transaction");
    txn.open_table(calls::CALLS)
        .expect("calls")
        .insert(calls::key(id), (format, 1, 7, true, record))
        .expect("inserted");
    txn.commit().expect("committed");
}

/// The record under an id is still this one.
fn assert_stands(store: &Embedded, id: CallId, format: u32, record: &[u8]) {
    let txn = store.file.begin_read().expect("a transaction");
    let row = txn.open_table(calls::CALLS).expect("calls").get(calls::key(id)).expect("read").expect("a row");
    assert_eq!(row.value(), (format, 1, 7, true, record));
}

#[tokio::test]
async fn a_record_of_a_newer_release_is_left_alone() {
    let store = store();
    let call = call(&store);
    let record = br#"{"format":2,"version":1,"in":"another shape"}"#.as_slice();
    plant(&store, call.id, 2, record);
    assert!(matches!(store.load(call.id).await, Err(StoreError::Newer(2))));
    for expected in [None, Some(1)] {
        let commit = Commit { call: call.clone(), expected, announced: 0 };
        assert!(matches!(store.commit(commit).await, Err(StoreError::Newer(2))));
    }
    assert!(matches!(store.bury(call.id).await, Err(StoreError::Newer(2))));
    assert!(matches!(store.remove(call.id, 1).await, Err(StoreError::Newer(2))));
    assert_stands(&store, call.id, 2, record);
}

#[tokio::test]
async fn a_record_with_a_word_that_is_not_known_is_left_alone() {
    let store = store();
    let call = call(&store);
    let record = String::from_utf8(codec::encode(&call, "").expect("a record")).expect("text");
    let record = record.replace(r#""state":"calling""#, r#""state":"on_hold""#);
    plant(&store, call.id, codec::FORMAT, record.as_bytes());
    assert!(matches!(store.load(call.id).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.bury(call.id).await, Err(StoreError::Corrupt(_))));
    // What can be written is only what follows from a record that was read: here none was.
    assert!(matches!(store.commit(first(&call)).await, Err(StoreError::Conflict)));
    assert!(matches!(store.remove(call.id, 0).await, Err(StoreError::Conflict)));
    assert_stands(&store, call.id, codec::FORMAT, record.as_bytes());
}

#[tokio::test]
async fn a_value_that_cannot_be_read_refuses_its_own_operation_whole() {
    let store = store();
    let device = |id: &str, voip: &str, alert: &str| -> Device {
        let json = json!({
            "id": id, "platform": "ios", "app": "a", "voip_token": voip, "alert_token": alert, "registered_at": store.clock.now(),
        });
        serde_json::from_value(json).expect("a device")
    };
    store.put_device(&user("ann"), device("phone", "aa11", "aa22"), 10, &[]).await.expect("registered");
    store.put_device(&user("cid"), device("pad", "cc11", "cc22"), 10, &[]).await.expect("registered");
    let txn = store.file.begin_write().expect("a transaction");
    let broken = br#"[{"id":"pad","voip_token":["cc11"]}]"#.as_slice();
    txn.open_table(devices::DEVICES).expect("devices").insert("cid", broken).expect("inserted");
    txn.commit().expect("committed");

    let robber = device("mine", "aa11", "cc11");
    let error = store.put_device(&user("bob"), robber, 10, &[]).await.expect_err("a broken record");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(!error.to_string().contains("cc11"), "{error}");
    assert!(store.devices(&user("bob")).await.expect("devices").is_empty());
    assert_eq!(store.devices(&user("ann")).await.expect("devices").len(), 1, "it took nothing away");
    store.commit(first(&call(&store))).await.expect("the others are not concerned");
}

#[tokio::test]
async fn what_has_expired_is_forgotten_by_later_writes() {
    let store = store();
    let (ann, bob) = (user("ann"), user("bob"));
    let until = store.clock.now() + Duration::from_hours(24);
    let reservation = Reservation { key: "k".to_owned(), body: "b".to_owned(), replaces: None, until };
    store.open_line(claim(&store), Some(reservation), &[]).await.expect("opened");
    store.count_missed(&ann, &bob, store.clock.call_id()).await.expect("counted");
    let ban = Ban { user: bob.clone(), reason: None, created_at: store.clock.now(), until: Some(until) };
    store.put_ban(ban).await.expect("banned");
    store.bury(store.clock.call_id()).await.expect("buried");
    let standing = call(&store);
    store.commit(first(&standing)).await.expect("written");
    let lengths = || {
        let txn = store.file.begin_read().expect("a transaction");
        [
            txn.open_table(lines::KEYS).expect("a table").len().expect("a length"),
            txn.open_table(missed::MISSED).expect("a table").len().expect("a length"),
            txn.open_table(missed::TOLD).expect("a table").len().expect("a length"),
            txn.open_table(missed::TOLD_AT).expect("a table").len().expect("a length"),
            txn.open_table(moderation::BANS).expect("a table").len().expect("a length"),
            txn.open_table(calls::CALLS).expect("a table").len().expect("a length"),
            txn.open_table(expiry::EXPIRIES).expect("a table").len().expect("a length"),
        ]
    };
    store.clock.advance(Duration::from_hours(23));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [1, 1, 1, 1, 1, 2, 4]);
    store.clock.advance(Duration::from_hours(2));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [0, 1, 1, 1, 0, 1, 1], "a missed call counts for longer");
    store.clock.advance(Duration::from_hours(30 * 24));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [0, 0, 0, 0, 0, 1, 0], "and the call is there");
}

#[tokio::test]
async fn a_closed_store_is_unavailable() {
    let store = store();
    store.close().await;
    store.close().await;
    assert!(is_unavailable(&store.commit(first(&call(&store))).await));
    assert!(is_unavailable(&store.load(store.clock.call_id()).await));
    assert!(is_unavailable(&store.health().await));
}

#[tokio::test]
async fn a_rate_is_forgotten_once_nothing_is_taken_of_it() {
    let store = store();
    let rate = Rate { count: 2, per: Duration::from_mins(1) };
    let charges = [Charge { limit: Limit::TokensPerUser, rate, of: None }];
    store.admit(&user("ann"), &charges).await.expect("admitted");
    let lengths = || {
        let txn = store.file.begin_read().expect("a transaction");
        let lengths = [
            txn.open_table(rates::RATES).expect("a table").len(),
            txn.open_table(expiry::EXPIRIES).expect("a table").len(),
        ];
        lengths.map(|length| length.expect("a length"))
    };
    store.health().await.expect("a write");
    assert_eq!(lengths(), [1, 1]);
    store.clock.advance(Duration::from_secs(29));
    store.admit(&user("ann"), &charges).await.expect("admitted");
    store.clock.advance(Duration::from_secs(2));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [1, 1], "something was taken meanwhile");
    store.clock.advance(Duration::from_secs(30));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [0, 0]);
}

#[tokio::test]
async fn a_device_that_registers_often_leaves_one_row() {
    let store = store();
    let bob = user("bob");
    let lengths = || {
        let txn = store.file.begin_read().expect("a transaction");
        txn.open_table(expiry::EXPIRIES).expect("a table").len().expect("a length")
    };
    let register = async |id: &str| {
        store.clock.advance(Duration::from_secs(1));
        let (token, now) = (format!("token-of-{id}"), store.clock.now());
        let json = json!({"id": id, "platform": "android", "app": "a", "fcm_token": token, "registered_at": now});
        let device: Device = serde_json::from_value(json).expect("a device");
        store.put_device(&bob, device, 2, &[]).await.expect("registered");
    };
    for _ in 0..5 {
        register("phone").await;
    }
    assert_eq!(lengths(), 1);
    register("tablet").await;
    register("watch").await;
    assert_eq!(lengths(), 2, "the phone was the oldest of three");
    for id in ["tablet", "watch"] {
        assert!(store.remove_device(&bob, &DeviceId::new(id).expect("an id")).await.expect("removed"));
    }
    assert_eq!(lengths(), 0);
}

#[tokio::test]
async fn an_erasure_leaves_what_others_named_as_the_user_is() {
    let store = store();
    let until = store.clock.now() + Duration::from_hours(24);
    let reservation = Reservation { key: "bob".to_owned(), body: "b".to_owned(), replaces: None, until };
    let rate = Rate { count: 2, per: Duration::from_hours(1) };
    let of_device = [Charge { limit: Limit::TokensPerDevice, rate, of: Some("bob".to_owned()) }];
    let by_bob = [Charge { limit: Limit::ProofsPerToken, rate, of: Some("0123 bob".to_owned()) }];
    store.open_line(Claim { peer: user("cid"), ..claim(&store) }, Some(reservation), &of_device).await.expect("opened");
    store.admit(&user("ann"), &by_bob).await.expect("admitted");
    let forgotten = store.forget_user(&user("bob")).await.expect("forgotten");
    assert_eq!(forgotten, Forgotten { rates: 1, ..Forgotten::default() }, "what bob asked of ann's phone");
    let lengths = || {
        let txn = store.file.begin_read().expect("a transaction");
        [
            txn.open_table(lines::KEYS).expect("a table").len().expect("a length"),
            txn.open_table(rates::RATES).expect("a table").len().expect("a length"),
            txn.open_table(expiry::EXPIRIES).expect("a table").len().expect("a length"),
        ]
    };
    assert_eq!(lengths(), [1, 1, 2]);
    store.clock.advance(Duration::from_hours(25));
    store.health().await.expect("a write");
    assert_eq!(lengths(), [0, 0, 0], "they go in their time");
}

#[tokio::test]
async fn a_claim_keeps_what_a_newer_release_wrote_into_it() {
    let store = store();
    let (mut first, second) = (serde_json::to_value(claim(&store)).expect("JSON"), claim(&store));
    first["x_new"] = json!({"deep": [1]});
    let txn = store.file.begin_write().expect("a transaction");
    let line = serde_json::to_vec(&[&first]).expect("JSON");
    txn.open_table(lines::LINES).expect("lines").insert("ann", line.as_slice()).expect("inserted");
    txn.commit().expect("committed");
    store.open_line(second.clone(), None, &[]).await.expect("opened");
    store.free_line(&user("ann"), second.call).await.expect("freed");
    store.health().await.expect("a write");
    let txn = store.file.begin_read().expect("a transaction");
    let row = txn.open_table(lines::LINES).expect("lines").get("ann").expect("read").expect("a row");
    let line: serde_json::Value = serde_json::from_slice(row.value()).expect("JSON");
    assert_eq!(line, json!([first]));
}
