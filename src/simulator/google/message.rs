//! What FCM asks of a message beyond its schema: one target, keys that are not reserved, sizes, and times in range.
//!
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message>

use serde_json::{Map, Value};

use super::refusal::{INVALID_ARGUMENT, MALFORMED, Refusal, Violation};
use super::schema;

/// Keys plus values.
const MAX_DATA_BYTES: usize = 4096;
/// Four weeks.
const MAX_TTL_SECONDS: f64 = 2_419_200.0;

/// Whom a message is for.
pub(super) enum Target<'a> {
    /// A registration token or an installation id.
    Device(&'a str),
    /// A topic or a condition.
    Many,
}

/// Checks a send request and says whom it is for.
pub(super) fn check(request: &Value) -> Result<Target<'_>, Refusal> {
    let violations = request.as_object().map(schema::violations).unwrap_or_default();
    if !violations.is_empty() {
        return Err(Refusal::of_fields(MALFORMED, violations));
    }
    let message = &request["message"];
    if message.is_null() {
        return Err(at_fault("message", "the message is missing"));
    }
    let target = one_target(request)?;
    // Data for Android alone takes the place of the common data there.
    for (name, data) in [("message.data", &message["data"]), ("message.android.data", &message["android"]["data"])] {
        if let Some(data) = data.as_object() {
            check_data(name, data)?;
        }
    }
    let ttl = message["android"]["ttl"].as_str().and_then(schema::seconds);
    if ttl.is_some_and(|seconds| !(0.0..=MAX_TTL_SECONDS).contains(&seconds)) {
        return Err(at_fault("message.android.ttl", "the time to live must be between 0 and 2419200 seconds"));
    }
    Ok(target)
}

/// The targets that a request names, with the names of their fields.
pub(super) fn targets(request: &Value) -> impl Iterator<Item = (&'static str, &str)> {
    let message = &request["message"];
    ["token", "fid", "topic", "condition"].into_iter().filter_map(|name| Some((name, message[name].as_str()?)))
}

fn one_target(request: &Value) -> Result<Target<'_>, Refusal> {
    let mut targets = targets(request);
    let (name, target) = targets.next().ok_or_else(|| at_fault("message", "the message has no recipient"))?;
    if let Some((second, _)) = targets.next() {
        let description =
            format!("Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{second}'");
        return Err(Refusal::of_fields(MALFORMED, vec![Violation { field: "message".to_owned(), description }]));
    }
    Ok(if matches!(name, "token" | "fid") { Target::Device(target) } else { Target::Many })
}

fn check_data(field: &str, data: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some((index, key)) = data.keys().enumerate().find(|(_, key)| is_reserved(key)) {
        return Err(at_fault(format!("{field}[{index}].key"), format!("the key is reserved: {key}")));
    }
    let bytes: usize = data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > MAX_DATA_BYTES {
        return Err(at_fault(field, "the message is too big"));
    }
    Ok(())
}

fn is_reserved(key: &str) -> bool {
    matches!(key, "from" | "message_type") || key.starts_with("google.") || key.starts_with("gcm")
}

fn at_fault(field: impl Into<String>, description: impl Into<String>) -> Refusal {
    let violation = Violation { field: field.into(), description: description.into() };
    Refusal::of_fields(INVALID_ARGUMENT, vec![violation])
}
