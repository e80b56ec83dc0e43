//! Where in a trace belongs what is going on now.
//!
//! A request that is about a call belongs to the call's trace, whichever its sender named; which call it is about is known only when the record
//! has been read. So its place is settled on the way.

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use futures_util::future::Either;

use super::Span;
use crate::domain::{Call, TraceParent};

tokio::task_local! {
    static CURRENT: Place;
}

/// A place in a trace. Clones share what it comes to.
#[derive(Clone)]
pub struct Place(Arc<Inner>);

struct Inner {
    /// What the request says that it is below.
    named: Option<TraceParent>,
    /// Its own place, unless it comes to be another.
    own: TraceParent,
    began: (SystemTime, Instant),
    /// Whether it is a span of this gateway's, or somebody else's place that is passed on.
    is_span: bool,
    /// The place of the call that it is about, if that is settled.
    call: OnceLock<Option<TraceParent>>,
}

/// What is going on now, if it is traced.
pub fn current() -> Option<Place> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does something as part of what is at this place. No larger than the work: an async function would have room for it twice.
pub fn within<T>(place: Option<Place>, work: impl Future<Output = T>) -> impl Future<Output = T> {
    match place {
        Some(place) => Either::Left(CURRENT.scope(place, work)),
        None => Either::Right(work),
    }
}

/// What is going on now is about this call.
pub fn joins(call: &Call) {
    let _ = CURRENT.try_with(|place| place.joins(call));
}

impl Place {
    pub(super) fn of_request(named: Option<TraceParent>, own: TraceParent, began: SystemTime) -> Self {
        Self(Arc::new(Inner { named, own, began: (began, Instant::now()), is_span: true, call: OnceLock::new() }))
    }

    /// Somebody else's, below which nothing of this gateway's is kept.
    pub(super) fn passed_on(own: TraceParent) -> Self {
        let began = (SystemTime::UNIX_EPOCH, Instant::now());
        Self(Arc::new(Inner { named: Some(own), own, began, is_span: false, call: OnceLock::new() }))
    }

    /// That of a span, which is settled.
    pub fn of(span: &Span) -> Option<Self> {
        let place = Self::passed_on(span.context()?);
        let _ = place.0.call.set(Some(place.0.own));
        Some(place)
    }

    /// What is done now belongs there; `None`: it is about a call that is not traced.
    pub fn context(&self) -> Option<TraceParent> {
        match (self.0.call.get(), self.0.is_span) {
            (None, _) => Some(self.0.own),
            (Some(call), false) => *call,
            (Some(call), true) => call.map(|call| TraceParent { span: self.0.own.span, ..call }),
        }
    }

    /// Settles that it is about this call.
    pub fn joins(&self, call: &Call) {
        let _ = self.0.call.set(call.trace);
    }

    /// Settles that a call begins here, and gives the place that the call's record keeps, if the trace is kept by anybody.
    pub fn begins_call(&self) -> Option<TraceParent> {
        let own = self.0.own;
        let _ = self.0.call.set(Some(own));
        (own.sampled || self.0.named.is_some()).then_some(own)
    }

    /// Says of a request's span what is known of it here.
    pub(super) fn tell(&self, span: &mut Span) {
        let joined = self.0.call.get().copied().flatten().filter(|call| call.span != self.0.own.span);
        span.serves(self.0.began, joined.or(self.0.named).map(|parent| parent.span));
        if joined.is_some() {
            span.links(self.0.named);
        }
    }
}
