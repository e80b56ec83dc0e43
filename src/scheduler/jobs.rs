//! The same for jobs, beside calls and not before them: this instance's own on time, everybody's by a slower sweep.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::Woken;
use super::agenda::Agenda;
use crate::domain::{JobId, Timestamp};
use crate::engine::Engine;
use crate::lifecycle::Stop;

/// The pause between sweeps, jittered by half. Nobody waits for a job of an instance that died.
const SWEEP_EVERY: Duration = Duration::from_secs(4);
/// How overdue a job must be before a sweep takes it: its own instance comes first.
const SWEEP_AFTER: Duration = Duration::from_secs(1);
/// How many jobs one sweep takes; where there are more, the next one follows at once.
const SWEEP_BATCH: usize = 256;
/// How many are woken at once.
const AT_ONCE: usize = 16;
/// What is due later than this is left to the sweep.
const KEPT_IN_MIND: Duration = Duration::from_mins(10);

/// Wakes jobs until `stop` turns true; wakes that have begun are finished.
pub async fn run(engine: Engine, mut wake_ups: UnboundedReceiver<(JobId, Timestamp)>, mut stop: Stop) {
    let mut agenda = Agenda::new();
    let mut waking = JoinSet::new();
    let sweeping = tokio::spawn(sweep(engine.clone(), stop.clone()));
    let clock = engine.clock().clone();
    while !stop.is_given() {
        while waking.len() < AT_ONCE
            && let Some(job) = agenda.take_due(clock.now())
        {
            waking.spawn(wake(engine.clone(), job));
        }
        let next_due = agenda.next_due().filter(|_| waking.len() < AT_ONCE);
        tokio::select! {
            news = wake_ups.recv() => match news {
                Some((job, due)) if due.since(clock.now()) <= KEPT_IN_MIND => agenda.set(job, due),
                Some((job, _)) => agenda.forget(&job),
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

/// Says whether there is more to do at once. Jobs that could not be woken are `stuck` and passed over, so that they take nobody's turn.
async fn sweep_once(engine: &Engine, stuck: &mut HashSet<JobId>) -> bool {
    let due = match engine.overdue_jobs(SWEEP_AFTER, SWEEP_BATCH + stuck.len()).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "the sweep cannot read which jobs are due");
            return false;
        }
    };
    stuck.retain(|job| due.contains(job));
    let jobs: Vec<JobId> = due.into_iter().filter(|job| !stuck.contains(job)).collect();
    let mut goes_on = false;
    for some in jobs.chunks(AT_ONCE) {
        let woken = join_all(some.iter().map(|job| wake(engine.clone(), job.clone()))).await;
        goes_on |= woken.iter().any(|woken| matches!(woken, Woken::GoesOn));
        let not_to_be = some.iter().zip(woken).filter(|(_, woken)| matches!(woken, Woken::Stuck));
        stuck.extend(not_to_be.map(|(job, _)| job.clone()));
    }
    // Where nothing could be woken, more of the same would only spin.
    jobs.len() >= SWEEP_BATCH && goes_on
}

async fn wake(engine: Engine, job: JobId) -> Woken {
    let Err(error) = engine.wake_job(&job).await else { return Woken::GoesOn };
    tracing::warn!(job_id = %job, %error, "a job that is due could not be woken");
    Woken::after(&error)
}
