//! Traces that nobody keeps, nobody takes, or that go nowhere.

use bellwire::domain::TraceParent;
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
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
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
