//! What a newer release wrote into an object of a record and this one cannot read: it is kept, and written back as it came; and what need not be
//! written.
//!
//! Every object of a record has its own, so that what belongs to a leg or a task lives and goes with it. None of it is printed, since
//! it may be a secret.

use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// Whether a field may be left out of a record: who reads it there, or in an older release's, takes it for this.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Fields that this code does not know, by name.
///
/// Nearly always there are none, and records are copied with every step: so this is one word then.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct Unknown(Option<Box<Map<String, Value>>>);

impl Unknown {
    /// Adds a field.
    pub fn insert(&mut self, name: String, value: Value) {
        self.0.get_or_insert_default().insert(name, value);
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let value = self.0.as_mut()?.remove(name);
        self.0.take_if(|fields| fields.is_empty());
        value
    }

    /// Adds a value, if there is one, that is known elsewhere and not where it was found.
    pub(super) fn keep(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.insert(name.to_owned(), value.into());
        }
    }
}

impl From<Map<String, Value>> for Unknown {
    fn from(fields: Map<String, Value>) -> Self {
        Self((!fields.is_empty()).then(|| Box::new(fields)))
    }
}

impl FromIterator<(String, Value)> for Unknown {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Map::from_iter(fields).into()
    }
}

impl Serialize for Unknown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(fields) => fields.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().flat_map(|fields| fields.keys())).finish()
    }
}
