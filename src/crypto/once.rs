//! JSON in which no object has a name twice.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any JSON value, whose content is passed over; reading it fails where an object has a name twice, however deep.
pub(super) struct NoNameTwice;

impl<'de> Deserialize<'de> for NoNameTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = NoNameTwice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a name that comes twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NoNameTwice, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<NoNameTwice>()?;
            if !names.insert(name) {
                return Err(A::Error::custom("a name comes twice"));
            }
        }
        Ok(NoNameTwice)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<NoNameTwice, A::Error> {
        while items.next_element::<NoNameTwice>()?.is_some() {}
        Ok(NoNameTwice)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }

    fn visit_unit<E: Error>(self) -> Result<NoNameTwice, E> {
        Ok(NoNameTwice)
    }
}
