//! One call's inputs, one after the other: what arrives together is stepped and committed together.
//!
//! Ten legs' results cost one commit instead of ten that conflict: one that nobody waits for gives the others a moment to arrive. Between
//! instances nothing queues; there the store's compare-and-set decides, and who lost loads and steps again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, Input, Outcome, Refusal, TaskResult, Timestamp, TraceParent, step};
use crate::store::{Commit, Slot, StoreError};
use crate::telemetry::lines::{Inputs, Turn};
use crate::telemetry::traces::{self, Place, Span};

/// How often a commit is tried against other instances before the request is told to come back.
const MAX_TRIES: usize = 16;

/// How long the result of an attempt that went well waits for those of the call's other attempts. A lease is longer than any attempt by
/// three times this, at least.
const GATHERED_FOR: Duration = Duration::from_millis(100);

/// The inputs that wait, by call.
#[derive(Default)]
pub(super) struct Inbox(Mutex<HashMap<CallId, Waiting>>);

/// What waits for one call.
struct Waiting {
    inputs: Vec<Pending>,
    /// Whether a task works through it; otherwise more is waited for.
    is_worked: bool,
}

/// What whoever queues an input must see to.
enum Start {
    /// That the work begins.
    Now,
    /// That it begins a moment later, unless it has begun by then.
    Soon,
    /// Nothing.
    No,
}

struct Pending {
    inputs: Vec<Input>,
    /// The record as it was read a moment ago, if it was.
    read: Option<Arc<Call>>,
    /// Where in a trace it comes from.
    place: Option<Place>,
    reply: oneshot::Sender<Result<Arc<Call>, EngineError>>,
}

impl Inbox {
    fn locked(&self) -> MutexGuard<'_, HashMap<CallId, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues. An input that `can_wait_for` so many waits until there are as many, or somebody is in a hurry.
    fn push(&self, id: CallId, pending: Pending, can_wait_for: usize) -> Start {
        match self.locked().entry(id) {
            Entry::Occupied(mut entry) => {
                let waiting = entry.get_mut();
                waiting.inputs.push(pending);
                if waiting.is_worked || waiting.inputs.len() < can_wait_for {
                    return Start::No;
                }
                waiting.is_worked = true;
                Start::Now
            }
            Entry::Vacant(entry) => {
                let is_worked = can_wait_for <= 1;
                entry.insert(Waiting { inputs: vec![pending], is_worked });
                if is_worked { Start::Now } else { Start::Soon }
            }
        }
    }

    /// Whether there is something to work through and nobody does.
    fn begin(&self, id: CallId) -> bool {
        self.locked().get_mut(&id).is_some_and(|waiting| !std::mem::replace(&mut waiting.is_worked, true))
    }

    /// Holds a call's inputs back until it is released; not if there are some already.
    fn hold(&self, id: CallId) -> bool {
        match self.locked().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Waiting { inputs: Vec::new(), is_worked: true });
                true
            }
        }
    }

    /// Takes what waits; none: the work is over.
    fn take(&self, id: CallId) -> Vec<Pending> {
        let mut calls = self.locked();
        let batch = calls.get_mut(&id).map(|waiting| std::mem::take(&mut waiting.inputs)).unwrap_or_default();
        if batch.is_empty() {
            calls.remove(&id);
        }
        batch
    }
}

impl Engine {
    /// Takes a call through an input, and returns the record after it. An input that was ignored is a success.
    pub async fn apply(&self, id: CallId, input: Input) -> Result<Arc<Call>, EngineError> {
        self.apply_all(id, vec![input], None).await
    }

