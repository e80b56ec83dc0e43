//! The body of an invite, sent to a gateway by a user or by the backend.
#![no_main]

use std::sync::{LazyLock, Mutex};

use bellwire_fuzz::door::Door;
use bellwire_fuzz::told;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static DOOR: LazyLock<Mutex<Door>> = LazyLock::new(|| Mutex::new(Door::open()));

// The first byte says who asks.
fuzz_target!(|data: &[u8]| {
    let Some((who, body)) = data.split_first() else { return };
    let by_service = who % 2 == 1;
    let mut door = DOOR.lock().expect("nobody panicked");
    let answer = door.ask("POST", "/v1/calls", by_service, body);
    match answer.status {
        201 => {
            let call: Value = serde_json::from_slice(&answer.body).expect("a call");
            assert!(call["call"]["id"].is_string(), "{call}");
            let sent: Value = serde_json::from_slice(body).expect("json");
            let again = door.ask("POST", "/v1/calls", by_service, sent.to_string().as_bytes());
            assert!(matches!(again.status, 201 | 409), "{} for what was taken: {sent}", again.status);
        }
        400..=499 => {
            let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
            assert!(problem["code"].is_string(), "{problem}");
            told::nothing_of(body, &told::texts_of(&answer.body));
        }
        status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
    }
});
