//! What it costs to tell of a request and of a call's turn in the log, and of anything in a trace; and what it costs where nobody wants to know.
//!
//! `cargo bench --bench telling`. How many there are in a call is in docs/LOGGING.md and docs/decisions/0015-traces.md.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::Telemetry;
use bellwire::config::telemetry::{LogFormat, LogLevel};
use bellwire::domain::{CallId, TraceParent};
use bellwire::outbound;
use bellwire::telemetry::lines::Request;
use bellwire::telemetry::logs::subscriber;
use bellwire::telemetry::{Metrics, Traces};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn request(trace: Option<TraceParent>) -> Request<'static> {
    Request {
        method: "POST",
        route: Some("/v1/calls/{id}/answer"),
        status: Some(200),
        took: Duration::from_micros(1234),
        id: Some("0123456789abcdef"),
        call: CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").ok(),
        who: "ticket",
        code: None,
        trace,
        is_quiet: false,
    }
}

fn line(bencher: Bencher, log_level: LogLevel, log_format: LogFormat) {
    let config = Telemetry { log_level, log_format, otlp_endpoint: None, trace_ratio: 1.0 };
    let request = request(None);
    tracing::subscriber::with_default(subscriber(&config, io::sink), || {
        bencher.bench_local(|| black_box(&request).log());
    });
}

#[divan::bench]
fn line_as_json(bencher: Bencher) {
    line(bencher, LogLevel::Info, LogFormat::Json);
}

#[divan::bench]
fn line_for_people(bencher: Bencher) {
    line(bencher, LogLevel::Info, LogFormat::Human);
}

#[divan::bench]
fn line_that_is_off(bencher: Bencher) {
    line(bencher, LogLevel::Warn, LogFormat::Json);
}

#[divan::bench]
fn id_of_a_request(bencher: Bencher) {
    let clock = Clock::system();
    bencher.bench(|| {
        let mut id = [0; 8];
        clock.random(&mut id);
        id
    });
}

/// Made and lost: nobody takes them, so the queue is full soon.
fn span(bencher: Bencher, sampled: bool) {
    let client = outbound::client(Duration::from_secs(1)).expect("a client");
    let metrics = Arc::new(Metrics::default());
    let (traces, _exporter) = Traces::to("http://127.0.0.1:1", 1.0, client, Clock::system(), metrics).expect("traces");
    let parent = Some(TraceParent { trace: 1, span: 1, sampled });
    bencher.bench(|| {
        let mut span = traces.below(parent, "push").asks();
        span.text("bellwire.call.id", &"0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
        span.text("bellwire.device.id", &"iphone-1");
        span.word("bellwire.push.provider", "apns");
        span.word("bellwire.push.verdict", "accepted");
        span.number("http.response.status_code", 200);
    });
}

#[divan::bench]
fn span_that_is_kept(bencher: Bencher) {
    span(bencher, true);
}

#[divan::bench]
fn span_that_is_not_kept(bencher: Bencher) {
    span(bencher, false);
}
