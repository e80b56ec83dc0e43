//! How a call is written down: one JSON object with a format number, readable with any store's own tools.
//!
//! A record of a newer format is left alone. Fields that this code does not know are kept in the call and written back. Where
//! the bytes lie is each store's business.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Slot, StoreError};
use crate::domain::{Call, Job};

/// The format that this release writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What most records fit in.
const USUAL_RECORD: usize = 2048;
/// What most of the smaller values fit in.
const USUAL_VALUE: usize = 512;

/// The record of an id that is out of use.
pub const TOMBSTONE: &[u8] = br#"{"format":1,"tombstone":true}"#;

#[derive(Serialize)]
struct Record<'a, T> {
    format: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    commit: &'a str,
    #[serde(flatten)]
    of: &'a T,
}

/// What every format has, tombstones included.
#[derive(Deserialize)]
struct Envelope {
    format: u32,
    #[serde(default)]
    tombstone: bool,
}

/// The record of a call. `commit` tells this commit from every other one, where that can be asked; it may be empty.
pub fn encode(call: &Call, commit: &str) -> Result<Vec<u8>, StoreError> {
    write_record(call, commit).map_err(|error| corrupt(&format!("call {}", call.id), &error))
}

/// The record of a job, as that of a call.
pub fn encode_job(job: &Job, commit: &str) -> Result<Vec<u8>, StoreError> {
    write_record(job, commit).map_err(|error| corrupt(&format!("job {}", job.id), &error))
}

fn write_record<T: Serialize>(of: &T, commit: &str) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(USUAL_RECORD);
    serde_json::to_writer(&mut bytes, &Record { format: FORMAT, commit, of })?;
    Ok(bytes)
}

/// What a record says: a call or a tombstone.
pub fn decode(record: &[u8]) -> Result<Slot, StoreError> {
    // Nearly every record is a call of a format that is read, so that is tried first and the JSON is walked once.
    let Ok(mut call) = serde_json::from_slice::<Call>(record) else { return decode_other(record) };
    call.unknown.remove("commit");
    match call.unknown.remove("format").and_then(|format| format.as_u64()) {
        Some(format) if format <= u64::from(FORMAT) => Ok(Slot::Call(Box::new(call))),
        _ => decode_other(record),
    }
}

/// What the record of a job says.
pub fn decode_job(record: &[u8]) -> Result<Job, StoreError> {
    let envelope: Envelope = read_json("job", record)?;
    if envelope.format > FORMAT {
        return Err(StoreError::Newer(envelope.format));
    }
    let mut job: Job = read_json("job", record)?;
    job.unknown.remove("commit");
    job.unknown.remove("format");
    Ok(job)
}

/// A tombstone, or why it is no call.
fn decode_other(record: &[u8]) -> Result<Slot, StoreError> {
    let envelope: Envelope = read_json("call", record)?;
    if envelope.format > FORMAT {
        Err(StoreError::Newer(envelope.format))
    } else if envelope.tombstone {
        Ok(Slot::Tombstone)
    } else {
        read_json::<Call>("call", record).and(Err(StoreError::Corrupt("call: no format".to_owned())))
    }
}

/// Reads one of the smaller values; `what` names it in the error.
pub fn read_json<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|error| corrupt(what, &error))
}

/// Writes one of the smaller values; `what` names it in the error.
pub fn write_json<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    let mut json = Vec::with_capacity(USUAL_VALUE);
    append_json(what, value, &mut json)?;
    Ok(json)
}

/// The same, behind what is there already.
pub fn append_json<T: Serialize>(what: &str, value: &T, to: &mut Vec<u8>) -> Result<(), StoreError> {
    serde_json::to_writer(to, value).map_err(|error| corrupt(what, &error))
}

