//! Traces: what is done for a call, at whichever gateway, as spans of one trace.
//!
//! A call's record says where its trace begins (`domain::trace`); a span is made where something is done and handed to `export`, which may lose
//! it, and never holds anything up. What a request or task does on the way knows its place by `current`. Where traces go nowhere a span is
//! nothing and costs nothing.

mod current;
mod export;
mod span;

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

pub use current::{Place, current, joins, within};
pub use export::{Exporter, REQUEST_WITHIN, TracesError};
pub use span::Span;

use super::Metrics;
use super::lines::{self, Request};
use crate::clock::Clock;
use crate::domain::{Timestamp, TraceParent};

/// Where spans are made. Clones share everything.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Inner>>);

struct Inner {
    clock: Clock,
    metrics: Arc<Metrics>,
    ratio: f64,
    spans: mpsc::Sender<SpanData>,
    /// Since when they cannot be handed over, and why.
    trouble: Mutex<Option<(Timestamp, String)>>,
}

impl Traces {
    /// A span below another one; nothing if that is not kept.
    pub fn below(&self, parent: Option<TraceParent>, name: &'static str) -> Span {
        match (&self.0, parent) {
            (Some(inner), Some(parent)) if parent.sampled => Span::begin(inner, parent, inner.span_id(), name),
            _ => Span::none(parent),
        }
    }

    /// A span below what is going on now.
    pub fn span(&self, name: &'static str) -> Span {
        self.below(current().and_then(|place| place.context()), name)
    }

    /// The place of a request that says to belong there; none where there is nothing to trace.
    pub fn requested(&self, parent: Option<TraceParent>) -> Option<Place> {
        match &self.0 {
            Some(inner) => Some(Place::of_request(parent, inner.began(parent), inner.clock.finely())),
            None => parent.map(Place::passed_on),
        }
    }

    /// Keeps the span of a request that is over, if its trace is kept and it is known who asked: what strangers send must not fill the queue.
    pub fn answered(&self, place: &Place, request: &Request<'_>) {
        let (Some(inner), Some(context)) = (&self.0, place.context()) else { return };
        if !context.sampled || request.is_quiet || request.who == lines::NOBODY {
            return;
        }
        let route = request.route.unwrap_or("unmatched");
        let mut span = Span::begin(inner, context, context.span, format!("{} {route}", request.method));
        place.tell(&mut span);
        // <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server>
        span.word("http.request.method", request.method);
        span.text("http.route", &route);
        match request.status {
            Some(status) => span.number("http.response.status_code", status),
            None => span.fails("gone"),
        }
        if request.status.is_some_and(|status| status >= 500) {
            span.fails(request.code.unwrap_or("error"));
        }
        if let Some(code) = request.code {
            span.word("error.type", code);
        }
        if let Some(call) = request.call {
            span.text("bellwire.call.id", &call);
        }
        span.word("bellwire.who", request.who);
    }

    /// Since when spans cannot be handed over and are lost, and why; `None` where traces go nowhere.
    pub fn trouble(&self) -> Option<Option<(Timestamp, String)>> {
        Some(self.0.as_ref()?.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Inner {
    fn span_id(&self) -> u64 {
        let mut bytes = [0; 8];
        self.clock.random(&mut bytes);
        u64::from_le_bytes(bytes).max(1)
    }

    /// The own place of a request: in its parent's trace, or in one that begins with it.
    fn began(&self, parent: Option<TraceParent>) -> TraceParent {
        let span = self.span_id();
        if let Some(parent) = parent {
            return TraceParent { span, ..parent };
        }
        let mut bytes = [0; 16];
        self.clock.random(&mut bytes);
        let trace = u128::from_le_bytes(bytes).max(1);
        TraceParent { trace, span, sampled: is_kept(trace, self.ratio) }
    }
}

/// Whether a trace is one of those that are kept, by its id, as others with the same share say too.
fn is_kept(trace: u128, ratio: f64) -> bool {
    let [.., a, b, c, d, _, _, _, _] = trace.to_be_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_traces_that_are_kept_is_the_one_that_is_wanted() {
        let clock = Clock::system();
        let kept = |ratio| {
            let trace = |_: &u32| {
                let mut bytes = [0; 16];
                clock.random(&mut bytes);
                is_kept(u128::from_le_bytes(bytes), ratio)
            };
            (0..10_000).filter(trace).count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        assert!((2000..3000).contains(&kept(0.25)), "{}", kept(0.25));
    }

    #[tokio::test]
    async fn what_goes_nowhere_is_nothing_and_passes_on_what_came() {
        let traces = Traces::default();
        assert!(traces.requested(None).is_none());
        let parent = TraceParent { trace: 7, span: 8, sampled: true };
        let place = traces.requested(Some(parent)).expect("a place");
        assert_eq!(place.context(), Some(parent));
        let span = within(Some(place), async { traces.span("anything") }).await;
        assert!(!span.is_kept());
        assert_eq!(span.context(), Some(parent), "who comes next is below whoever came before");
        assert!(traces.trouble().is_none());
    }
}
