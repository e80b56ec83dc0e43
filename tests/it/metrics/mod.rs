//! What Prometheus reads on the operators' listener: that each series changes when it should, and that names and documents agree.
//!
//! Every scrape of these tests is read by a parser that refuses what the format does not allow, and searched for what must never be in it.

mod api;
mod exposition;
mod names;
mod page;
mod providers;
mod ring;
mod rules;
mod storage;
mod timers;

use crate::support::{Http, SOON, Stage};
use exposition::Exposition;

const IPHONE: &str = r#"platform="ios",app="com.example.phone""#;
const PIXEL: &str = r#"platform="android",app="com.example.phone""#;

/// What a gateway tells now.
async fn scrape(stage: &Stage) -> Exposition {
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let answer = ops.request(http::Method::GET, "/metrics").send().await.expect("an answer");
    let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = answer.text().await.expect("a text");
    for secret in ["alice", "bob", "iphone-1"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    Exposition::read(&text).unwrap_or_else(|fault| panic!("{fault} in:\n{text}"))
}

/// What it tells once a series is as it is to be: what follows an answer is counted a moment later.
async fn until(stage: &Stage, series: &str, is_so: impl Fn(f64) -> bool) -> Exposition {
    let wait = async {
        loop {
            let exposition = scrape(stage).await;
            if exposition.value(series).is_some_and(&is_so) {
                return exposition;
            }
            tokio::task::yield_now().await;
        }
    };
    let Ok(exposition) = tokio::time::timeout(SOON, wait).await else {
        panic!("{series} did not come to it: {:#?}", scrape(stage).await.like(series))
    };
    exposition
}

/// As [`until`], to this number or more.
async fn until_at_least(stage: &Stage, series: &str, value: f64) -> Exposition {
    until(stage, series, |found| found >= value).await
}
