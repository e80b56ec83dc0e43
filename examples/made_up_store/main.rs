//! Makes a file of the embedded store with made-up users in it, to measure how long it takes to move one.
//!
//! `cargo run --release --example made_up_store -- FILE USERS`: an Android device of each user; of every tenth an iPhone too, a block, and a call
//! that is over.

#![expect(clippy::expect_used, reason = "whoever measures wants to see where it went wrong")]

#[path = "../shared/rules.rs"]
mod rules;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{Device, Input, Invite, Media, Outcome, Party, Timestamp, Unknown, UserId, begin, step};
use bellwire::store::embedded::Embedded;
use bellwire::store::{Admits, Claim, Commit, Role, Store};
use futures_util::{StreamExt, stream};
use rules::rules;
use serde_json::json;

/// How many users are written at a time: they share a transaction.
const AT_ONCE: usize = 500;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, users] = &args[..] else { panic!("made_up_store FILE USERS") };
    let users: usize = users.parse().expect("a number of users");
    let clock = Clock::system();
    let store = Embedded::open(Path::new(file), Duration::from_mins(1), clock.clone()).expect("a new file");
    stream::iter(0..users).for_each_concurrent(AT_ONCE, |number| add(&store, &clock, number)).await;
    store.close().await;
}

async fn add(store: &Embedded, clock: &Clock, number: usize) {
    let (user, now) = (name(number), clock.now());
    let phone = android(number, now);
    store.put_device(&user, phone.clone(), 10, &[]).await.expect("registered");
    if !number.is_multiple_of(10) {
        return;
    }
    let iphone = json!({
        "id": "iphone", "platform": "ios", "app": "com.example.phone", "registered_at": now,
        "voip_token": format!("{number:064x}"), "alert_token": format!("a{number:063x}"),
    });
    store.put_device(&user, serde_json::from_value(iphone).expect("a device"), 10, &[]).await.expect("registered");
    store.set_block(&user, &name(number + 1), true).await.expect("blocked");
    call(store, clock, &user, &name(number + 2), phone).await;
}

/// One calls another, and gives up.
async fn call(store: &Embedded, clock: &Clock, caller: &UserId, callee: &UserId, phone: Device) {
    let now = clock.now();
    let caller =
        Party { id: caller.clone(), name: Some("Somebody".to_owned()), avatar: None, unknown: Unknown::default() };
    let id = clock.call_id();
    let invite = Invite {
        id,
        caller: caller.clone(),
        caller_device: None,
        callee_device: None,
        callee: callee.clone(),
        media: Media::Audio,
        room: id.to_string(),
        metadata: None,
        rules: rules(),
        ring_until: now + Duration::from_secs(45),
        devices: vec![phone],
        busy: false,
        hidden: false,
    };
    let first = begin(invite, now);
    let claim = |user: &UserId, peer: &UserId, role| Claim {
        user: user.clone(),
        call: id,
        peer: peer.clone(),
        role,
        at: now,
        until: now + Duration::from_hours(1),
    };
    store.open_line(claim(&caller.id, callee, Role::Caller), None, &[]).await.expect("an opening");
    store.ring_line(claim(callee, &caller.id, Role::Callee), &[], Admits::All).await.expect("a callee");
    let commit = async |call, expected| {
        store.commit(Commit { call: Arc::new(call), expected, announced: 0 }).await.expect("committed");
    };
    commit(first.clone(), None).await;
    let Ok(Outcome::Applied(ended)) = step(&first, &Input::Cancel, now) else { panic!("it can be cancelled") };
    commit(bellwire::domain::Call { version: first.version + 1, ..*ended }, Some(first.version)).await;
    for user in [&caller.id, callee] {
        store.free_line(user, id).await.expect("freed");
    }
}

fn name(number: usize) -> UserId {
    UserId::new(format!("0192f3d1-7c3a-7c3a-8c3a-{number:012x}")).expect("a user id")
}

/// A phone with a token as long as Google's are.
fn android(number: usize, now: Timestamp) -> Device {
    let json = json!({
        "id": "phone", "platform": "android", "app": "com.example.phone", "registered_at": now,
        "fcm_token": format!("{number:022}:{}", "APA91b".repeat(20)),
    });
    serde_json::from_value(json).expect("a device")
}
