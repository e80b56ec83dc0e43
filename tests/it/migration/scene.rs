//! A store with some of everything, and what it answers.

use std::collections::HashSet;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::recording::{AskedBy, Recording, RecordingPlan};
use bellwire::domain::usage::{Day, Stay, shares};
use bellwire::domain::{Call, CallId, Heard, Input, Job, JobId, Limit, Limited, Rate, Timestamp, UserId, Work};
use bellwire::store::{Admits, Ban, Charge, Claim, Opening, Reservation, Role, Slot, Store, StoreError};
use serde_json::json;

use crate::store_laws::fixture::{after, android, ban_at, create, device_id, iphone, new_call, replace, token, user};

/// An idempotency key of Ann's.
const KEY: &str = "k 1";
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// What is in the store, by name.
pub(super) struct Scene {
    /// Rings.
    pub ringing: Call,
    /// Is over.
    pub ended: Call,
    pub buried: CallId,
    pub ban_job: Job,
    pub recording: Job,
    /// The call that Bob missed last from Cid.
    pub missed: CallId,
    pub counted: CallId,
}

/// Some of everything that a store can hold.
pub(super) async fn fill(store: &dyn Store, clock: &Clock) -> Scene {
    let now = clock.now();
    people(store, now).await;
    let ringing = ring(store, clock).await;
    let ended = hang_up(store, clock).await;
    let buried = clock.call_id();
    store.bury(buried).await.expect("buried");
    let (ban_job, recording) = jobs(store, &ended, now).await;
    let mut missed = clock.call_id();
    for _ in 0..3 {
        clock.advance(Duration::from_millis(1));
        missed = clock.call_id();
        store.count_missed(&user("bob"), &user("cid"), missed).await.expect("counted");
    }
    assert!(store.admit(&user("ann"), &charges()).await.expect("admitted"));
    let counted = clock.call_id();
    let today = Day::of(now);
    for (call, day) in [(counted, today), (clock.call_id(), today.before())] {
        let stay = Stay { from: day.begins(), to: day.begins() + HOUR, there_ms: 3_600_000 };
        store.account(call, &shares(&[stay, stay])).await.expect("added");
    }
    Scene { ringing, ended, buried, ban_job, recording, missed, counted }
}

async fn people(store: &dyn Store, now: Timestamp) {
    for (owner, device) in [
        ("ann", android("phone", "fcm-ann", now)),
        ("bob", iphone("phone", "aa11", "bb22", now)),
        ("bob", android("tablet", "fcm-bob", now)),
    ] {
        store.put_device(&user(owner), device, 10, &[]).await.expect("registered");
    }
    store.note_heard(&user("bob"), &device_id("phone"), Heard::Acked(now)).await.expect("noted");
    for (until, name) in [(None, "eve"), (Some(now + HOUR), "mallory"), (Some(now + HOUR / 2), "trudy")] {
        let ban = Ban { user: user(name), reason: Some("spam \u{1F9C0}".to_owned()), created_at: now, until };
        store.put_ban(ban).await.expect("banned");
    }
    for (owner, peer) in [("bob", "dan"), ("bob", "eve"), ("ann", "dan")] {
        store.set_block(&user(owner), &user(peer), true).await.expect("blocked");
    }
    store.put_contacts(&user("bob"), &["ann", "cid"].map(user)).await.expect("listed");
}

/// Ann calls Bob with an idempotency key, and it rings.
async fn ring(store: &dyn Store, clock: &Clock) -> Call {
    let mut call = new_call(clock);
    call.unknown.insert("x_new".to_owned(), json!({"deep": [1]}));
    let key =
        Reservation { key: KEY.to_owned(), body: "digest".to_owned(), replaces: None, until: clock.now() + 24 * HOUR };
    store.open_line(claim(&call, "ann", "bob", Role::Caller), Some(key), &[]).await.expect("an opening");
    store.ring_line(claim(&call, "bob", "ann", Role::Callee), &[], Admits::All).await.expect("a callee");
    create(store, &call).await.expect("created");
    call
}

/// A call that Bob's block hides from him, of which all is over.
async fn hang_up(store: &dyn Store, clock: &Clock) -> Call {
    clock.advance(Duration::from_millis(1));
    let mut call = new_call(clock);
    call.caller.id = user("dan");
    store.open_line(claim(&call, "dan", "bob", Role::Caller), None, &[]).await.expect("an opening");
    store.ring_line(claim(&call, "bob", "dan", Role::Callee), &[], Admits::All).await.expect("a callee");
    create(store, &call).await.expect("created");
    let ended = after(&call, &Input::Cancel, clock.now());
    replace(store, &call, &ended).await.expect("replaced");
    store.free_line(&user("dan"), call.id).await.expect("freed");
    ended
}

async fn jobs(store: &dyn Store, call: &Call, now: Timestamp) -> (Job, Job) {
    let id = |text: String| JobId::new(text).expect("a job id");
    let ban = Job::new(id("ban:1".to_owned()), Work::Ban(ban_at(now)), now, now + 10 * HOUR);
    let parties = vec![user("dan"), user("bob"), user("long-gone")];
    let plan = RecordingPlan { retention: 90 * 24 * HOUR, ..RecordingPlan::default() };
    let recording = Recording::new(call, &plan, "recordings".to_owned(), AskedBy::Service, 1, now);
    let recording = Recording { parties, ..recording };
    let recording =
        Job::new(id(format!("recording:{}", call.id)), Work::Recording(Box::new(recording)), now, now + 20 * HOUR);
    for job in [&ban, &recording] {
        store.commit_job(job, None).await.expect("queued");
    }
    (ban, recording)
}

