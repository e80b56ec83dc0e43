//! The fields of FCM's send request and their types, checked as protobuf's JSON mapping does: unknown fields and
//! wrong types are refused, names may be in camel or snake case, and null is the same as absent.
//!
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>,
//! <https://protobuf.dev/programming-guides/json/>

use serde_json::{Map, Value};

use super::refusal::Violation;

/// What may stand in a field.
enum Kind {
    Text,
    Bool,
    Number,
    /// Strings by string.
    TextMap,
    /// Seconds with an `s`, as in `3.5s`.
    Duration,
    /// One of these words.
    Word(&'static str, &'static [&'static str]),
    Object(&'static [(&'static str, Kind)]),
    /// Anything; not looked into.
    Any,
}

const TEXT: &str = "TYPE_STRING";
/// Lower case is not documented, but taken.
const PRIORITIES: &[&str] = &["NORMAL", "HIGH", "normal", "high"];
const FCM_OPTIONS: &[(&str, Kind)] = &[("analytics_label", Kind::Text)];
const NOTIFICATION: &[(&str, Kind)] = &[("title", Kind::Text), ("body", Kind::Text), ("image", Kind::Text)];
const ANDROID_NOTIFICATION: &[(&str, Kind)] = &[
    ("title", Kind::Text),
    ("body", Kind::Text),
    ("icon", Kind::Text),
    ("color", Kind::Text),
    ("sound", Kind::Text),
    ("tag", Kind::Text),
    ("click_action", Kind::Text),
    ("body_loc_key", Kind::Text),
    ("body_loc_args", Kind::Any),
    ("title_loc_key", Kind::Text),
    ("title_loc_args", Kind::Any),
    ("channel_id", Kind::Text),
    ("ticker", Kind::Text),
    ("sticky", Kind::Bool),
    ("event_time", Kind::Text),
    ("local_only", Kind::Bool),
    ("notification_priority", Kind::Text),
    ("default_sound", Kind::Bool),
    ("default_vibrate_timings", Kind::Bool),
    ("default_light_settings", Kind::Bool),
    ("vibrate_timings", Kind::Any),
    ("visibility", Kind::Text),
    ("notification_count", Kind::Number),
    ("light_settings", Kind::Any),
    ("image", Kind::Text),
    ("bypass_proxy_notification", Kind::Bool),
    ("proxy", Kind::Text),
];
const ANDROID: &[(&str, Kind)] = &[
    ("collapse_key", Kind::Text),
    ("priority", Kind::Word("type.googleapis.com/google.firebase.fcm.v1.AndroidMessagePriority", PRIORITIES)),
    ("ttl", Kind::Duration),
    ("restricted_package_name", Kind::Text),
    ("data", Kind::TextMap),
    ("notification", Kind::Object(ANDROID_NOTIFICATION)),
    ("fcm_options", Kind::Object(FCM_OPTIONS)),
    ("direct_boot_ok", Kind::Bool),
    ("bandwidth_constrained_ok", Kind::Bool),
    ("restricted_satellite_ok", Kind::Bool),
];
const WEBPUSH: &[(&str, Kind)] =
    &[("headers", Kind::TextMap), ("data", Kind::TextMap), ("notification", Kind::Any), ("fcm_options", Kind::Any)];
const APNS: &[(&str, Kind)] = &[
    ("headers", Kind::TextMap),
    ("payload", Kind::Any),
    ("fcm_options", Kind::Any),
    ("live_activity_token", Kind::Text),
];
const MESSAGE: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("data", Kind::TextMap),
    ("notification", Kind::Object(NOTIFICATION)),
    ("android", Kind::Object(ANDROID)),
    ("webpush", Kind::Object(WEBPUSH)),
    ("apns", Kind::Object(APNS)),
    ("fcm_options", Kind::Object(FCM_OPTIONS)),
    ("token", Kind::Text),
    ("fid", Kind::Text),
    ("topic", Kind::Text),
    ("condition", Kind::Text),
];
const REQUEST: &[(&str, Kind)] = &[("message", Kind::Object(MESSAGE)), ("validate_only", Kind::Bool)];

/// All fields of a send request that are unknown or of a wrong type.
pub(super) fn violations(request: &Map<String, Value>) -> Vec<Violation> {
    let mut violations = Vec::new();
    check_fields(request, REQUEST, "", &mut violations);
    violations
}

/// The seconds of a duration, if it is written as one: at most nine decimals and an `s`.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let number = text.strip_suffix('s')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = are_digits(whole.strip_prefix('-').unwrap_or(whole)) && are_digits(decimals) && decimals.len() <= 9;
    is_number.then(|| number.parse().ok()).flatten()
}

fn check_fields(object: &Map<String, Value>, fields: &[(&str, Kind)], path: &str, violations: &mut Vec<Violation>) {
    for (name, value) in object {
        let snake = snake_case(name);
        if let Some((known, kind)) = fields.iter().find(|(known, _)| *known == snake) {
            let path = if path.is_empty() { (*known).to_owned() } else { format!("{path}.{known}") };
            check_value(value, kind, path, violations);
        } else {
            let at = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
            let description = format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field.");
            violations.push(Violation { field: path.to_owned(), description });
        }
    }
}

fn check_value(value: &Value, kind: &Kind, path: String, violations: &mut Vec<Violation>) {
    let expected = match (kind, value) {
        (_, Value::Null)
        | (Kind::Any, _)
        | (Kind::Text, Value::String(_))
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Number, Value::Number(_)) => return,
        (Kind::Object(fields), Value::Object(object)) => return check_fields(object, fields, &path, violations),
        (Kind::TextMap, Value::Object(object)) => {
            // An entry of a map may not be null, unlike a field.
            for (index, value) in object.values().enumerate().filter(|(_, value)| !value.is_string()) {
                violations.push(mismatch(format!("{path}[{index}].value"), TEXT, value));
            }
            return;
        }
        (Kind::Duration, Value::String(text)) if seconds(text).is_some() => return,
        (Kind::Word(_, words), Value::String(text)) if words.contains(&text.as_str()) => return,
        (Kind::Text, _) => TEXT,
        (Kind::Bool, _) => "TYPE_BOOL",
        (Kind::Number, _) => "TYPE_INT32",
        (Kind::Duration, _) => "type.googleapis.com/google.protobuf.Duration",
        (Kind::Word(name, _), _) => name,
        (Kind::TextMap | Kind::Object(_), _) => "object",
    };
    violations.push(mismatch(path, expected, value));
}

fn mismatch(field: String, expected: &str, value: &Value) -> Violation {
    let description = format!("Invalid value at '{field}' ({expected}), {value}");
    Violation { field, description }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_with_an_s() {
        for (text, expected) in [
            ("30s", Some(30.0)),
            ("3.5s", Some(3.5)),
            ("-1s", Some(-1.0)),
            ("0s", Some(0.0)),
            ("0.123456789s", Some(0.123_456_789)),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for text in ["30", "s", "30 s", "1.s", ".5s", "1e3s", "30m", "0.1234567890s", "--1s"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
