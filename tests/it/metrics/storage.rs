//! The store's operations, what waits in it, and what becomes of jobs and webhooks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use bellwire::store::measured::Measured;
use bellwire::telemetry::Metrics;
use serde_json::json;

use super::exposition::Exposition;
use super::{scrape, until, until_at_least};
use crate::store_laws::fixture::{create, is_conflict, new_call};
use crate::support::people::path;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Stage, bearer};

#[tokio::test]
async fn each_operation_of_the_store_is_measured_and_why_it_failed() {
    let (folder, clock) = (tempfile::tempdir().expect("a folder"), Clock::system());
    let store = Embedded::open(&folder.path().join("bellwire.redb"), Duration::from_secs(10), clock.clone());
    let metrics = Arc::new(Metrics::default());
    let store = Measured::new(Arc::new(store.expect("a store")), Arc::clone(&metrics));
    let call = new_call(&clock);
    create(&store, &call).await.expect("written");
    assert!(is_conflict(&create(&store, &call).await), "as the store itself says");
    store.load(call.id).await.expect("loaded");
    assert_eq!(store.due(call.wake_up().at, 9, &HashSet::new()).await.expect("due"), [call.id]);
    store.close().await;
    assert!(store.bury(clock.call_id()).await.is_err());

    let all = Exposition::read(&metrics.text()).expect("OpenMetrics");
    let count = |series: &str| all.count(series);
    assert_eq!(count(r#"bellwire_store_seconds_count{operation="commit"}"#), 2);
    assert_eq!(count(r#"bellwire_store_seconds_count{operation="load"}"#), 1);
    assert_eq!(count(r#"bellwire_store_seconds_count{operation="due"}"#), 1);
    assert_eq!(count(r#"bellwire_store_failures_total{operation="commit",reason="conflict"}"#), 1);
    assert_eq!(count(r#"bellwire_store_failures_total{operation="bury",reason="unavailable"}"#), 1);
    assert_eq!(all.value(r#"bellwire_store_failures_total{operation="load",reason="conflict"}"#), None);
}

#[tokio::test]
async fn what_waits_in_the_store_is_counted_and_webhooks_by_their_endpoint() {
    let receiver = Receiver::answering(|_, _| Answer::Status(503)).await;
    let section = "secrets = [\"whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=\"]";
    let stage = Stage::with(&format!("[[webhooks]]\nurl = \"{}\"\n{section}\n", receiver.url)).await;
    let (calls, jobs) = (r#"bellwire_store_waiting{of="calls"}"#, r#"bellwire_store_waiting{of="jobs"}"#);
    let is = |number: f64| move |value: f64| (value - number).abs() < 0.1;
    let up = r#"bellwire_part_up{part="store"}"#;
    until(&stage, up, is(1.0)).await;
    until(&stage, calls, is(0.0)).await;
    stage.pixel("bob", "phone").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    until(&stage, calls, is(1.0)).await;
    stage.http.post(&path(&call, "decline"), &bearer("bob"), json!({"device_id": "phone"})).await.expect(200);
    receiver.wait_for(1, |_| true).await;
    // After a few tries, with pauses in between, it is a job.
    until(&stage, jobs, |value| {
        stage.clock.advance(Duration::from_secs(10));
        value >= 1.0
    })
    .await;
    let all = until(&stage, calls, is(0.0)).await;
    let later = r#"{endpoint="0",event="call.ended",outcome="later"}"#;
    assert!(all.expect(&format!("bellwire_webhooks_total{later}")) >= 1.0);
    assert!(all.expect(&format!("bellwire_webhook_seconds_count{later}")) >= 1.0);
    assert!(all.expect(r#"bellwire_store_seconds_count{operation="commit_job"}"#) >= 1.0);
}

#[tokio::test]
async fn a_process_and_its_build_are_told_of() {
    let stage = Stage::new().await;
    let all = until_at_least(&stage, "process_resident_memory_bytes", 1_000_000.0).await;
    assert!(all.expect("process_cpu_seconds_total") > 0.0);
    assert!(all.expect("process_open_fds") < all.expect("process_max_fds"));
    let build = format!(r#"bellwire_build_info{{version="{}",rustc="1."#, env!("CARGO_PKG_VERSION"));
    let builds = all.like("bellwire_build_info");
    assert!(builds.len() == 1 && builds[0].0.starts_with(&build), "{builds:?}");
    let again = scrape(&stage).await;
    assert!(again.expect("process_cpu_seconds_total") >= all.expect("process_cpu_seconds_total"));
}