fn claim(call: &Call, owner: &str, peer: &str, role: Role) -> Claim {
    let at = call.created_at;
    Claim { user: user(owner), call: call.id, peer: user(peer), role, at, until: at + HOUR }
}

/// Rates of which there is one an hour.
fn charges() -> [Charge; 3] {
    let of = |limit, of| Charge { limit, rate: Rate { count: 1, per: HOUR }, of };
    [of(Limit::TokensPerUser, None), of(Limit::InvitesPerUser, None), of(Limit::InvitesPerPair, Some("bob".to_owned()))]
}

/// Everything that can be read of a store, in one text: two stores that hold the same say the same.
pub(super) async fn answers(store: &dyn Store, scene: &Scene, now: Timestamp) -> String {
    let mut said = Vec::new();
    let names = ["ann", "bob", "cid", "dan", "eve", "mallory", "trudy", "long-gone"].map(user);
    for name in &names {
        let devices = store.devices(name).await.expect("devices");
        // As JSON, since tokens are not shown otherwise.
        said.push(format!("{name} devices {}", json!(devices)));
        said.push(format!("{name} ban {:?}", store.ban(name, now).await));
        said.push(format!("{name} blocks {:?}", store.blocks(name).await));
        said.push(format!("{name} contacts {:?}", store.contacts(name).await));
        said.push(format!("{name} line {:?}", store.line(name).await));
        said.push(format!("{name} history {:?}", store.history(name, None, 100).await));
        said.push(format!("{name} named by {:?}", named(store, name).await));
    }
    for name in ["fcm-ann", "aa11", "bb22", "fcm-bob", "none"] {
        said.push(format!("{name} is of {:?}", store.holder(&token(name)).await));
    }
    for id in [scene.ringing.id, scene.ended.id, scene.buried] {
        match store.load(id).await {
            Ok(Slot::Call(call)) => said.push(format!("{id} is {}", json!(call))),
            other => said.push(format!("{id} is {other:?}")),
        }
    }
    for id in [&scene.ban_job.id, &scene.recording.id] {
        said.push(format!("{id} is {:?}", store.load_job(id).await));
    }
    said.push(format!("bans {:?}", store.bans(now).await));
    let (first, last) = (Day::of(now).before().before(), Day::of(now).after());
    said.push(format!("usage {:?}", store.usage(first, last, first).await));
    for hours in [0, 1, 11, 21, 24 * 1000] {
        let (then, none, no_job) = (now + HOUR * hours, HashSet::new(), HashSet::new());
        said.push(format!("due then {:?}", store.due(then, 99, &none).await));
        said.push(format!("jobs due then {:?}", store.due_jobs(then, 99, &no_job).await));
    }
    said.push(format!("waiting {:?}", store.waiting().await));
    said.join("\n")
}

async fn named(store: &dyn Store, name: &UserId) -> Vec<CallId> {
    let mut calls = store.calls_naming(name).await.expect("calls");
    calls.sort_unstable();
    calls
}

/// What cannot be read but shows in what a store does, in one text.
pub(super) async fn deeds(store: &dyn Store, scene: &Scene, clock: &Clock, now: Timestamp) -> String {
    let mut said = Vec::new();
    let again = Reservation { key: KEY.to_owned(), body: "other".to_owned(), replaces: None, until: now + HOUR };
    let other = Claim { call: clock.call_id(), ..claim(&scene.ringing, "ann", "bob", Role::Caller) };
    let opening = store.open_line(other, Some(again), &[]).await.expect("an opening");
    assert_eq!(opening, Opening::Reserved { call: scene.ringing.id, same_body: false });

    for charge in [Charge { of: Some("cid".to_owned()), ..charges()[2].clone() }].iter().chain(&charges()) {
        said.push(match store.admit(&user("ann"), std::slice::from_ref(charge)).await {
            Err(StoreError::Limited(Limited { limit, wait, .. })) => {
                format!("{limit:?} in {} min", wait.as_secs() / 60)
            }
            other => format!("{other:?}"),
        });
    }
    for call in [scene.missed, clock.call_id()] {
        said.push(format!("{:?}", store.count_missed(&user("bob"), &user("cid"), call).await));
    }
    said.push(format!("added: {:?}", store.account(scene.counted, &[]).await));
    said.push(format!("{:?}", store.bury(scene.buried).await));
    let answered = after(&scene.ringing, &Input::Answer(device_id("tablet")), now);
    replace(store, &scene.ringing, &answered).await.expect("the call goes on");
    let begun = scene.ban_job.begun(now);
    store.commit_job(&begun, Some(scene.ban_job.version)).await.expect("the job goes on");
    // Bob's tablet is Cid's from now on.
    store.put_device(&user("cid"), android("mine", "fcm-bob", now), 10, &[]).await.expect("registered");
    for id in ["phone", "tablet"] {
        said.push(format!("{id}: {:?}", store.remove_device(&user("bob"), &device_id(id)).await));
    }
    for name in ["mallory", "trudy"] {
        said.push(format!("lifted: {:?}", store.lift_ban(&user(name)).await));
    }
    said.join("\n")
}
