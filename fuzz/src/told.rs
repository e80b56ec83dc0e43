//! What must not be told: texts of an input, which may be push tokens or secrets in the wrong place.

use serde_json::Value;

/// Shorter texts are words that an error has of itself.
const LEAST_CHARS: usize = 16;

/// Fails if an error repeats a value of the JSON that it is about. Names of fields may be told.
pub fn nothing_of(input: &[u8], error: &str) {
    let Ok(input) = serde_json::from_slice(input) else { return };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    walk(&input, &mut names, &mut values);
    for value in values {
        let is_named = names.iter().any(|name| name.contains(value));
        assert!(is_named || !error.contains(value), "{value:?} is told in {error:?}");
    }
}

/// Every text of a JSON document, one after another, as a reader sees them.
pub fn texts_of(json: &[u8]) -> String {
    let Ok(json) = serde_json::from_slice(json) else { return String::from_utf8_lossy(json).into_owned() };
    let (mut names, mut values) = (Vec::new(), Vec::new());
    collect(&json, &mut names, &mut values, 0);
    values.join("\n")
}

fn walk<'a>(json: &'a Value, names: &mut Vec<&'a str>, values: &mut Vec<&'a str>) {
    collect(json, names, values, LEAST_CHARS);
}

fn collect<'a>(json: &'a Value, names: &mut Vec<&'a str>, values: &mut Vec<&'a str>, least: usize) {
    match json {
        Value::String(text) if text.chars().count() >= least => values.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, names, values, least)),
        Value::Object(fields) => {
            for (name, value) in fields {
                names.push(name);
                collect(value, names, values, least);
            }
        }
        _ => {}
    }
}
