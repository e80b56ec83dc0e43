//! What the simulator has been told of device tokens; of all others it knows nothing and takes them.

use std::collections::HashMap;
use std::sync::Mutex;

use super::lock;
use crate::domain::{Environment, Timestamp};

/// What is known of one token.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) unregistered: Option<Timestamp>,
    pub(super) environment: Option<Environment>,
}

#[derive(Default)]
pub(super) struct Devices(Mutex<HashMap<String, Known>>);

impl Devices {
    pub(super) fn unregister(&self, token: &str, at: Timestamp) {
        lock(&self.0).entry(token.to_owned()).or_default().unregistered = Some(at);
    }

    pub(super) fn belongs_to(&self, token: &str, environment: Environment) {
        lock(&self.0).entry(token.to_owned()).or_default().environment = Some(environment);
    }

    /// Knows nothing of it any more; whether anything was known.
    pub(super) fn forget(&self, token: &str) -> bool {
        lock(&self.0).remove(token).is_some()
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Whether it has been told anything of this token.
    pub(super) fn knows(&self, token: &str) -> bool {
        lock(&self.0).contains_key(token)
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.0).len()
    }

    pub(super) fn all(&self) -> Vec<(String, Known)> {
        lock(&self.0).iter().map(|(token, known)| (token.clone(), *known)).collect()
    }

    pub(super) fn find(&self, token: &str) -> Known {
        lock(&self.0).get(token).copied().unwrap_or_default()
    }
}
