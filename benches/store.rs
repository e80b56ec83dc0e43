//! What storing costs: writing a record down and reading it, one commit alone, and many that share a transaction.
//!
//! `cargo bench --bench store`. The commits include the disk's own time; compare them on one machine only.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

#[path = "../examples/shared/rules.rs"]
mod rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Call, CallId, Device, Invite, Limit, Media, Party, Rate, Unknown, UserId, begin};
use bellwire::store::embedded::Embedded;
use bellwire::store::{Admits, Charge, Claim, Commit, Role, Store, codec};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rules::rules;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

fn main() {
    divan::main();
}

/// A call to three devices.
fn call(clock: &Clock) -> Call {
    let now = clock.now();
    let devices = ["phone", "pad", "tablet"].map(|id| -> Device {
        let json = json!({
            "id": id, "platform": "ios", "app": "com.example.phone", "registered_at": now,
            "voip_token": "a1".repeat(32), "alert_token": "b2".repeat(32), "name": "My phone", "locale": "de-CH",
        });
        serde_json::from_value(json).expect("a device")
    });
    let invite = Invite {
        callee_device: None,
        id: clock.call_id(),
        caller: Party {
            id: user("auth0|5f7c8ec7c33c6c004bbafe82"),
            name: Some("Ann".to_owned()),
            avatar: None,
            unknown: Unknown::default(),
        },
        caller_device: None,
        callee: user("auth0|5f7c8ec7c33c6c004bbafe83"),
        media: Media::Video,
        room: clock.uuid().to_string(),
        metadata: Some(json!({"order": 42}).into()),
        rules: rules(),
        ring_until: now + Duration::from_secs(45),
        devices: devices.into(),
        busy: false,
        hidden: false,
    };
    begin(invite, now)
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a user id")
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let call = call(&Clock::system());
    let size = codec::encode(&call, "").expect("a record").len();
    bencher.counter(BytesCount::new(size)).bench(|| codec::encode(divan::black_box(&call), ""));
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let record = codec::encode(&call(&Clock::system()), "").expect("a record");
    bencher.counter(BytesCount::new(record.len())).bench(|| codec::decode(divan::black_box(&record)));
}

/// A store on disk, with a runtime to call it from.
struct Bench {
    runtime: Runtime,
    store: Arc<Embedded>,
    clock: Clock,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::system();
        let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_mins(1), clock.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.expect("a runtime"), store: Arc::new(store.expect("a store")), clock, _folder: folder }
    }

    /// Runs one operation `many` times at once.
    fn at_once<F>(&self, many: usize, operation: impl Fn(Arc<Embedded>, Call) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.runtime.block_on(async {
            let mut tasks: JoinSet<()> = (0..many).map(|_| operation(self.store.clone(), call(&self.clock))).collect();
            while let Some(done) = tasks.join_next().await {
                done.expect("no panic");
            }
        });
    }
}

#[divan::bench(args = [1, 64, 512])]
fn commit(bencher: Bencher, at_once: usize) {
    let bench = Bench::new();
    bencher.counter(ItemsCount::new(at_once)).bench_local(|| {
        bench.at_once(at_once, |store, call| async move {
            let commit = Commit { call: Arc::new(call), expected: None, announced: 0 };
            store.commit(commit).await.expect("written");
        });
    });
}

#[divan::bench(args = [1, 64])]
fn claim_two_lines(bencher: Bencher, at_once: usize) {
    claim_lines(bencher, at_once, None);
}

#[divan::bench(args = [1, 64])]
fn claim_two_lines_within_rates(bencher: Bencher, at_once: usize) {
    claim_lines(bencher, at_once, Some(Rate { count: 1_000_000, per: Duration::from_mins(1) }));
}

/// As an invite does, with the three rates that it takes of.
fn claim_lines(bencher: Bencher, at_once: usize, rate: Option<Rate>) {
    let bench = Bench::new();
    let users = AtomicUsize::new(0);
    let next_user = || user(&format!("user-{}", users.fetch_add(1, Ordering::Relaxed) % 10_000));
    bencher.counter(ItemsCount::new(at_once)).bench_local(|| {
        bench.at_once(at_once, |store, call| {
            let (from, to) = (next_user(), next_user());
            let outgoing = claim(&call, &from, &to, Role::Caller);
            let incoming = claim(&call, &to, &from, Role::Callee);
            let of_user = Charge::of_user(Limit::InvitesPerUser, rate);
            let of_pair = Charge::of_pair(Limit::InvitesPerPair, rate, &to);
            let of_caller: Vec<Charge> = of_user.into_iter().chain(of_pair).collect();
            let of_callee: Vec<Charge> = Charge::of_user(Limit::InvitesPerCallee, rate).into_iter().collect();
            async move {
                store.open_line(outgoing, None, &of_caller).await.expect("opened");
                store.ring_line(incoming, &of_callee, Admits::All).await.expect("rung");
            }
        });
    });
}

fn claim(call: &Call, owner: &UserId, peer: &UserId, role: Role) -> Claim {
    let (user, peer) = (owner.clone(), peer.clone());
    Claim { user, call: call.id, peer, role, at: call.created_at, until: call.ring_until }
}

#[divan::bench]
fn load(bencher: Bencher) {
    let bench = Bench::new();
    let ids: Vec<CallId> = (0..1000)
        .map(|_| {
            let call = Arc::new(call(&bench.clock));
            let commit = Commit { call: call.clone(), expected: None, announced: 0 };
            bench.runtime.block_on(bench.store.commit(commit)).expect("written");
            call.id
        })
        .collect();
    let mut next = ids.iter().cycle();
    bencher.bench_local(|| {
        let id = *next.next().expect("a cycle");
        bench.runtime.block_on(bench.store.load(id)).expect("a slot")
    });
}
