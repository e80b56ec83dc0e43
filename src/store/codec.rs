//! How a call is written down: one JSON object with a format number, readable with any store's own tools.
//!
//! A record of a newer format is left alone. Fields that this code does not know are kept in the call and written back. Where
//! the bytes lie is each store's business.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Slot, StoreError};
use crate::domain::Call;

/// The format that this release writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The record of an id that is out of use.
pub const TOMBSTONE: &[u8] = br#"{"format":1,"tombstone":true}"#;

#[derive(Serialize)]
struct Record<'a> {
    format: u32,
    #[serde(flatten)]
    call: &'a Call,
}

/// What every format has, tombstones included.
#[derive(Deserialize)]
struct Envelope {
    format: u32,
    #[serde(default)]
    tombstone: bool,
}

/// The record of a call.
pub fn encode(call: &Call) -> Result<Vec<u8>, StoreError> {
    let mut record = Vec::with_capacity(2048);
    serde_json::to_writer(&mut record, &Record { format: FORMAT, call })
        .map_err(|error| corrupt(&format!("call {}", call.id), &error))?;
    Ok(record)
}

/// What a record says: a call or a tombstone.
pub fn decode(record: &[u8]) -> Result<Slot, StoreError> {
    // Nearly every record is a call of this format, so that is tried first and the JSON is walked once.
    let Ok(mut call) = serde_json::from_slice::<Call>(record) else { return decode_other(record) };
    match call.unknown.remove("format").and_then(|format| format.as_u64()) {
        Some(format) if format == u64::from(FORMAT) => Ok(Slot::Call(Box::new(call))),
        _ => decode_other(record),
    }
}

/// A tombstone, or why it is no call.
fn decode_other(record: &[u8]) -> Result<Slot, StoreError> {
    let envelope: Envelope = read_json("call", record)?;
    if envelope.format > FORMAT {
        Err(StoreError::Newer(envelope.format))
    } else if envelope.tombstone {
        Ok(Slot::Tombstone)
    } else {
        read_json::<Call>("call", record).map(|call| Slot::Call(Box::new(call)))
    }
}

/// Reads one of the smaller values; `what` names it in the error.
pub fn read_json<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|error| corrupt(what, &error))
}

/// Writes one of the smaller values; `what` names it in the error.
pub fn write_json<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| corrupt(what, &error))
}

/// Says where it went wrong, and not how: serde's own words quote the value, which may be a push token.
fn corrupt(what: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("{what}: {:?} error at column {}", error.classify(), error.column()))
}
