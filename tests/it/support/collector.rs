//! What traces are handed over to: a server that reads OTLP over HTTP and keeps every span.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Written;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::SOON;

/// A span as it came; ids are in hex, a root has no parent.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    /// OTLP's number: 1 internal, 2 server, 3 client.
    pub kind: i32,
    pub attributes: BTreeMap<String, String>,
    /// `<trace>/<span>`.
    pub links: Vec<String>,
    /// In nanoseconds since 1970.
    pub time: (u64, u64),
    pub failed: bool,
    /// What the gateway says of itself.
    pub resource: BTreeMap<String, String>,
}

/// A running collector; it ends when it is dropped.
pub struct Collector {
    pub url: String,
    spans: watch::Receiver<Vec<Span>>,
    bodies: watch::Receiver<Vec<Bytes>>,
    status: Arc<AtomicU16>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Span {
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (spans_sender, spans) = watch::channel(Vec::new());
        let (bodies_sender, bodies) = watch::channel(Vec::new());
        let status = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&status);
        let take = async move |headers: HeaderMap, body: Bytes| {
            let status = StatusCode::from_u16(answer.load(Ordering::Relaxed)).expect("a status");
            if status.is_success() {
                assert_eq!(headers["content-type"], "application/x-protobuf");
                let read = read(&body);
                bodies_sender.send_modify(|all: &mut Vec<Bytes>| all.push(body));
                spans_sender.send_modify(|all: &mut Vec<Span>| all.extend(read));
            }
            status
        };
        let take = Arc::new(take);
        let router = Router::new().route(
            "/v1/traces",
            post(move |headers: HeaderMap, body: Bytes| {
                let take = Arc::clone(&take);
                async move { take(headers, body).await }
            }),
        );
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, spans, bodies, status, serving }
    }

    /// The lines of a gateway whose traces come here.
    pub fn lines(&self, ratio: f64) -> String {
        format!("[telemetry]\notlp_endpoint = \"{}\"\ntrace_ratio = {ratio:?}\n", self.url)
    }

    /// Answers like this from now on.
    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// What has come so far.
    pub fn all(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// Waits until there is a span like this, and gives the first one.
    pub async fn wait_for(&self, like: impl Fn(&Span) -> bool) -> Span {
        let mut spans = self.spans.clone();
        let found = timeout(SOON, spans.wait_for(|all| all.iter().any(&like))).await;
        let all = found.unwrap_or_else(|_| panic!("there came only {:#?}", self.all())).expect("it goes on").clone();
        all.into_iter().find(like).expect("it was there")
    }

    /// Whether this text stands in anything that came.
    pub fn has_seen(&self, text: &str) -> bool {
        self.bodies.borrow().iter().any(|body| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

fn read(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let all = request.resource_spans.into_iter().flat_map(|of| {
        let resource = attributes(of.resource.expect("a resource").attributes);
        of.scope_spans.into_iter().flat_map(|scope| scope.spans).map(move |span| (span, resource.clone()))
    });
    all.map(|(span, resource)| span_of(span, resource)).collect()
}

fn span_of(span: Written, resource: BTreeMap<String, String>) -> Span {
    let link = |trace: &[u8], span: &[u8]| format!("{}/{}", HEXLOWER.encode(trace), HEXLOWER.encode(span));
    Span {
        trace: HEXLOWER.encode(&span.trace_id),
        id: HEXLOWER.encode(&span.span_id),
        parent: HEXLOWER.encode(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        links: span.links.iter().map(|one| link(&one.trace_id, &one.span_id)).collect(),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
        failed: span.status.is_some_and(|status| status.code == 2),
        attributes: attributes(span.attributes),
        resource,
    }
}

fn attributes(written: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    written.into_iter().map(|one| (one.key, text(one.value))).collect()
}
