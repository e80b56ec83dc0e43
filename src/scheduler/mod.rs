//! The scheduler: wakes calls when they are due.
//!
//! This instance's own calls wait in memory and wake at the millisecond; a sweep over the store every second finds everybody's, those
//! of a dead instance among them. After a restart the sweep is the recovery; there is no other. What is due is the engine's affair. Jobs have
//! the same in `jobs`, so that none of them is in a call's way.

mod agenda;
pub mod jobs;
mod wake;

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::domain::{CallId, Timestamp, WakeUp};
use crate::engine::{Engine, EngineError, StoreError};
use crate::lifecycle::Stop;
use wake::{Kind, Woken};

struct Calls;

/// Wakes calls until `stop` turns true; wakes that have begun are finished.
pub async fn run(engine: Engine, wake_ups: UnboundedReceiver<(CallId, WakeUp)>, stop: Stop) {
    wake::run::<Calls>(engine, wake_ups, stop).await;
}

impl Kind for Calls {
    type Id = CallId;
    type News = (CallId, WakeUp);

    const NAME: &'static str = "calls";
    /// Jittered, so that instances do not march in step and none waits much over a second.
    const SWEEP_EVERY: Duration = Duration::from_millis(600);
    const SWEEP_AFTER: Duration = Duration::from_millis(300);
    const SWEEP_BATCH: usize = 512;
    const AT_ONCE: usize = 64;

    fn news((call, wake_up): Self::News, _now: Timestamp) -> (CallId, Option<Timestamp>) {
        // What nobody waits for is left to the sweep.
        (call, wake_up.urgent.then_some(wake_up.at))
    }

    async fn overdue(
        engine: &Engine,
        by: Duration,
        limit: usize,
        beside: &HashSet<CallId>,
    ) -> Result<Vec<CallId>, EngineError> {
        engine.overdue(by, limit, beside).await
    }

    async fn wake(engine: Engine, call: CallId) -> Woken {
        let error = match engine.wake(call).await {
            Ok(()) | Err(EngineError::NotFound | EngineError::Store(StoreError::Conflict)) => return Woken::GoesOn,
            Err(error) => error,
        };
        tracing::warn!(call_id = %call, %error, "a call that is due could not be woken");
        Woken::after(&error)
    }
}
