//! The gateway's other requests that wait for an answer: an issuer's keys. What webhooks meet is in `webhooks`.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::raw::{Act, Raw, answer};
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Reply, SOON, Stage};

/// A stage whose second issuer has its keys at a URL.
async fn stage(url: &str) -> Stage {
    Stage::with(&format!("[[auth.users]]\nissuer = \"fetched\"\nalgorithm = \"ES256\"\njwks_url = \"{url}\"")).await
}

/// A request with a token that looks like one of that issuer.
async fn ask(stage: &Stage) -> Reply {
    let part = |json: serde_json::Value| data_encoding::BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    let head = part(json!({"alg": "ES256", "typ": "JWT", "kid": "one"}));
    let claims = part(json!({"iss": "fetched", "sub": "ann", "exp": 4_000_000_000_u64}));
    let token = format!("{head}.{claims}.{}", "A".repeat(86));
    timeout(SOON, stage.http.get("/v1/devices", &token)).await.expect("nobody waits")
}

#[tokio::test]
async fn keys_that_never_end_or_come_drop_by_drop_hold_nobody_up() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    for act in [
        Act::Flood(head.into(), format!("1000\r\n{}\r\n", " ".repeat(4096))),
        Act::Drip(long.into(), Duration::from_millis(50)),
        Act::Drip("HTTP/1.1 200 OK\r\nx:".into(), Duration::from_millis(50)),
        Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".into()),
        Act::Nothing,
        Act::Reset,
        Act::Say(answer("200 OK", "", "not JSON")),
    ] {
        let raw = Raw::start(act).await;
        ask(&stage(&raw.url).await).await.expect_problem(503, "keys-unavailable");
    }
}

#[tokio::test]
async fn keys_are_not_fetched_from_elsewhere() {
    let elsewhere = Raw::start(Act::Say(answer("200 OK", "", r#"{"keys": []}"#))).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let raw = Raw::start(Act::Say(answer(status, &format!("location: {}\r\n", elsewhere.url), ""))).await;
        ask(&stage(&raw.url).await).await.expect_problem(503, "keys-unavailable");
        assert!(raw.asked() > 0);
    }
    assert_eq!(elsewhere.asked(), 0);
}

/// An endpoint that drips its answer is not listened to: its status has come.
#[tokio::test]
async fn a_webhook_is_taken_by_its_status_however_slow_the_rest_is() {
    let raw = Raw::start(Act::Drip("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n".into(), Duration::from_millis(50)));
    let raw = raw.await;
    let other = Receiver::answering(|_, _| Answer::Status(204)).await;
    let endpoint = |url: &str| format!("[[webhooks]]\nurl = \"{url}\"\nsecrets = [\"{}\"]\n", super::SECRET);
    let stage = Stage::with(&[endpoint(&raw.url), endpoint(&other.url)].concat()).await;
    stage.invite("alice", "bob").await;
    other.wait_for(1, |told| told.kind() == "call.ended").await;
    let metrics = async || super::metrics(&stage).await;
    let taken = ["0", "1"].map(|endpoint| {
        format!("bellwire_webhooks_total{{endpoint=\"{endpoint}\",event=\"call.ended\",outcome=\"taken\"}} 1")
    });
    let wait = async {
        loop {
            let metrics = metrics().await;
            if taken.iter().all(|taken| metrics.contains(taken)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, wait).await.expect("both are taken");
}
