//! Where the parts of a record are.
//!
//! Apps' own data (`metadata`) is one value here, as it is for the gateway.

use std::collections::BTreeSet;

use serde_json::Value;

/// Where the words of the records' lists stand: states, kinds, reasons.
pub const WORDS: &[&str] = &[
    ".state",
    ".end_reason",
    ".media",
    ".rules.decline",
    ".legs[].state",
    ".legs[].device.platform",
    ".legs[].device.environment",
    ".legs[].device.ios_push_mode",
    ".legs[].receipts[].environment",
    ".tasks[].task",
    ".tasks[].platform",
    ".tasks[].reason",
    ".tasks[].event",
    ".recording.stage",
    ".events[].type",
    ".events[].data.reason",
    ".events[].data.media",
    ".work.kind",
    ".work.event",
    ".work.content",
    ".work.state",
    ".work.heard",
];

/// Where a part of a record is.
#[derive(Debug, Default)]
pub struct Place {
    /// As RFC 6901 points to it.
    pub pointer: String,
    /// The same for all records and all elements of an array.
    pub shape: String,
    /// The same in the records that follow: elements by what they are of.
    pub name: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let Self { pointer, shape, name: object } = self;
        Self {
            pointer: format!("{pointer}/{name}"),
            shape: format!("{shape}.{name}"),
            name: format!("{object}.{name}"),
        }
    }

    fn element(&self, index: usize, element: &Value) -> Self {
        let of = ["/device/id", "/id", "/seq", "/reason"].into_iter().find_map(|of| element.pointer(of));
        let Self { pointer, shape, name } = self;
        Self {
            pointer: format!("{pointer}/{index}"),
            shape: format!("{shape}[]"),
            name: format!("{name}[{}]", of.unwrap_or(element)),
        }
    }
}

/// All parts of a record, itself the first.
pub fn places(record: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    collect(record, Place::default(), &mut places);
    places
}

fn collect(value: &Value, place: Place, places: &mut Vec<Place>) {
    match value {
        Value::Object(fields) if place.shape != ".metadata" => {
            fields.iter().for_each(|(name, value)| collect(value, place.field(name), places));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| collect(value, place.element(index, value), places));
        }
        _ => {}
    }
    places.push(place);
}

/// The parts that are objects.
pub fn objects(record: &Value) -> Vec<Place> {
    let is_object =
        |place: &Place| place.shape != ".metadata" && record.pointer(&place.pointer).is_some_and(Value::is_object);
    places(record).into_iter().filter(is_object).collect()
}

/// What a record is made of: the shapes of its parts, and its words.
pub fn shapes(record: &Value) -> BTreeSet<String> {
    let shape = |place: Place| match record.pointer(&place.pointer) {
        Some(Value::String(word)) if WORDS.contains(&place.shape.as_str()) => format!("{} {word}", place.shape),
        _ => place.shape,
    };
    places(record).into_iter().map(shape).collect()
}

/// Whether a value has everything that another one has.
pub fn has(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Object(fields), Value::Object(others)) => {
            others.iter().all(|(name, other)| fields.get(name).is_some_and(|field| has(field, other)))
        }
        (Value::Array(elements), Value::Array(others)) => {
            elements.len() == others.len() && elements.iter().zip(others).all(|(element, other)| has(element, other))
        }
        _ => value == other,
    }
}
