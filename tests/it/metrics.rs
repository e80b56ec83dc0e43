//! What Prometheus reads of the loop from invite to answer, on the operators' listener.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::people::path;
use crate::support::{Http, SOON, Stage, bearer};

/// Every count of `/metrics`, by its name with labels.
async fn samples(stage: &Stage) -> BTreeMap<String, u64> {
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let answer = ops.request(http::Method::GET, "/metrics").send().await.expect("an answer");
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text().await.expect("a text");
    assert!(text.ends_with("# EOF\n"), "{text}");
    for secret in ["alice", "bob", "iphone-1"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let lines = text.lines().filter(|line| line.contains("_total{") || line.contains("_count{"));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

/// The samples, once this one has come to a value: what follows an answer is counted a moment later.
async fn until(stage: &Stage, name: &str, value: u64) -> BTreeMap<String, u64> {
    let wait = async {
        loop {
            let samples = samples(stage).await;
            if samples.get(name).is_some_and(|sample| *sample >= value) {
                return samples;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{name} did not come to {value}"))
}

const IPHONE: &str = r#"platform="ios",app="com.example.phone""#;
const PIXEL: &str = r#"platform="android",app="com.example.phone""#;

#[tokio::test]
async fn a_ring_is_measured_from_invite_to_answer() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    // Both providers' answers are in the record before anybody speaks.
    for kind in [IPHONE, PIXEL] {
        until(&stage, &format!("bellwire_ring_sent_seconds_count{{{kind}}}"), 1).await;
    }
    let ticket = stage.ring(&phone, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);

    let ended = r#"bellwire_calls_total{media="audio",reason="completed"}"#;
    let samples = until(&stage, ended, 1).await;
    let count = |name: &str| samples.get(name).copied().unwrap_or_else(|| panic!("no {name} in {samples:?}"));
    assert_eq!(count(&format!("bellwire_ring_sent_seconds_count{{{IPHONE}}}")), 1);
    assert_eq!(count(&format!("bellwire_ring_sent_seconds_count{{{PIXEL}}}")), 1);
    assert_eq!(count(&format!("bellwire_ring_alerting_seconds_count{{{IPHONE}}}")), 1);
    assert_eq!(count(&format!("bellwire_ring_answer_seconds_count{{{IPHONE}}}")), 1);
    assert_eq!(count(&format!(r#"bellwire_legs_total{{{IPHONE},state="answered",acked="yes"}}"#)), 1);
    assert_eq!(count(&format!(r#"bellwire_legs_total{{{PIXEL},state="stopped",acked="too_soon"}}"#)), 1);
    let pushed = r#"bellwire_push_seconds_count{provider="apns",app="com.example.phone",push="ring"}"#;
    assert_eq!(count(pushed), 1);
    assert!(samples.keys().all(|name| name.starts_with("bellwire_")), "{samples:?}");
}

#[tokio::test]
async fn what_a_provider_refuses_is_counted_by_its_word() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.unregister(&phone.ring_token, stage.clock.now());
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.event("alice", "call.ended", &call).await;
    let ended = r#"bellwire_calls_total{media="audio",reason="unreachable"}"#;
    let samples = until(&stage, ended, 1).await;
    let refused = concat!(
        r#"bellwire_pushes_total{provider="apns",app="com.example.phone",push="ring","#,
        r#"verdict="drop_token",status="410",reason="Unregistered"}"#,
    );
    assert_eq!(samples.get(refused), Some(&1), "{samples:?}");
    assert_eq!(samples.get(&format!(r#"bellwire_legs_total{{{IPHONE},state="failed",acked="no"}}"#)), Some(&1));
}
