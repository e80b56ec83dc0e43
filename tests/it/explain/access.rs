//! Who may ask, and what never stands in the answer.

use serde_json::json;

use crate::support::people::path;
use crate::support::{Stage, bearer, service_bearer};

#[tokio::test]
async fn only_the_backend_may_ask() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let call = stage.call_to("bob").await;
    let ticket = stage.ticket(&phone, &call).await;
    let explain = path(&call, "explain");
    for who in [bearer("alice"), bearer("bob"), bearer("carol"), ticket] {
        stage.http.get(&explain, &who).await.expect_problem(403, "services-only");
    }
    stage.http.get(&explain, "bw_sk_wrong").await.expect_problem(401, "service-key-unknown");
    let unknown = path(&json!("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a"), "explain");
    stage.http.get(&unknown, service_bearer()).await.expect_problem(404, "call-not-found");
    stage.http.get("/v1/calls/xyz/explain", service_bearer()).await.expect_problem(400, "invalid-path");
    let query = stage.http.get(&format!("{explain}?verbose=1"), service_bearer()).await;
    query.expect_problem(400, "invalid-query");
}

#[tokio::test]
async fn no_token_and_no_ticket_stands_in_it() {
    let stage = Stage::new().await;
    let phones = [stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await];
    let call = stage.call_to("bob").await;
    let mut secrets = Vec::new();
    for phone in &phones {
        secrets.extend([stage.ring(phone, &call).await, phone.ring_token.clone(), phone.notice_token.clone()]);
    }
    stage.give_up(&call).await;
    stage.push("missed", &phones[0].notice_token, &call).await;
    let document = stage.explained(&call, "iphone-1", "rang_cancelled").await.to_string()
        + &stage.explain(&call).await.to_string();
    for secret in secrets {
        assert!(!document.contains(&secret), "{secret} in {document}");
        // Nor the part of a ticket that is signed.
        assert!(!secret.contains('.') || !document.contains(secret.rsplit('.').next().expect("a signature")));
    }
    assert!(!document.contains("eyJ"), "a JWT in {document}");
}
