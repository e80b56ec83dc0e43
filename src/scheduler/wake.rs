//! The loop that wakes: this instance's own on time, everybody's by a sweep. What it wakes is `Kind`'s.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::agenda::Agenda;
use crate::domain::Timestamp;
use crate::engine::{Engine, EngineError};
use crate::lifecycle::Stop;

/// So many times as many as it takes are what a sweep chooses from where there are more, by chance: all instances look at the same, and each
/// should take others.
const CHOICE: usize = 8;

/// What is woken, how often and how many at a time.
pub(super) trait Kind: 'static {
    /// Its name.
    type Id: Clone + Ord + Hash + Display + Send + Sync + 'static;
    /// What this instance says of its own: which one, and when.
    type News: Send;

    /// The word for them in logs and metrics.
    const NAME: &'static str;
    /// The pause between sweeps, jittered by half.
    const SWEEP_EVERY: Duration;
    /// How overdue one must be before a sweep takes it: its own instance comes first.
    const SWEEP_AFTER: Duration;
    /// How many one sweep takes; where there are more, the next one follows at once.
    const SWEEP_BATCH: usize;
    /// How many are woken at once.
    const AT_ONCE: usize;

    /// Which one it is, and when it is woken here; without a time it is left to the sweep.
    fn news(news: Self::News, now: Timestamp) -> (Self::Id, Option<Timestamp>);

    /// Those of any instance that were due at least so long ago: at most `limit`, and those of `beside` as well.
    fn overdue(
        engine: &Engine,
        by: Duration,
        limit: usize,
        beside: &HashSet<Self::Id>,
    ) -> impl Future<Output = Result<Vec<Self::Id>, EngineError>> + Send;

    /// Wakes one.
    fn wake(engine: Engine, id: Self::Id) -> impl Future<Output = Woken> + Send;
}

/// What came of a wake.
pub(super) enum Woken {
    /// It went on, by this wake or by someone else's.
    GoesOn,
    /// The store failed.
    Later,
    /// Its record cannot be read here.
    Stuck,
}

impl Woken {
    pub(super) fn after(error: &EngineError) -> Self {
        match error {
            EngineError::Store(error) if !error.is_passing() => Self::Stuck,
            _ => Self::Later,
        }
    }
}

/// Wakes until `stop` turns true; wakes that have begun are finished.
pub(super) async fn run<K: Kind>(engine: Engine, mut news: UnboundedReceiver<K::News>, mut stop: Stop) {
    let mut agenda = Agenda::new();
    let mut waking = JoinSet::new();
    let sweeping = tokio::spawn(sweep::<K>(engine.clone(), stop.clone()));
    let clock = engine.clock().clone();
    while !stop.is_given() {
        while waking.len() < K::AT_ONCE
            && let Some((id, due)) = agenda.take_due(clock.now())
        {
            engine.metrics().woken(K::NAME, clock.now().since(due));
            waking.spawn(K::wake(engine.clone(), id));
        }
        let next_due = agenda.next_due().filter(|_| waking.len() < K::AT_ONCE);
        tokio::select! {
            news = news.recv() => match news.map(|news| K::news(news, clock.now())) {
                Some((id, Some(at))) => agenda.set(id, at),
                Some((id, None)) => agenda.forget(&id),
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
async fn sweep<K: Kind>(engine: Engine, mut stop: Stop) {
    let mut stuck = HashSet::new();
    while !stop.is_given() {
        if sweep_once::<K>(&engine, &mut stuck).await {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(engine.clock().jitter(K::SWEEP_EVERY)) => {}
            () = stop.given() => {}
        }
    }
}

/// Says whether there is more to do at once. Those whose records this release cannot read are `stuck`: they stay due, and nobody else's
/// turn shall be theirs.
async fn sweep_once<K: Kind>(engine: &Engine, stuck: &mut HashSet<K::Id>) -> bool {
    let due = match K::overdue(engine, K::SWEEP_AFTER, CHOICE * K::SWEEP_BATCH, stuck).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, of = K::NAME, "the sweep cannot read what is due");
            return false;
        }
    };
    engine.metrics().overdue(K::NAME, due.len());
    let (stays, due): (Vec<K::Id>, Vec<K::Id>) = due.into_iter().partition(|id| stuck.contains(id));
    *stuck = stays.into_iter().collect();
    let full = due.len() >= K::SWEEP_BATCH;
    let due = some_of(due, K::SWEEP_BATCH, || engine.clock().chance());
    let mut waking = JoinSet::new();
    let (mut woken, mut met_stuck) = (0, false);
    let mut note = |id, done: Woken| match done {
        Woken::GoesOn => woken += 1,
        Woken::Later => {}
        Woken::Stuck => met_stuck |= stuck.insert(id),
    };
    for id in due {
        if waking.len() == K::AT_ONCE
            && let Some(Ok((id, done))) = waking.join_next().await
        {
            note(id, done);
        }
        let engine = engine.clone();
        waking.spawn(async move { (id.clone(), K::wake(engine, id).await) });
    }
    while let Some(result) = waking.join_next().await {
        if let Ok((id, done)) = result {
            note(id, done);
        }
    }
    // Where nothing could be woken, more of the same would only spin; behind those that are newly stuck may stand others.
    met_stuck || (full && woken > 0)
}

/// All of them in their order where there are no more than `most`; otherwise so many by chance, the sooner the likelier: what is urgent comes
/// first and should go first.
fn some_of<T>(all: Vec<T>, most: usize, mut chance: impl FnMut() -> u64) -> Vec<T> {
    if all.len() <= most {
        return all;
    }
    let within = (CHOICE * most) as u64;
    let mut drawn: Vec<(u64, T)> = (0..).zip(all).map(|(place, one)| (place + chance() % within, one)).collect();
    drawn.sort_by_key(|(draw, _)| *draw);
    drawn.into_iter().take(most).map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::some_of;
    use crate::clock::Clock;

    #[test]
    fn instances_take_others_of_what_is_too_much_for_one_and_rather_what_comes_first() {
        let clock = Clock::system();
        let take = |most| some_of((0..4096).collect(), most, || clock.chance());
        let (one, other): (HashSet<u32>, HashSet<u32>) =
            (take(512).into_iter().collect(), take(512).into_iter().collect());
        assert_eq!((one.len(), other.len()), (512, 512));
        // 170 of each 512 are expected to be the same, and of the first half 384.
        assert!(one.intersection(&other).count() < 300);
        assert!(one.iter().filter(|place| **place < 1024).count() > 300);
        assert!(one.iter().all(|place| *place < 2600), "what comes last waits");
        assert_eq!(take(4096), (0..4096).collect::<Vec<u32>>(), "in order of time");
    }
}
