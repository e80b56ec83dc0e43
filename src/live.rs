//! A value that may be replaced while it is in use, as a reload of the configuration does.
//!
//! Whoever uses it asks for it each time. What is under way with the old value goes on with that.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A value that is looked up each time that it is used. Clones share it.
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// Begins with this value.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value as it is now.
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another value in its place, for whoever asks from now on.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.now().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_value_and_who_holds_the_old_one_keeps_it() {
        let live = Live::new("old");
        let (clone, held) = (live.clone(), live.now());
        clone.set("new");
        assert_eq!((*held, *live.now()), ("old", "new"));
    }
}
