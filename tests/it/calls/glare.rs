//! Glare: two users call each other at the same moment, and are connected.

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Stage, bearer, claims};

async fn call(stage: &Stage, caller: &str, callee: &str) -> Value {
    let body = json!({"callee": callee, "media": "audio", "device_id": format!("{caller}-phone")});
    stage.http.post("/v1/calls", &bearer(caller), body).await.expect(201)
}

async fn live_calls(stage: &Stage, user: &str) -> Vec<Value> {
    let history = stage.http.get("/v1/calls?limit=100", &bearer(user)).await.expect(200);
    let calls = history["calls"].as_array().expect("calls").iter();
    calls.filter(|call| call["state"] != "ended").cloned().collect()
}

/// Whichever of the two invites came first: one active call, and both sides have a token for its room.
async fn expect_connected(stage: &Stage, by_alice: &Value, by_bob: &Value) {
    assert_eq!(by_alice["call"]["id"], by_bob["call"]["id"]);
    let live = live_calls(stage, "alice").await;
    assert_eq!(live, live_calls(stage, "bob").await);
    let [one] = &live[..] else { panic!("{live:?}") };
    assert_eq!((&one["id"], &one["state"]), (&by_alice["call"]["id"], &json!("active")));
    for (answer, user) in [(by_alice, "alice"), (by_bob, "bob")] {
        let claims = claims(&answer["livekit"]["token"]);
        assert_eq!((&claims["sub"], &claims["video"]["room"]), (&json!(user), &by_alice["livekit"]["room"]));
    }
    assert_eq!(by_alice["livekit"]["room"], by_bob["livekit"]["room"]);
}

async fn both_with_phones() -> Stage {
    let stage = Stage::new().await;
    stage.pixel("alice", "alice-phone").await;
    stage.pixel("bob", "bob-phone").await;
    stage
}

#[tokio::test]
async fn calling_back_whoever_calls_connects_both() {
    let stage = both_with_phones().await;
    let by_alice = call(&stage, "alice", "bob").await;
    let by_bob = call(&stage, "bob", "alice").await;
    expect_connected(&stage, &by_alice, &by_bob).await;
    assert_eq!(by_bob["call"]["answered_by"], "bob-phone");
    let id = &by_alice["call"]["id"];
    let answered = stage.event("alice", "call.answered", id).await;
    assert_eq!(answered["data"]["device_id"], "bob-phone");
    assert_eq!(
        stage.pushes().all().iter().filter(|push| push.target.as_deref() == Some("fcm-alice-alice-phone")).count(),
        0
    );
    // The device that called back is the one that answered, with all that comes with it.
    let body = json!({"device_id": "bob-phone"});
    stage.http.post(&path(id, "token"), &bearer("bob"), body).await.expect(200);
    let body = json!({"device_id": "bob-tablet"});
    stage.http.post(&path(id, "token"), &bearer("bob"), body).await.expect_problem(409, "answered-elsewhere");
}

#[tokio::test]
async fn two_who_call_each_other_at_once_are_connected() {
    let stage = both_with_phones().await;
    for round in 0..50 {
        let (by_alice, by_bob) = if round % 2 == 0 {
            tokio::join!(call(&stage, "alice", "bob"), call(&stage, "bob", "alice"))
        } else {
            let (by_bob, by_alice) = tokio::join!(call(&stage, "bob", "alice"), call(&stage, "alice", "bob"));
            (by_alice, by_bob)
        };
        expect_connected(&stage, &by_alice, &by_bob).await;
        let who = if round % 3 == 0 { "alice" } else { "bob" };
        stage.http.post(&path(&by_alice["call"]["id"], "hangup"), &bearer(who), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_retried_invite_means_the_call_that_it_answered() {
    let stage = both_with_phones().await;
    let by_alice = call(&stage, "alice", "bob").await;
    let keyed = async |body: Value| {
        let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("bob"));
        let request = request.header("idempotency-key", "k").header("content-type", "application/json");
        crate::support::Http::send(request.body(body.to_string())).await
    };
    let body = json!({"callee": "alice", "media": "audio", "device_id": "bob-phone"});
    let by_bob = keyed(body.clone()).await.expect(201);
    expect_connected(&stage, &by_alice, &by_bob).await;
    let again = keyed(body).await.expect(201);
    expect_connected(&stage, &by_alice, &again).await;
    keyed(json!({"callee": "alice", "media": "video"})).await.expect_problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn an_invite_that_is_sent_twice_at_once_means_the_call_that_it_answered() {
    let stage = both_with_phones().await;
    for round in 0..50 {
        let key = format!("k{round}");
        let keyed = async || {
            let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("bob"));
            let request = request.header("idempotency-key", &key).header("content-type", "application/json");
            let body = json!({"callee": "alice", "media": "audio", "device_id": "bob-phone"});
            crate::support::Http::send(request.body(body.to_string())).await.expect(201)
        };
        let (by_alice, by_bob, again) = tokio::join!(call(&stage, "alice", "bob"), keyed(), keyed());
        assert_eq!(by_bob["call"]["id"], again["call"]["id"]);
        expect_connected(&stage, &by_alice, &by_bob).await;
        stage.http.post(&path(&by_alice["call"]["id"], "hangup"), &bearer("bob"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn a_third_caller_in_the_middle_of_it_finds_a_line_that_is_taken() {
    let stage = both_with_phones().await;
    stage.pixel("carol", "carol-phone").await;
    for _ in 0..10 {
        let (by_alice, by_bob, by_carol) =
            tokio::join!(call(&stage, "alice", "bob"), call(&stage, "bob", "alice"), call(&stage, "carol", "bob"));
        // Carol was first, or found Bob calling; whichever it was, the two others hear of their own call.
        let talking = live_calls(&stage, "bob").await;
        assert!(talking.len() <= 2, "{talking:?}");
        for answer in [by_alice, by_bob, by_carol] {
            stage
                .http
                .post(&path(&answer["call"]["id"], "hangup"), crate::support::service_bearer(), json!({}))
                .await
                .expect(200);
        }
    }
}
