//! What deciding costs: the first record of a call to two phones, and its way from there.
//!
//! `cargo bench --bench step`. Storing is `store`'s, tokens are `tokens`'.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

#[path = "../examples/shared/rules.rs"]
mod rules;

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{
    Call, Device, DeviceId, Input, Invite, Media, Outcome, Party, Receipt, Rules, TaskResult, Timestamp, Unknown,
    UserId, begin, step,
};
use divan::{Bencher, black_box};
use rules::rules;
use serde_json::json;

fn main() {
    divan::main();
}

/// An invite that rings an iPhone and an Android phone.
fn invite(clock: &Clock) -> Invite {
    let now = clock.now();
    let iphone = json!({
        "id": "iphone", "platform": "ios", "app": "com.example.phone", "registered_at": now, "name": "iPhone",
        "voip_token": "a1".repeat(32), "alert_token": "b2".repeat(32), "locale": "en-GB",
    });
    let pixel = json!({
        "id": "pixel", "platform": "android", "app": "com.example.phone", "registered_at": now, "name": "Pixel",
        "fcm_token": "f".repeat(152), "locale": "en-GB",
    });
    Invite {
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
        rules: Rules { presence: false, ..rules() },
        ring_until: now + Duration::from_secs(45),
        devices: [iphone, pixel].map(|device| serde_json::from_value::<Device>(device).expect("a device")).into(),
        busy: false,
        hidden: false,
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a user id")
}

fn device(id: &str) -> DeviceId {
    DeviceId::new(id).expect("a device id")
}

fn pushed(call: &Call, now: Timestamp) -> Input {
    let task = call.tasks.first().expect("a task");
    let receipt = Receipt {
        at: now,
        provider: "apns".into(),
        push: "ring".into(),
        status: Some(200),
        reason: "accepted".to_owned(),
        provider_id: Some("0f7c8ec7-c33c-4c00-8bba-fe8200000000".to_owned()),
        latency_ms: 80,
        number: 1,
        attempt: 1,
        ..Receipt::default()
    };
    Input::TaskFinished { task: task.id, attempt: task.attempt, result: TaskResult::Done(vec![receipt]) }
}

fn applied(call: &Call, input: &Input, now: Timestamp) -> Call {
    match step(call, input, now) {
        Ok(Outcome::Applied(next)) => *next,
        other => panic!("not applied: {other:?}"),
    }
}

#[divan::bench]
fn begin_with_two_devices(bencher: Bencher) {
    let clock = Clock::system();
    let now = clock.now();
    bencher.with_inputs(|| invite(&clock)).bench_values(|invite| begin(invite, now));
}

#[divan::bench]
fn a_push_was_taken(bencher: Bencher) {
    let clock = Clock::system();
    let (call, now) = (begin(invite(&clock), clock.now()), clock.now());
    let input = pushed(&call, now);
    bencher.bench(|| step(black_box(&call), &input, now));
}

#[divan::bench]
fn a_device_answers(bencher: Bencher) {
    let clock = Clock::system();
    let (call, now) = (begin(invite(&clock), clock.now()), clock.now());
    let input = Input::Answer(device("iphone"));
    bencher.bench(|| step(black_box(&call), &input, now));
}

/// Both pushes, ring, answer and hang-up.
#[divan::bench]
fn a_whole_call(bencher: Bencher) {
    let clock = Clock::system();
    let now = clock.now();
    bencher.with_inputs(|| invite(&clock)).bench_values(|invite| {
        let caller = invite.caller.id.clone();
        let mut call = begin(invite, now);
        for _ in 0..2 {
            call = applied(&call, &pushed(&call, now), now);
        }
        for input in [Input::DeviceAlerting(device("pixel")), Input::Answer(device("iphone")), Input::HangUp(caller)] {
            call = applied(&call, &input, now);
        }
        call
    });
}
