//! Names and values of a payload, as JSON of their own types or as texts.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::domain::Timestamp;

/// One value of a payload.
#[derive(Clone)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Flag(bool),
    Json(&'a Json),
    Fields(Fields<'a>),
}

/// The fields of a payload, in the order in which they are written.
#[derive(Clone, Default)]
pub(in crate::push) struct Fields<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Fields<'a> {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    pub(super) fn text(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        self.0.push((name, Value::Text(text.into())));
    }

    /// Writes a text if there is one.
    pub(super) fn optional(&mut self, name: &'static str, text: Option<&'a str>) {
        self.0.extend(text.map(|text| (name, Value::Text(text.into()))));
    }

    pub(super) fn number(&mut self, name: &'static str, number: u64) {
        self.0.push((name, Value::Number(number)));
    }

    /// Milliseconds since 1970.
    pub(super) fn time(&mut self, name: &'static str, time: Timestamp) {
        self.number(name, time.as_millis());
    }

    pub(super) fn flag(&mut self, name: &'static str, flag: bool) {
        self.0.push((name, Value::Flag(flag)));
    }

    pub(super) fn json(&mut self, name: &'static str, json: &'a Json) {
        self.0.push((name, Value::Json(json)));
    }

    pub(super) fn fields(&mut self, name: &'static str, fields: Self) {
        self.0.push((name, Value::Fields(fields)));
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    /// Every field as a text, for providers that carry nothing else; what has fields of its own as JSON.
    pub(in crate::push) fn texts(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        self.0.iter().map(|(name, value)| (*name, value.to_text()))
    }

    /// Writes every field into a JSON object that is being written.
    pub(in crate::push) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }
}

impl Value<'_> {
    fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number.to_string()),
            // Texts, numbers and flags under names that are texts can always be written.
            Self::Json(_) | Self::Fields(_) => Cow::Owned(serde_json::to_string(self).unwrap_or_default()),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Json(json) => json.serialize(serializer),
            Self::Fields(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.write(&mut map)?;
        map.end()
    }
}
