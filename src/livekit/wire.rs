//! How protobuf's values look in LiveKit's JSON: words that may be numbers, and numbers that may be texts.
//!
//! Zero values may be left out, so the fields are optional to whoever reads them. Source:
//! <https://protobuf.dev/programming-guides/json/>.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A number; 0 where it is none.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::String(text) => text.parse().unwrap_or_default(),
        _ => 0,
    })
}

/// The name of an enum's value; its number where the sender had no name for it.
pub(super) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(word) => word,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}
