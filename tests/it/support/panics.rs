//! Counts what panics in the gateway: a task that does takes its connection or its part of the work along, and nobody else notices.

use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static HOOK: Once = Once::new();

/// Counts from now on, in the whole process. A test's own failures, which panic too, do not count.
pub fn watch() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|location| !location.file().starts_with("tests/")) {
                COUNT.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

/// How many there were.
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}
