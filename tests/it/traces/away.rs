//! Traces that nobody keeps, nobody takes, or that go nowhere.

use std::time::Duration;

use bellwire::domain::TraceParent;
use reqwest::Method;
use serde_json::json;

use super::{CALLERS, NOT_KEPT, TRACE, endpoint, invite, told};
use crate::support::collector::Collector;
use crate::support::people::path;
use crate::support::receiver::Receiver;
use crate::support::{Http, SOON, Stage, bearer};

/// A call from this place in a trace, if any, that is cancelled at once.
async fn cancelled(stage: &Stage, place: Option<&str>) {
    stage.iphone("bob", "iphone-1").await;
    let call = match place {
        Some(place) => invite(stage, place).await["call"]["id"].take(),
        None => stage.invite("alice", "bob").await["call"]["id"].take(),
    };
    stage.http.post(&path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_trace_that_is_not_kept_is_passed_on_and_leaves_no_span() {
    let (collector, backend) = (Collector::start().await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", collector.lines(1.0), endpoint(&backend))).await;
    cancelled(&stage, Some(NOT_KEPT)).await;
    let told = told(&backend).await.expect("a place");
    assert_eq!((format!("{:032x}", told.trace), told.sampled), (TRACE.to_owned(), false));
    // What comes after it is kept, and so comes after what would have come of it.
    stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    collector.wait_for(|span| span.name == "GET /v1/devices").await;
    assert!(collector.all().iter().all(|span| span.trace != TRACE), "{:#?}", collector.all());
}

#[tokio::test]
async fn of_calls_that_say_nothing_the_share_is_kept_that_is_wanted() {
    let (collector, backend) = (Collector::start().await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", collector.lines(0.0), endpoint(&backend))).await;
    cancelled(&stage, None).await;
    assert_eq!(told(&backend).await, None);
    // One that is kept since its caller says so comes after all of the other.
    cancelled(&stage, Some(CALLERS)).await;
    collector.wait_for(|span| span.name == "webhook").await;
    assert!(collector.all().iter().all(|span| span.trace == TRACE), "{:#?}", collector.all());
}

#[tokio::test]
async fn a_gateway_whose_traces_go_nowhere_passes_on_what_came() {
    let backend = Receiver::start().await;
    let stage = Stage::with(&endpoint(&backend)).await;
    cancelled(&stage, Some(CALLERS)).await;
    assert_eq!(told(&backend).await, TraceParent::parse(CALLERS));
}

#[tokio::test]
async fn what_is_no_place_in_a_trace_begins_another() {
    let (collector, backend) = (Collector::start().await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", collector.lines(1.0), endpoint(&backend))).await;
    let hostile = [CALLERS.to_uppercase(), format!("{CALLERS}-00"), "x".repeat(8000), "00-0-0-0".to_owned()];
    for place in &hostile {
        cancelled(&stage, Some(place)).await;
    }
    let told = backend.wait_for(hostile.len(), |told| told.kind() == "call.ended").await;
    let traces: std::collections::HashSet<_> =
        told.iter().map(|told| TraceParent::parse(told.header("traceparent")).expect("a place").trace).collect();
    assert_eq!(traces.len(), hostile.len(), "each its own");
    assert!(traces.iter().all(|trace| format!("{trace:032x}") != TRACE));
}

#[tokio::test]
async fn strangers_leave_no_span_whatever_they_ask_for() {
    let collector = Collector::start().await;
    let stage = Stage::with(&collector.lines(1.0)).await;
    for (method, path) in [
        (Method::GET, "/v1/devices"),
        (Method::OPTIONS, "/v1/calls"),
        (Method::GET, "/v1/livekit/webhook"),
        (Method::POST, "/v1/livekit/webhook"),
        (Method::GET, "/docs"),
        (Method::GET, "/readyz"),
    ] {
        Http::send(stage.http.request(method, path).header("traceparent", CALLERS)).await;
    }
    stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    collector.wait_for(|span| span.name == "GET /v1/devices").await;
    assert_eq!(collector.all().len(), 1, "{:#?}", collector.all());
}

#[tokio::test]
async fn a_collector_that_does_not_answer_is_no_reason_not_to_have_stopped() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let lines = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\ntrace_ratio = 1.0\n");
    let stage = Stage::configured(&lines, |config| config.http.shutdown_grace = Duration::from_secs(2)).await;
    stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
    stage.gateway.stop().await.expect("gently");
}

#[tokio::test]
async fn a_collector_that_takes_nothing_is_a_note_and_what_is_lost_is_counted() {
    let (collector, backend) = (Collector::start().await, Receiver::start().await);
    let stage = Stage::with(&format!("{}{}", collector.lines(1.0), endpoint(&backend))).await;
    collector.answers(400);
    cancelled(&stage, Some(CALLERS)).await;
    told(&backend).await;
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let until = async |is_so: bool| loop {
        let ready = ops.get("/readyz", "").await.expect(200);
        let parts = ready["parts"].as_array().expect("parts").clone();
        let traces = parts.into_iter().find(|part| part["name"] == "traces").expect("a part");
        if traces["ok"] == is_so {
            return traces["detail"].as_str().expect("a text").to_owned();
        }
        stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let why = tokio::time::timeout(SOON, until(false)).await.expect("it is told of");
    assert!(why.contains("400") && why.contains("spans are lost"), "{why}");
    let metrics = ops.get("/metrics", "").await.text;
    let count = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("a sample");
        line.trim().parse::<u64>().expect("a number")
    };
    assert!(count("bellwire_trace_spans_lost_total") > 5);
    assert_eq!(count("bellwire_trace_spans_total"), 0);
    collector.answers(200);
    tokio::time::timeout(SOON, until(true)).await.expect("it is told of");
}