    /// Takes a call through several inputs in one commit; the last one's outcome counts. A record that was `read` a moment ago saves
    /// reading it again.
    pub(super) async fn apply_all(
        &self,
        id: CallId,
        inputs: Vec<Input>,
        read: Option<Arc<Call>>,
    ) -> Result<Arc<Call>, EngineError> {
        let (reply, answer) = oneshot::channel();
        let can_wait_for =
            if inputs.iter().all(can_wait) { self.0.recent.under_way(id, self.clock().now()) } else { 0 };
        let start = self.0.inbox.push(id, Pending { inputs, read, place: traces::current(), reply }, can_wait_for);
        // A task of its own: a client that goes away must not stop the others' inputs.
        let engine = self.clone();
        match start {
            Start::Now => drop(tokio::spawn(async move { engine.work(id).await })),
            Start::Soon => drop(tokio::spawn(async move { engine.work_soon(id).await })),
            Start::No => {}
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the instance stops".into()).into()))
    }

    async fn work_soon(&self, id: CallId) {
        sleep(GATHERED_FOR).await;
        if self.0.inbox.begin(id) {
            self.work(id).await;
        }
    }

    async fn work(&self, id: CallId) {
        loop {
            let batch = self.0.inbox.take(id);
            if batch.is_empty() {
                return;
            }
            self.settle(id, batch).await;
        }
    }

    /// Steps and commits a batch, and answers each of its inputs.
    async fn settle(&self, id: CallId, mut batch: Vec<Pending>) {
        let read = batch.iter_mut().filter_map(|pending| pending.read.take());
        let known = read.chain(self.0.recent.take(id)).max_by_key(|call| call.version);
        let inputs: Vec<&[Input]> = batch.iter().map(|pending| pending.inputs.as_slice()).collect();
        let places: Vec<&Place> = batch.iter().filter_map(|pending| pending.place.as_ref()).collect();
        match self.commit_steps(id, &Cause { inputs: &inputs, places: &places }, known).await {
            Ok((call, refusals)) => {
                for (pending, refusal) in batch.into_iter().zip(refusals) {
                    let answer = match refusal {
                        None => Ok(Arc::clone(&call)),
                        Some(refusal) => Err(EngineError::Refused(refusal, Arc::clone(&call))),
                    };
                    // Who asked may have gone away.
                    let _ = pending.reply.send(answer);
                }
            }
            Err(failure) => {
                for pending in batch {
                    let _ = pending.reply.send(Err(failure.clone().into()));
                }
            }
        }
    }

    /// Steps and commits, at first the record that is `known`. Another instance may have changed that meanwhile, so it never counts
    /// by itself: only a commit shows that nobody has.
    async fn commit_steps(
        &self,
        id: CallId,
        cause: &Cause<'_>,
        mut known: Option<Arc<Call>>,
    ) -> Result<(Arc<Call>, Vec<Option<Refusal>>), BatchError> {
        for _ in 0..MAX_TRIES {
            let is_known = known.is_some();
            let before = match known.take() {
                Some(call) => call,
                None => match self.store().load(id).await? {
                    Slot::Call(call) => Arc::from(call),
                    Slot::Vacant | Slot::Tombstone => return Err(BatchError::NotFound),
                },
            };
            cause.places.iter().for_each(|place| place.joins(&before));
            let (next, refusals) = step_all(&before, cause.inputs, self.clock().now());
            let Some(mut next) = next else {
                if is_known {
                    continue;
                }
                return Ok((before, refusals));
            };
            next.version = before.version + 1;
            let next = Arc::from(next);
            match self.commit(Arc::clone(&next), Some(&before), cause).await {
                Ok(()) => return Ok((next, refusals)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Unavailable("other instances keep changing this call".into()).into())
    }

    /// Writes a call's first record. Its other inputs wait meanwhile, so that what they ask for is not handed on before what this one does:
    /// a ring before its cancel.
    pub(super) async fn commit_first(&self, call: Arc<Call>) -> Result<(), StoreError> {
        let id = call.id;
        let held = self.0.inbox.hold(id);
        let place = traces::current();
        let cause = Cause { inputs: &[], places: &place.iter().collect::<Vec<_>>() };
        let result = self.commit(call, None, &cause).await;
        if held {
            self.work(id).await;
        }
        result
    }

    /// Writes a record and hands on what it asks for.
    async fn commit(&self, call: Arc<Call>, before: Option<&Call>, cause: &Cause<'_>) -> Result<(), StoreError> {
        let mut span = cause.span(self, &call);
        let commit = Commit {
            call: Arc::clone(&call),
            expected: before.map(|before| before.version),
            announced: before.map_or(0, Call::last_seq),
        };
        let committed = self.store().commit(commit).await;
        committed.inspect_err(|error| span.fails(error.word()))?;
        self.0.recent.keep(&call, self.clock().now());
        Turn { call: &call, before, inputs: cause.inputs }.log();
        self.follow_up(&call, before, span.context());
        Ok(())
    }
}

/// Whether nobody waits for what follows: what there was to do is done.
const fn can_wait(input: &Input) -> bool {
    matches!(input, Input::TaskFinished { result: TaskResult::Done(_), .. })
}

/// What a commit comes of: a batch of inputs, none for the first one, and where in traces those who gave them are.
struct Cause<'a> {
    inputs: &'a [&'a [Input]],
    places: &'a [&'a Place],
}

