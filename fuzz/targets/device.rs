//! The body of a registration, sent to a gateway by a user: no answer has a push token in it.
#![no_main]

use std::sync::{LazyLock, Mutex};

use bellwire_fuzz::door::Door;
use bellwire_fuzz::told;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const PATH: &str = "/v1/devices/phone";

static DOOR: LazyLock<Mutex<Door>> = LazyLock::new(|| Mutex::new(Door::open()));

fuzz_target!(|body: &[u8]| {
    let mut door = DOOR.lock().expect("nobody panicked");
    let answer = door.ask("PUT", PATH, false, body);
    let said = told::texts_of(&answer.body);
    match answer.status {
        200 => {
            let sent: Value = serde_json::from_slice(body).expect("json");
            for name in ["voip_token", "alert_token", "fcm_token", "fcm_fid"] {
                let token = sent[name].as_str().filter(|token| token.len() >= 16);
                assert!(token.is_none_or(|token| !said.contains(token)), "a token is told: {said}");
            }
            let again = door.ask("PUT", PATH, false, sent.to_string().as_bytes());
            assert_eq!(again.status, 200, "for what was taken: {sent}");
            assert_eq!(door.ask("GET", "/v1/devices", false, b"").status, 200);
        }
        400..=499 => {
            let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
            assert!(problem["code"].is_string(), "{problem}");
            told::nothing_of(body, &said);
        }
        status => panic!("{status}: {said}"),
    }
});
