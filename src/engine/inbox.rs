//! One call's inputs, one after the other: what arrives together is stepped and committed together.
//!
//! Ten legs' results cost one commit instead of ten that conflict. Between instances nothing queues; there the store's
//! compare-and-set decides, and who lost loads and steps again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Engine, EngineError};
use crate::domain::{Call, CallId, Input, Outcome, Refusal, Timestamp, TraceParent, step};
use crate::store::{Commit, Slot, StoreError};
use crate::telemetry::lines::{Inputs, Turn};
use crate::telemetry::traces::{self, Place, Span};

/// How often a commit is tried against other instances before the request is told to come back.
const MAX_TRIES: usize = 16;

/// The inputs that wait, by call. A call with an entry has a task that works through it.
#[derive(Default)]
pub(super) struct Inbox(Mutex<HashMap<CallId, Vec<Pending>>>);

struct Pending {
    inputs: Vec<Input>,
    /// The record as it was read a moment ago, if it was.
    read: Option<Arc<Call>>,
    /// Where in a trace it comes from.
    place: Option<Place>,
    reply: oneshot::Sender<Result<Arc<Call>, EngineError>>,
}

impl Inbox {
    fn locked(&self) -> MutexGuard<'_, HashMap<CallId, Vec<Pending>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues; says whether the caller must start the work.
    fn push(&self, id: CallId, pending: Pending) -> bool {
        match self.locked().entry(id) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().push(pending);
                false
            }
            Entry::Vacant(entry) => {
                entry.insert(vec![pending]);
                true
            }
        }
    }

    /// Holds a call's inputs back until it is released; not if there is work on them already.
    fn hold(&self, id: CallId) -> bool {
        match self.locked().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Vec::new());
                true
            }
        }
    }

    /// Takes what waits; none: the work is over.
    fn take(&self, id: CallId) -> Vec<Pending> {
        let mut waiting = self.locked();
        let batch = waiting.get_mut(&id).map(std::mem::take).unwrap_or_default();
        if batch.is_empty() {
            waiting.remove(&id);
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
        if self.0.inbox.push(id, Pending { inputs, read, place: traces::current(), reply }) {
            // A task of its own: a client that goes away must not stop the others' inputs.
            let engine = self.clone();
            tokio::spawn(async move { engine.work(id).await });
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the instance stops".into()).into()))
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
        self.0.recent.keep(&call);
        Turn { call: &call, before, inputs: cause.inputs }.log();
        self.follow_up(&call, before, span.context());
        Ok(())
    }
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