impl Cause<'_> {
    /// The span of a commit: below the first of these in the call's trace, or below the call's beginning.
    fn span(&self, engine: &Engine, call: &Call) -> Span {
        let mut places = self.places.iter().filter_map(|place| place.context());
        let is_in_it = |place: &TraceParent| call.trace.is_some_and(|call| call.trace == place.trace);
        let parent = places.clone().find(is_in_it).or(call.trace);
        let mut span = engine.traces().below(parent, "commit");
        places.by_ref().filter(|place| Some(*place) != parent).for_each(|place| span.links(Some(place)));
        span.text("bellwire.call.id", &call.id);
        span.number("bellwire.call.revision", call.version);
        span.word("bellwire.call.state", call.state.as_str());
        span.text("bellwire.inputs", &Inputs(self.inputs));
        if let Some(reason) = call.end_reason {
            span.word("bellwire.call.end_reason", reason.as_str());
        }
        span
    }
}

/// Takes a record through a batch. The answer is the record after it, if anything changed, and why each was refused, if it was.
fn step_all(before: &Call, batch: &[&[Input]], now: Timestamp) -> (Option<Box<Call>>, Vec<Option<Refusal>>) {
    let mut next: Option<Box<Call>> = None;
    let mut refusals = Vec::with_capacity(batch.len());
    for inputs in batch {
        let mut refusal = None;
        for input in *inputs {
            match step(next.as_deref().unwrap_or(before), input, now) {
                Ok(Outcome::Applied(call)) => {
                    refusal = None;
                    next = Some(call);
                }
                Ok(Outcome::Ignored(_)) => refusal = None,
                Err(why) => refusal = Some(why),
            }
        }
        refusals.push(refusal);
    }
    (next, refusals)
}

/// Why a whole batch failed; every input of it gets the same answer.
#[derive(Clone)]
enum BatchError {
    NotFound,
    Store(StoreError),
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<BatchError> for EngineError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::NotFound => Self::NotFound,
            BatchError::Store(error) => Self::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn pending() -> Pending {
        Pending { inputs: Vec::new(), read: None, place: None, reply: oneshot::channel().0 }
    }

    #[test]
    fn the_last_result_begins_the_work_of_all() {
        let (inbox, call) = (Inbox::default(), Clock::system().call_id());
        assert!(matches!(inbox.push(call, pending(), 3), Start::Soon));
        assert!(matches!(inbox.push(call, pending(), 3), Start::No));
        assert!(matches!(inbox.push(call, pending(), 3), Start::Now));
        assert!(!inbox.begin(call), "it has begun");
        assert_eq!(inbox.take(call).len(), 3);
        assert!(matches!(inbox.push(call, pending(), 3), Start::No), "whoever works takes it too");
        assert_eq!((inbox.take(call).len(), inbox.take(call).len()), (1, 0));
        assert!(!inbox.begin(call), "nothing is left");
    }

    #[test]
    fn who_is_in_a_hurry_takes_along_what_waits() {
        let (inbox, call) = (Inbox::default(), Clock::system().call_id());
        assert!(matches!(inbox.push(call, pending(), 2), Start::Soon));
        assert!(matches!(inbox.push(call, pending(), 0), Start::Now));
        assert_eq!(inbox.take(call).len(), 2);
    }

    #[test]
    fn nothing_waits_for_good() {
        let (inbox, call) = (Inbox::default(), Clock::system().call_id());
        assert!(matches!(inbox.push(call, pending(), 2), Start::Soon));
        assert!(inbox.begin(call), "the moment is over");
        assert_eq!(inbox.take(call).len(), 1);
    }

    #[test]
    fn a_lease_is_long_enough_for_what_waits() {
        use crate::domain::{Platform, TaskKind};
        let device = crate::domain::DeviceId::new("phone").expect("a device id");
        let ring = TaskKind::Ring { device, platform: Platform::Ios, number: 1 };
        assert!(ring.lease() > ring.deadline() + 3 * GATHERED_FOR);
    }
}
