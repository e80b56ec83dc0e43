//! What a device is told, the same on every platform: flat fields, which `apns` writes as JSON of their own types and
//! `fcm` as texts. What does not fit the provider's limit is left out, the least needed first.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use super::message::{Message, Push};
use crate::config::push::Privacy;
use crate::domain::{Party, Timestamp};

const METADATA: &str = "metadata";
const CALLER_AVATAR: &str = "caller_avatar";
const CALLER_NAME: &str = "caller_name";

/// One value of a payload.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Flag(bool),
    Json(&'a Json),
}

impl Value<'_> {
    /// The value as a text, for providers that carry nothing else.
    pub(super) fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Self::Json(json) => Cow::Owned(json.to_string()),
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
        }
    }
}

/// The fields of a push, in the order in which they are written.
#[derive(Clone)]
pub(super) struct Fields<'a>(Vec<(&'static str, Value<'a>)>);

impl<'a> Fields<'a> {
    /// The fields of a push that is sent `now`.
    pub(super) fn new(push: &'a Push, privacy: Privacy, now: Timestamp) -> Self {
        let mut fields = Self(Vec::with_capacity(16));
        match &push.message {
            Message::Ring(ring) => {
                fields.text("type", "ring");
                fields.text("call_id", ring.call_id.to_string());
                fields.caller(&ring.caller, privacy);
                fields.0.push(("video", Value::Flag(ring.video)));
                fields.time("created_at", ring.created_at);
                fields.time("expires_at", ring.ring_until);
                fields.time("server_time", now);
                fields.text("ticket", ring.ticket.as_str());
                fields.text("url", ring.url.as_str());
                fields.0.extend(ring.metadata.as_ref().map(|json| (METADATA, Value::Json(json))));
            }
            Message::Cancel { call_id, reason } => {
                fields.text("type", "cancel");
                fields.text("call_id", call_id.to_string());
                fields.text("reason", reason.as_str());
                fields.time("server_time", now);
            }
            Message::Missed { call_id, caller, count, at } => {
                fields.text("type", "missed");
                fields.text("call_id", call_id.to_string());
                fields.caller(caller, privacy);
                fields.0.push(("count", Value::Number((*count).into())));
                fields.time("at", *at);
                fields.time("server_time", now);
            }
        }
        fields
    }

    fn text(&mut self, name: &'static str, text: impl Into<Cow<'a, str>>) {
        self.0.push((name, Value::Text(text.into())));
    }

    fn time(&mut self, name: &'static str, time: Timestamp) {
        self.0.push((name, Value::Number(time.as_millis())));
    }

    fn caller(&mut self, caller: &'a Party, privacy: Privacy) {
        self.text("caller_id", caller.id.as_str());
        if privacy == Privacy::Full {
            self.0.extend(caller.name.as_deref().map(|name| (CALLER_NAME, Value::Text(name.into()))));
            self.0.extend(caller.avatar.as_deref().map(|url| (CALLER_AVATAR, Value::Text(url.into()))));
        }
    }

    /// Each field.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The caller's name, if it is told.
    pub(super) fn caller_name(&self) -> Option<&str> {
        self.iter().find_map(|(name, value)| match value {
            Value::Text(text) if name == CALLER_NAME => Some(&**text),
            _ => None,
        })
    }

    /// Writes every field into a JSON object that is being written.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }

    fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(field, _)| *field != name);
        self.0.len() < before
    }

    /// Takes at least `excess` bytes off the caller's name; false if there was none.
    fn shorten_name(&mut self, excess: usize) -> bool {
        let Some(name) = self.caller_name() else { return false };
        let mut keep = name.len().saturating_sub(excess);
        while !name.is_char_boundary(keep) {
            keep -= 1;
        }
        let shorter = name[..keep].to_owned();
        for (name, value) in &mut self.0 {
            if *name == CALLER_NAME {
                *value = Value::Text(shorter.clone().into());
            }
        }
        if shorter.is_empty() {
            self.remove(CALLER_NAME);
        }
        true
    }
}

/// A payload that no leaving out makes small enough.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Leaves out metadata, then the avatar, then some of the name, until what `render` makes is at most `limit` bytes.
/// Gives that, and whether there was metadata to leave out.
pub(super) fn fit<T>(
    mut fields: Fields,
    limit: usize,
    render: impl Fn(&Fields) -> (usize, T),
) -> Result<(T, bool), TooLarge> {
    let mut metadata_dropped = false;
    loop {
        let (size, rendered) = render(&fields);
        if size <= limit {
            return Ok((rendered, metadata_dropped));
        }
        if fields.remove(METADATA) {
            metadata_dropped = true;
        } else if !fields.remove(CALLER_AVATAR) && !fields.shorten_name(size - limit) {
            return Err(TooLarge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &str) -> Fields<'_> {
        let mut fields = Fields(Vec::new());
        fields.text("call_id", "c");
        fields.text(CALLER_NAME, name);
        fields.text(CALLER_AVATAR, "https://example.com/a.png");
        fields.0.push((METADATA, Value::Json(&Json::Null)));
        fields
    }

    fn render(fields: &Fields) -> (usize, String) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={};", value.to_text())).collect();
        let text = fields.concat();
        (text.len(), text)
    }

    #[test]
    fn the_least_needed_goes_first() {
        let whole = render(&fields("Zoë")).0;
        for (limit, expected, dropped) in [
            (whole, "call_id=c;caller_name=Zoë;caller_avatar=https://example.com/a.png;metadata=null;", false),
            (whole - 1, "call_id=c;caller_name=Zoë;caller_avatar=https://example.com/a.png;", true),
            (40, "call_id=c;caller_name=Zoë;", true),
            (26, "call_id=c;caller_name=Zo;", true),
            (24, "call_id=c;caller_name=Z;", true),
            (20, "call_id=c;", true),
        ] {
            assert_eq!(fit(fields("Zoë"), limit, render), Ok((expected.to_owned(), dropped)), "{limit}");
        }
        assert_eq!(fit(fields("Zoë"), 9, render), Err(TooLarge));
    }
}
