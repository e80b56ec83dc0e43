//! The scheduler: wakes calls when they are due.
//!
//! This instance's own calls wait in memory and wake at the millisecond; a sweep over the store every second finds everybody's, those
//! of a dead instance among them. After a restart the sweep is the recovery; there is no other. What is due is the engine's affair. Jobs have
//! the same in `jobs`, so that none of them is in a call's way.

mod agenda;
pub mod jobs;

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use crate::domain::{CallId, WakeUp};
use crate::engine::{Engine, EngineError, StoreError};
use crate::lifecycle::Stop;
use agenda::Agenda;

/// The pause between sweeps, jittered by half, so that instances do not march in step and none waits much over a second.
const SWEEP_EVERY: Duration = Duration::from_millis(600);
/// How overdue a call must be before a sweep takes it: its own instance comes first.
const SWEEP_AFTER: Duration = Duration::from_millis(300);
/// How many calls one sweep takes at a time.
const SWEEP_BATCH: usize = 512;
/// How many calls are woken at once.
const AT_ONCE: usize = 64;

/// Wakes calls until `stop` turns true; wakes that have begun are finished.
pub async fn run(engine: Engine, mut wake_ups: UnboundedReceiver<(CallId, WakeUp)>, mut stop: Stop) {
    let mut agenda = Agenda::new();
    let mut waking = JoinSet::new();
    let sweeping = tokio::spawn(sweep(engine.clone(), stop.clone()));
    let clock = engine.clock().clone();
    while !stop.is_given() {
        while waking.len() < AT_ONCE
            && let Some(call) = agenda.take_due(clock.now())
        {
            waking.spawn(wake(engine.clone(), call));
        }
        let next_due = agenda.next_due().filter(|_| waking.len() < AT_ONCE);
        tokio::select! {
            news = wake_ups.recv() => match news {
                Some((call, WakeUp { at, urgent: true })) => agenda.set(call, at),
                // What nobody waits for is left to the sweep.
                Some((call, _)) => agenda.forget(&call),
                None => break,
            },
            () = clock.sleep_until(next_due.unwrap_or_default()), if next_due.is_some() => {}
            Some(_) = waking.join_next() => {}
            () = stop.given() => {}
        }
    }
    while waking.join_next().await.is_some() {}
    let _ = sweeping.await;
}

/// Wakes what is overdue in the store, whoever's it is.
async fn sweep(engine: Engine, mut stop: Stop) {
    let mut stuck = HashSet::new();
    while !stop.is_given() {
        if sweep_once(&engine, &mut stuck).await {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(engine.clock().jitter(SWEEP_EVERY)) => {}
            () = stop.given() => {}
        }
    }
}

/// Says whether there is more to do at once. Calls whose records this release cannot read are `stuck`: they stay due, and nobody else's
/// turn shall be theirs.
async fn sweep_once(engine: &Engine, stuck: &mut HashSet<CallId>) -> bool {
    let due = match engine.overdue(SWEEP_AFTER, SWEEP_BATCH + stuck.len()).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "the sweep cannot read what is due");
            return false;
        }
    };
    let (stays, calls): (Vec<CallId>, Vec<CallId>) = due.into_iter().partition(|call| stuck.contains(call));
    *stuck = stays.into_iter().collect();
    let full = calls.len() >= SWEEP_BATCH;
    let mut waking = JoinSet::new();
    let mut woken = 0;
    let mut note = |call, done: Woken| match done {
        Woken::GoesOn => woken += 1,
        Woken::Later => {}
        Woken::Stuck => {
            stuck.insert(call);
        }
    };
    for call in calls {
        if waking.len() == AT_ONCE
            && let Some(Ok((call, done))) = waking.join_next().await
        {
            note(call, done);
        }
        let engine = engine.clone();
        waking.spawn(async move { (call, wake(engine, call).await) });
    }
    while let Some(result) = waking.join_next().await {
        if let Ok((call, done)) = result {
            note(call, done);
        }
    }
    // Where nothing could be woken, more of the same would only spin.
    full && woken > 0
}

/// What came of a wake.
enum Woken {
    /// The call or job went on, by this wake or by someone else's.
    GoesOn,
    /// The store failed.
    Later,
    /// Its record cannot be read here.
    Stuck,
}

impl Woken {
    fn after(error: &EngineError) -> Self {
        match error {
            EngineError::Store(error) if !error.is_passing() => Self::Stuck,
            _ => Self::Later,
        }
    }
}

async fn wake(engine: Engine, call: CallId) -> Woken {
    let error = match engine.wake(call).await {
        Ok(()) | Err(EngineError::NotFound | EngineError::Store(StoreError::Conflict)) => return Woken::GoesOn,
        Err(error) => error,
    };
    tracing::warn!(call_id = %call, %error, "a call that is due could not be woken");
    Woken::after(&error)
}
