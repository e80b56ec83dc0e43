//! The question whether a call may be: what it says, when it is asked, and what the answer means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{SECRET, allowed, refused, section, stage};
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Http, Reply, Stage, bearer, service_bearer};

async fn invite_with_key(stage: &Stage, key: &str, body: &Value) -> Reply {
    let request = stage.http.request(Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
    let request = request.header("idempotency-key", key).header("content-type", "application/json");
    Http::send(request.body(body.to_string())).await
}

fn to_bob() -> Value {
    json!({"callee": "bob", "media": "audio"})
}

#[tokio::test]
async fn a_question_is_signed_and_says_who_wants_to_call_whom() {
    let receiver = Receiver::answering(|_, _| allowed()).await;
    let stage = stage(&receiver, "").await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let body = json!({"callee": "bob", "media": "video", "metadata": {"thread": "42"}});
    let call = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201)["call"]["id"].clone();
    stage.push("ring", &pixel.ring_token, &call).await;

    let asked = &receiver.all()[0];
    assert!(asked.is_signed_by(SECRET));
    assert_eq!(asked.kind(), "call.policy");
    assert_eq!(asked.header("content-type"), "application/json");
    let told = json!({"caller": {"id": "alice", "name": "Alice"}, "callee": "bob", "media": "video", "metadata": {"thread": "42"},
        "test": false, "asked_by": "user"});
    assert_eq!(asked.json["data"], told);

    let body = json!({"callee": "bob", "media": "audio", "caller": {"id": "shop"}, "test": true});
    stage.http.post("/v1/calls", service_bearer(), body).await.expect(201);
    let told =
        json!({"caller": {"id": "shop"}, "callee": "bob", "media": "audio", "test": true, "asked_by": "service"});
    assert_eq!(receiver.all()[1].json["data"], told);
    assert_ne!(receiver.all()[1].id(), asked.id());
}

#[tokio::test]
async fn a_refused_call_rings_nobody_says_why_and_leaves_nothing() {
    let allow = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&allow);
    let receiver = Receiver::answering(move |_, _| {
        if asked.load(Ordering::SeqCst) { allowed() } else { refused("not at this hour\u{202e}\n") }
    });
    let receiver = receiver.await;
    let stage = stage(&receiver, "").await;
    stage.pixel("bob", "pixel-1").await;
    let reply = stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(403, "not-allowed");
    assert_eq!(reply["detail"], "not at this hour");
    assert!(super::nothing_rang(&stage), "nothing rang");
    for user in ["alice", "bob"] {
        assert_eq!(stage.http.get("/v1/calls", &bearer(user)).await.expect(200)["calls"], json!([]), "{user}");
    }
    allow.store(true, Ordering::SeqCst);
    assert_eq!(stage.invite("alice", "bob").await["call"]["state"], "calling", "nobody is busy");
}

#[tokio::test]
async fn a_call_is_asked_about_once_however_often_its_invite_is_sent() {
    let receiver = Receiver::answering(|number, _| if number == 0 { refused("no") } else { allowed() }).await;
    let stage = stage(&receiver, "").await;
    stage.pixel("bob", "pixel-1").await;
    invite_with_key(&stage, "k1", &to_bob()).await.expect_problem(403, "not-allowed");
    let call = invite_with_key(&stage, "k1", &to_bob()).await.expect(201)["call"]["id"].clone();
    assert_eq!(receiver.all().len(), 2, "a refused one is asked about again");
    for _ in 0..3 {
        assert_eq!(invite_with_key(&stage, "k1", &to_bob()).await.expect(201)["call"]["id"], call);
    }
    invite_with_key(&stage, "k1", &json!({"callee": "bob", "media": "video"}))
        .await
        .expect_problem(422, "idempotency-key-reused");
    assert_eq!(receiver.all().len(), 2);
}

#[tokio::test]
async fn whoever_is_banned_or_asks_too_often_is_not_asked_about() {
    let receiver = Receiver::answering(|_, _| refused("no")).await;
    let config = section(&receiver.url, "[limits]\ninvites_per_user = \"2/h\"");
    let stage = Stage::with(&config).await;
    for _ in 0..2 {
        stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(403, "not-allowed");
    }
    stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(429, "rate-limited");
    stage.http.put("/v1/bans/carol", service_bearer(), json!({})).await.expect(200);
    stage.http.post("/v1/calls", &bearer("carol"), to_bob()).await.expect_problem(403, "banned");
    assert_eq!(receiver.all().len(), 2);
}

/// While alice's call is asked about, she can be called: nothing of her line is taken yet.
#[tokio::test]
async fn nobody_waits_for_a_call_that_is_asked_about() {
    let about_alice = |asked: &Value| asked["data"]["caller"]["id"] == "alice";
    let receiver = Receiver::answering(move |_, told| if about_alice(&told.json) { Answer::Never } else { allowed() });
    let receiver = receiver.await;
    let stage = stage(&receiver, "timeout = \"5s\"").await;
    let pixel = stage.pixel("alice", "pixel-1").await;
    stage.pixel("bob", "pixel-2").await;
    let (http, body) = (stage.http.clone(), to_bob());
    let held = tokio::spawn(async move { http.post("/v1/calls", &bearer("alice"), body).await });
    receiver.wait_for(1, |told| about_alice(&told.json)).await;
    let call = stage.invite("carol", "alice").await["call"]["id"].clone();
    stage.push("ring", &pixel.ring_token, &call).await;
    stage.invite("dave", "bob").await;
    assert!(!held.is_finished(), "which is still asked about");
    held.await.expect("no panic").expect_problem(503, "policy-unavailable");
}

#[tokio::test]
async fn an_outage_is_told_by_readiness_and_counted() {
    let receiver = Receiver::answering(|number, _| if number == 0 { Answer::Never } else { allowed() }).await;
    let stage = stage(&receiver, "").await;
    let part = async || {
        let ready = stage.http.get("/readyz", "").await.expect(200);
        let parts = ready["parts"].as_array().expect("parts").clone();
        parts.into_iter().find(|part| part["name"] == "policy").expect("the policy")
    };
    assert_eq!(part().await["ok"], true);
    stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(503, "policy-unavailable");
    let trouble = part().await;
    assert_eq!(trouble["ok"], false);
    assert!(trouble["detail"].as_str().expect("text").ends_with("timeout; no call can be made"), "{trouble}");
    stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect(201);
    assert_eq!(part().await["ok"], true);
    let metrics = super::metrics(&stage).await;
    for outcome in ["timeout", "allowed"] {
        let line = format!("bellwire_policy_seconds_count{{outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "{line}");
    }
}

/// An answer that is late is none: the call that it was about is over by then.
#[tokio::test]
async fn a_late_answer_allows_nothing() {
    let receiver =
        Receiver::answering(|_, _| Answer::Later(Duration::from_millis(600), json!({"allow": true}).to_string()));
    let receiver = receiver.await;
    let stage = stage(&receiver, "timeout = \"200ms\"").await;
    stage.pixel("bob", "pixel-1").await;
    stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(503, "policy-unavailable");
    assert!(super::nothing_rang(&stage));
}