/// Says where it went wrong, and not how: serde's own words quote the value, which may be a push token.
fn corrupt(what: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("{what}: {:?} error at column {}", error.classify(), error.column()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::domain::{
        CallId, DeclineReason, DeviceId, Input, Invite, Media, Outcome, Party, Receipt, TaskResult, Timestamp, Unknown,
        UserId, begin, step,
    };

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("a user id")
    }

    fn party(name: &str) -> Party {
        Party {
            id: user(name),
            name: Some("\"Änn\"\n\u{1F4DE}".to_owned()),
            avatar: Some("https://a/b?c".to_owned()),
            unknown: Unknown::default(),
        }
    }

    /// A call with a device of each platform.
    fn call() -> Call {
        let devices = json!([
            {"id": "i", "platform": "ios", "app": "a", "voip_token": "a1", "alert_token": "b2", "registered_at": 1},
            {"id": "a", "platform": "android", "app": "a", "fcm_token": "t:1", "name": "Pixel", "registered_at": 2},
            {"id": "w", "platform": "web", "app": "a", "environment": "sandbox", "registered_at": 3},
        ]);
        let rules = json!({
            "connect_timeout_ms": 20_000, "reconnect_grace_ms": 30_000, "max_duration_ms": u64::MAX, "retention_ms": 0,
            "decline": "device", "missed_call": true, "presence": true,
        });
        let invite = Invite {
            id: CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id"),
            caller: party("ann"),
            caller_device: DeviceId::new("phone").ok(),
            callee_device: None,
            callee: user("bob"),
            media: Media::Audio,
            room: "room".to_owned(),
            metadata: None,
            rules: serde_json::from_value(rules).expect("rules"),
            ring_until: Timestamp::from_millis(45_000),
            devices: serde_json::from_value(devices).expect("devices"),
            busy: false,
            hidden: false,
        };
        begin(invite, Timestamp::from_millis(0))
    }

    fn inputs() -> impl Strategy<Value = Input> {
        let device = prop_oneof!["i", "a", "w"].prop_map(|id| DeviceId::new(id).expect("a device id")).boxed();
        let party = prop_oneof![Just(user("ann")), Just(user("bob"))].boxed();
        let receipt = Receipt {
            at: Timestamp::from_millis(7),
            provider: "apns".into(),
            push: "ring".into(),
            status: Some(200),
            reason: "ok".to_owned(),
            latency_ms: 3,
            number: 1,
            attempt: 1,
            ..Receipt::default()
        };
        let finished =
            move |task| Input::TaskFinished { task, attempt: 1, result: TaskResult::Done(vec![receipt.clone()]) };
        let left = |(user, reason): (_, &str)| Input::ParticipantLeft {
            user,
            session: "s".to_owned(),
            reason: reason.to_owned(),
        };
        prop_oneof![
            device.clone().prop_map(Input::DeviceAlerting),
            (device.clone(), any::<String>()).prop_map(|(device, why)| Input::DeviceNotRung(device, why)),
            device.clone().prop_map(Input::Answer),
            device.prop_map(|device| Input::Decline(device, DeclineReason::Busy)),
            (1..9_u32).prop_map(finished),
            party.clone().prop_map(|user| Input::ParticipantJoined(user, "s".to_owned())),
            (party.clone(), select(vec!["CLIENT_INITIATED", "SIGNAL_CLOSE", "DUPLICATE_IDENTITY"])).prop_map(left),
            party.prop_map(Input::HangUp),
            Just(Input::Wake),
        ]
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_call_is_read_as_it_was_written(
            steps in prop::collection::vec((inputs(), 0..20_000_u64), 0..24),
            metadata in prop::option::of(values().prop_filter("absent", |value| !value.is_null())),
            unknown in prop::collection::btree_map("x_[a-z]{1,8}", values(), 0..3),
        ) {
            let mut call = Call { metadata: metadata.map(Into::into), unknown: unknown.into_iter().collect(), ..call() };
            let mut now = 0;
            for (input, pause) in steps {
                now += pause;
                if let Ok(Outcome::Applied(next)) = step(&call, &input, Timestamp::from_millis(now)) {
                    call = Call { version: call.version + 1, ..*next };
                }
                let record = encode(&call, "").expect("a record");
                prop_assert_eq!(decode(&record).expect("a slot"), Slot::Call(Box::new(call.clone())));
            }
        }

        #[test]
        fn anything_else_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    /// The record of the call above, as JSON.
    fn record() -> Map<String, Value> {
        serde_json::from_slice(&encode(&call(), "").expect("a record")).expect("an object")
    }

    fn read(record: &Map<String, Value>) -> Result<Slot, StoreError> {
        decode(&serde_json::to_vec(record).expect("json"))
    }

    #[test]
    fn a_record_is_json_with_its_format_first() {
        let text = String::from_utf8(encode(&call(), "").expect("a record")).expect("text");
        assert!(text.starts_with(r#"{"format":1,"id":"0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a","version":1,"#), "{text}");
    }

    #[test]
    fn a_newer_format_is_refused_whatever_its_shape() {
        let mut record = record();
        record.insert("format".to_owned(), json!(2));
        assert!(matches!(read(&record), Err(StoreError::Newer(2))), "like ours");
        assert!(matches!(decode(br#"{"format":3,"tombstone":true}"#), Err(StoreError::Newer(3))));
        assert!(matches!(decode(br#"{"format":4,"parties":[]}"#), Err(StoreError::Newer(4))));
    }

    #[test]
    fn a_tombstone_is_a_record_too() {
        assert_eq!(decode(TOMBSTONE).expect("a slot"), Slot::Tombstone);
        let json: Value = serde_json::from_slice(TOMBSTONE).expect("json");
        assert_eq!(json["format"], FORMAT);
    }

    #[test]
    fn what_is_missing_is_corrupt_and_what_was_there_is_not_told() {
        let mut headless = record();
        headless.remove("format");
        assert!(matches!(read(&headless), Err(StoreError::Corrupt(_))));
        let mut broken = record();
        broken.insert("legs".to_owned(), json!(["secret-token"]));
        let error = read(&broken).expect_err("no call");
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
        assert!(!error.to_string().contains("secret-token"), "{error}");
    }
}
