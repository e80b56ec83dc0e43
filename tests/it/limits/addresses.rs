//! Requests of an address, before authentication.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::expect_limited;
use crate::support::people::path;
use crate::support::{Http, Reply, Socket, Stage, bearer, service_bearer};

const THREE_A_MINUTE: &str = "[limits]\nip = \"3/min\"";

/// Asks for the user's devices, by a proxy that was asked from this address.
async fn ask(stage: &Stage, forwarded_for: &str) -> Reply {
    let request = stage.http.request(Method::GET, "/v1/devices").bearer_auth(bearer("bob"));
    Http::send(request.header("x-forwarded-for", forwarded_for)).await
}

async fn behind_a_proxy() -> Stage {
    Stage::configured(THREE_A_MINUTE, |config| {
        config.http.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await
}

#[tokio::test]
async fn an_address_is_refused_before_anybody_looks_at_its_token() {
    let stage = Stage::with(THREE_A_MINUTE).await;
    for _ in 0..3 {
        stage.http.get("/v1/devices", "no token of anybody").await.expect_problem(401, "token-malformed");
    }
    let wait = expect_limited(stage.http.get("/v1/devices", &bearer("bob")).await, "ip", "q=3;w=60");
    assert!((1..=20).contains(&wait), "{wait}");
    expect_limited(stage.http.get("/nothing", &bearer("bob")).await, "ip", "q=3;w=60");
    // Whom a header names does not matter where no proxy is trusted.
    expect_limited(ask(&stage, "198.51.100.1").await, "ip", "q=3;w=60");
    // What a balancer checks is not refused for what its clients do.
    for check in ["/livez", "/readyz"] {
        stage.http.get(check, "").await.expect(200);
    }
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    for _ in 0..5 {
        ops.get("/readyz", "").await.expect(200);
    }
    stage.clock.advance(Duration::from_secs(wait));
    stage.http.get("/v1/devices", &bearer("bob")).await.expect(200);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_a_rate() {
    let stage = behind_a_proxy().await;
    for client in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
        for _ in 0..3 {
            ask(&stage, client).await.expect(200);
        }
        expect_limited(ask(&stage, client).await, "ip", "q=3;w=60");
    }
    // A client cannot name others for itself, nor another of its own addresses.
    expect_limited(ask(&stage, "203.0.113.9, 198.51.100.1").await, "ip", "q=3;w=60");
    expect_limited(ask(&stage, "2001:db8::ffff").await, "ip", "q=3;w=60");
    ask(&stage, "2001:db8:0:1::1").await.expect(200);
}

#[tokio::test]
async fn a_phone_with_its_ticket_and_the_backend_are_not_refused_for_others_behind_their_address() {
    let stage = Stage::with("[limits]\nip = \"5/h\"").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let ticket = stage.ticket(&pixel, &call).await;
    while stage.http.get("/v1/devices", &bearer("bob")).await.status != 429 {}
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.get("/v1/bans", service_bearer()).await.expect(200);
    // As a browser's phone bears its ticket.
    let snapshot = Socket::of_browser(&stage.http, &ticket, "").await.next().await;
    assert_eq!(snapshot["calls"][0]["id"], call);
    let strangers = ["bw_sk_nobodys-nobodys-nobodys-nobodys", "no token of anybody", &bearer("bob"), &ticket[1..]];
    for stranger in strangers {
        expect_limited(stage.http.get("/v1/devices", stranger).await, "ip", "q=5;w=3600");
    }
}
