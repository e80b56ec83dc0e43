//! One span: something that is done, from its beginning until it is dropped.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Inner;
use crate::domain::TraceParent;

/// Something that is done. It ends when it is dropped; one that is not kept is nothing.
pub struct Span {
    context: Option<TraceParent>,
    kept: Option<Box<Kept>>,
}

struct Kept {
    inner: Arc<Inner>,
    context: TraceParent,
    parent: u64,
    is_remote: bool,
    name: Cow<'static, str>,
    kind: SpanKind,
    began: SystemTime,
    since: Instant,
    attributes: Vec<KeyValue>,
    links: SpanLinks,
    status: Status,
}

impl Span {
    /// One that is not kept; what is done below it is below this.
    pub(super) const fn none(parent: Option<TraceParent>) -> Self {
        Self { context: parent, kept: None }
    }

    pub(super) fn begin(
        inner: &Arc<Inner>,
        parent: TraceParent,
        span: u64,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let context = TraceParent { span, ..parent };
        let kept = Kept {
            inner: Arc::clone(inner),
            context,
            parent: parent.span,
            is_remote: false,
            name: name.into(),
            kind: SpanKind::Internal,
            began: inner.clock.finely(),
            since: Instant::now(),
            attributes: Vec::new(),
            links: SpanLinks::default(),
            status: Status::Unset,
        };
        Self { context: Some(context), kept: Some(Box::new(kept)) }
    }

    /// Makes it that of a request which began then, below `parent` if that is known.
    pub(super) fn serves(&mut self, began: (SystemTime, Instant), parent: Option<u64>) {
        if let Some(kept) = &mut self.kept {
            (kept.began, kept.since) = began;
            (kept.parent, kept.is_remote) = (parent.unwrap_or(0), parent.is_some());
            kept.kind = SpanKind::Server;
        }
    }

    /// Says that somebody else does it, who was asked over the network.
    #[must_use]
    pub fn asks(mut self) -> Self {
        if let Some(kept) = &mut self.kept {
            kept.kind = SpanKind::Client;
        }
        self
    }

    /// Whether it is kept: otherwise nothing need be said of it.
    pub const fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// What is below it belongs there.
    pub const fn context(&self) -> Option<TraceParent> {
        self.context
    }

    /// Adds what is said in a word.
    pub fn word(&mut self, key: &'static str, value: &'static str) {
        self.add(key, || value.into());
    }

    /// Adds what is said in a text, which is made only if it is kept.
    pub fn text(&mut self, key: &'static str, value: &dyn Display) {
        self.add(key, || value.to_string().into());
    }

    /// Adds a number.
    pub fn number(&mut self, key: &'static str, value: impl TryInto<i64>) {
        self.add(key, || value.try_into().unwrap_or(i64::MAX).into());
    }

    /// Says that something else belongs to it too, which is of another trace or another way to it.
    pub fn links(&mut self, other: Option<TraceParent>) {
        if let (Some(kept), Some(other)) = (&mut self.kept, other) {
            kept.links.links.push(Link::with_context(span_context(other, true)));
        }
    }

    /// Says that it failed, and why, in a word that is no secret.
    pub fn fails(&mut self, why: &'static str) {
        if let Some(kept) = &mut self.kept {
            kept.status = Status::error(why);
        }
    }

    fn add(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(kept) = &mut self.kept {
            kept.attributes.push(KeyValue::new(key, value()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        let (inner, ended) = (Arc::clone(&kept.inner), kept.began + kept.since.elapsed());
        if inner.spans.try_send(kept.ended_at(ended)).is_err() {
            inner.metrics.spans_lost(1);
        }
    }
}

impl Kept {
    fn ended_at(self, end_time: SystemTime) -> SpanData {
        SpanData {
            span_context: span_context(self.context, false),
            parent_span_id: SpanId::from_bytes(self.parent.to_be_bytes()),
            parent_span_is_remote: self.is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: self.began,
            end_time,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: self.links,
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("bellwire").build(),
        }
    }
}

fn span_context(place: TraceParent, is_remote: bool) -> SpanContext {
    let (trace, span) = (TraceId::from_bytes(place.trace.to_be_bytes()), SpanId::from_bytes(place.span.to_be_bytes()));
    let flags = if place.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(trace, span, flags, is_remote, TraceState::NONE)
}
