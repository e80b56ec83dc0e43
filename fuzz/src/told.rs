//! What must not be told: texts of an input, which may be push tokens or secrets in the wrong place.

use serde_json::Value;

/// Shorter texts are words that an error has of itself.
const LEAST_CHARS: usize = 16;

/// Whether a text may be a token or a secret, and no words: libFuzzer finds those of our own errors too.
pub fn is_token(text: &str) -> bool {
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    text.chars().count() >= LEAST_CHARS && has_digit && !text.contains(char::is_whitespace)
}

/// Fails if an error repeats a value of the JSON that it is about. Names of fields may be told.
pub fn nothing_of(input: &[u8], error: &str) {
    let Ok(input) = serde_json::from_slice(input) else { return };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    collect(&input, &mut names, &mut values);
    for value in values.into_iter().filter(|value| is_token(value)) {
        let is_named = names.iter().any(|name| name.contains(value));
        assert!(is_named || !error.contains(value), "{value:?} is told in {error:?}");
    }
}

/// Every text of a JSON document, one after another, as a reader sees them.
pub fn texts_of(json: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice(json) else { return String::from_utf8_lossy(json).into_owned() };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    collect(&json, &mut names, &mut values);
    values.join("\n")
}

fn collect<'a>(json: &'a Value, names: &mut Vec<&'a str>, values: &mut Vec<&'a str>) {
    match json {
        Value::String(text) => values.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, names, values)),
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name);
                collect(value, names, values);
            }
        }
        _ => {}
    }
}
