//! The body of a request, kept as it came and read when somebody looks; and the little that is read of every one.
//!
//! A benchmark sends millions of bodies that nobody looks at: trees of them would cost most of the simulator's time and
//! memory.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A body as JSON: the object that came, the fields of a form, or null.
#[derive(Clone)]
pub struct Body {
    bytes: Bytes,
    read: OnceLock<Value>,
}

impl Body {
    pub(super) fn of_json(bytes: Bytes) -> Self {
        Self { bytes, read: OnceLock::new() }
    }

    pub(super) fn of_value(value: Value) -> Self {
        Self { bytes: Bytes::new(), read: OnceLock::from(value) }
    }

    /// Keeps no more than so many bytes: of what is longer, its beginning as a text.
    pub(super) fn shortened(self, most: usize) -> Self {
        let whole = if self.bytes.is_empty() { self.to_string().into() } else { self.bytes.clone() };
        if whole.len() <= most { self } else { Self::of_value(String::from_utf8_lossy(&whole[..most]).into()) }
    }
}

impl Deref for Body {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.read.get_or_init(|| serde_json::from_slice(&self.bytes).unwrap_or(Value::Null))
    }
}

impl DerefMut for Body {
    /// Changes what was read, not what came.
    fn deref_mut(&mut self) -> &mut Value {
        let _ = &**self;
        match self.read.get_mut() {
            Some(value) => value,
            None => unreachable!("it has just been read"),
        }
    }
}

impl PartialEq<Value> for Body {
    fn eq(&self, other: &Value) -> bool {
        **self == *other
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Read anew if nobody has yet, so that to print a record does not make it larger.
        match self.read.get() {
            Some(value) => value.serialize(serializer),
            None => serde_json::from_slice(&self.bytes).unwrap_or(Value::Null).serialize(serializer),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What is asked of every push, found without keeping the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gist {
    /// The `type` of its payload.
    pub(super) kind: Option<String>,
    /// The call that it is about: `call_id`, or where there is none `uuid` or `id`.
    pub(super) call: Option<String>,
}

/// The names under which a payload has its call's id, the surest first.
const CALL_ID: [&str; 3] = ["call_id", "uuid", "id"];
/// A longer text is no kind and no id.
const MAX_TEXT_BYTES: usize = 128;

impl Gist {
    /// Reads a payload; `None` if it is no JSON object.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }

    /// The same of an object that has been read.
    pub(super) fn of(payload: &Value) -> Self {
        let text = |name: &str| short(payload[name].as_str()?);
        Self { kind: text("type"), call: CALL_ID.into_iter().find_map(text) }
    }
}

fn short(text: &str) -> Option<String> {
    (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Gist {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(GistVisitor)
    }
}

struct GistVisitor;

impl<'de> Visitor<'de> for GistVisitor {
    type Value = Gist;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Gist, A::Error> {
        let mut gist = Gist::default();
        let mut found_as = CALL_ID.len();
        while let Some(Text(key)) = map.next_key()? {
            let key = key.as_deref().unwrap_or_default();
            let rank = CALL_ID.iter().position(|name| *name == key);
            if key == "type" {
                gist.kind = map.next_value::<Text>()?.0;
            } else if let Some(rank) = rank.filter(|rank| *rank < found_as) {
                if let Text(Some(id)) = map.next_value()? {
                    (gist.call, found_as) = (Some(id), rank);
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(gist)
    }
}

/// A short text; anything else reads as none.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(short(text)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_gist_is_found_whatever_stands_around_it() {
        for (payload, kind, call) in [
            (json!({"type": "ring", "call_id": "c", "aps": {"type": "no"}}), Some("ring"), Some("c")),
            (json!({"id": "i", "uuid": "u", "x": [1, {"y": 2}]}), None, Some("u")),
            (json!({"a": "b", "uuid": "u", "call_id": "c", "id": "i"}), None, Some("c")),
            (json!({"type": 5, "call_id": ["c"], "id": "i"}), None, Some("i")),
            (json!({"type": {"a": 1}, "call_id": null, "uuid": true, "id": 1.5}), None, None),
            (json!({"type": "x".repeat(200), "id": -1}), None, None),
            (json!({}), None, None),
        ] {
            let expected = Gist { kind: kind.map(str::to_owned), call: call.map(str::to_owned) };
            assert_eq!(Gist::read(payload.to_string().as_bytes()), Some(expected), "{payload}");
            assert_eq!(Gist::of(&payload), Gist { kind: kind.map(str::to_owned), call: call.map(str::to_owned) });
        }
        for payload in ["", "[1]", "5", "{", "{\"a\":1,}", "{} x"] {
            assert_eq!(Gist::read(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn of_a_long_body_the_beginning_is_kept() {
        let short = Body::of_json(Bytes::from_static(br#"{"a": 1}"#)).shortened(8);
        assert_eq!(*short, json!({"a": 1}));
        for long in [Body::of_json(Bytes::from_static(br#"{"a":[10]}"#)), Body::of_value(json!({"a": [10]}))] {
            let cut = long.shortened(8);
            assert_eq!((&*cut, cut.bytes.len()), (&json!(r#"{"a":[10"#), 0));
        }
    }

    #[test]
    fn a_body_reads_as_json() {
        let body = Body::of_json(Bytes::from_static(br#"{"a": [1]}"#));
        assert_eq!(serde_json::to_string(&body).expect("JSON"), r#"{"a":[1]}"#);
        assert_eq!((&body["a"][0], body.to_string()), (&json!(1), r#"{"a":[1]}"#.to_owned()));
        assert!(Body::of_json(Bytes::from_static(b"no")) == Value::Null);
    }
}
