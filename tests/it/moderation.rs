//! Blocks between users, and bans by the backend.

use std::time::Duration;

use bellwire::store::HISTORY_LENGTH;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Http, Stage, bearer, expect_ended, rfc3339, service_bearer};

async fn ban(stage: &Stage, user: &str, body: Value) -> Value {
    stage.http.put(&format!("/v1/bans/{user}"), service_bearer(), body).await.expect(200)
}

async fn lift(stage: &Stage, user: &str) {
    let lifted = stage.http.delete(&format!("/v1/bans/{user}"), service_bearer()).await;
    assert_eq!((lifted.status, lifted.text.as_str()), (204, ""));
}

async fn block(stage: &Stage, user: &str, peer: &str) {
    assert_eq!(stage.http.put(&format!("/v1/blocks/{peer}"), &bearer(user), json!({})).await.status, 204);
}

#[tokio::test]
async fn blocks_are_set_listed_and_lifted() {
    let stage = Stage::new().await;
    let blocks = async || stage.http.get("/v1/blocks", &bearer("bob")).await.expect(200);
    assert_eq!(blocks().await, json!({"blocks": []}));
    for peer in ["carol", "alice", "carol"] {
        block(&stage, "bob", peer).await;
    }
    assert_eq!(blocks().await, json!({"blocks": ["alice", "carol"]}));
    assert_eq!(stage.http.get("/v1/blocks/carol", &bearer("bob")).await.expect(200), json!({"user": "carol"}));
    for _ in 0..2 {
        assert_eq!(stage.http.delete("/v1/blocks/carol", &bearer("bob")).await.status, 204);
    }
    stage.http.get("/v1/blocks/carol", &bearer("bob")).await.expect_problem(404, "block-not-found");
    assert_eq!(blocks().await, json!({"blocks": ["alice"]}));
    assert_eq!(stage.http.get("/v1/blocks", &bearer("alice")).await.expect(200), json!({"blocks": []}));
    for path in ["/v1/blocks/bob", "/v1/blocks/alice"] {
        stage.http.put(path, service_bearer(), json!({})).await.expect_problem(403, "users-only");
    }
    stage.http.put("/v1/blocks/bob", &bearer("bob"), json!({})).await.expect_problem(403, "self-block");
}

#[tokio::test]
async fn a_blocked_caller_notices_nothing_and_neither_does_the_callee() {
    let stage = Stage::new().await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    block(&stage, "bob", "alice").await;
    let (mut bob, _) = stage.events(&bearer("bob"), "").await;
    let answer = stage.invite("alice", "bob").await;
    let hidden = answer["call"]["id"].clone();
    assert_eq!(answer["call"]["state"], "calling");
    assert!(answer["livekit"]["token"].is_string(), "as with any call");
    let asked =
        answer.as_object().map(|all| all["call"].as_object().expect("a call").keys().cloned().collect::<Vec<_>>());

    // Bob's line is free, and he sees nothing.
    let other = stage.invite("carol", "bob").await;
    assert_eq!(other["call"]["state"], "calling");
    let keys = other["call"].as_object().map(|call| call.keys().cloned().collect::<Vec<_>>());
    assert_eq!(asked, keys, "the two look alike");
    for verb in ["alerting", "answer", "decline", "hangup", "cancel", "token"] {
        let body = if ["alerting", "answer", "decline"].contains(&verb) {
            json!({"device_id": "iphone-1"})
        } else {
            json!({})
        };
        stage.http.post(&path(&hidden, verb), &bearer("bob"), body).await.expect_problem(404, "call-not-found");
    }
    stage.http.get(&path(&hidden, ""), &bearer("bob")).await.expect_problem(404, "call-not-found");

    stage.clock.advance(Duration::from_secs(44));
    assert_eq!(stage.seen_by("alice", &hidden).await["state"], "calling");
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.ended("alice", &hidden).await, "timed_out");
    let kinds = ["call.invited", "call.ended"];
    let (mut alice, _) = stage.events(&bearer("alice"), &format!("?since={}:0", hidden.as_str().expect("an id"))).await;
    for kind in kinds {
        assert_eq!(alice.next().await["type"], kind);
    }

    // By the time that the other call's missed pushes are out, nothing of the hidden one has come.
    stage.push("missed", &iphone.notice_token, &other["call"]["id"]).await;
    stage.push("missed", &pixel.notice_token, &other["call"]["id"]).await;
    for kind in ["ring", "cancel", "missed"] {
        assert_eq!(stage.pushed(kind, &hidden), 0);
    }
    loop {
        let event = bob.next().await;
        assert_ne!(event["call_id"], hidden);
        if event["type"] == "call.ended" {
            break;
        }
    }
    let (_, snapshot) = stage.events(&bearer("bob"), "").await;
    let history = stage.http.get("/v1/calls", &bearer("bob")).await.expect(200);
    for calls in [&snapshot["calls"], &history["calls"]] {
        assert!(!calls.to_string().contains(hidden.as_str().expect("an id")), "{calls}");
    }
}

#[tokio::test]
async fn a_blocked_caller_of_nobody_reachable_hears_what_everybody_hears() {
    let stage = Stage::new().await;
    block(&stage, "bob", "alice").await;
    expect_ended(&stage.invite("alice", "bob").await, "unreachable");
    assert_eq!(stage.http.get("/v1/calls", &bearer("bob")).await.expect(200)["calls"], json!([]));
}

#[tokio::test]
async fn a_blocked_caller_does_not_learn_that_the_callee_is_busy() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    block(&stage, "bob", "alice").await;
    stage.invite("carol", "bob").await;
    assert_eq!(stage.invite("alice", "bob").await["call"]["state"], "calling");
}

#[tokio::test]
async fn who_blocked_may_call_and_who_is_unblocked_rings_again() {
    let stage = Stage::new().await;
    let (pixel, _) = (stage.pixel("bob", "pixel-1").await, stage.pixel("alice", "pixel-2").await);
    block(&stage, "bob", "alice").await;
    let by_bob = stage.invite("bob", "alice").await;
    assert_eq!(by_bob["call"]["state"], "calling");
    stage.http.post(&path(&by_bob["call"]["id"], "cancel"), &bearer("bob"), json!({})).await.expect(200);
    stage.http.delete("/v1/blocks/alice", &bearer("bob")).await;
    let by_alice = stage.invite("alice", "bob").await;
    stage.push("ring", &pixel.ring_token, &by_alice["call"]["id"]).await;
}

#[tokio::test]
async fn bans_are_for_the_backend() {
    let stage = Stage::new().await;
    let until = (stage.clock.now() + Duration::from_hours(1)).rfc3339();
    let made = ban(&stage, "alice", json!({"reason": "spam", "until": until})).await;
    assert_eq!((&made["user"], &made["reason"], &made["until"]), (&json!("alice"), &json!("spam"), &json!(until)));
    rfc3339(&made["created_at"]);
    assert_eq!(stage.http.get("/v1/bans/alice", service_bearer()).await.expect(200), made);
    let bob = ban(&stage, "bob", json!({})).await;
    assert_eq!((bob.get("reason"), bob.get("until")), (None, None));
    assert_eq!(stage.http.get("/v1/bans", service_bearer()).await.expect(200), json!({"bans": [made, bob]}));
    lift(&stage, "bob").await;
    stage.http.get("/v1/bans/bob", service_bearer()).await.expect_problem(404, "ban-not-found");
    stage.http.delete("/v1/bans/bob", service_bearer()).await.expect_problem(404, "ban-not-found");

    let carol = bearer("carol");
    stage.http.put("/v1/bans/dave", &carol, json!({})).await.expect_problem(403, "services-only");
    stage.http.get("/v1/bans", &carol).await.expect_problem(403, "services-only");
    stage.http.get("/v1/bans/alice", &carol).await.expect_problem(403, "services-only");
    stage.http.delete("/v1/bans/alice", &carol).await.expect_problem(403, "services-only");
    let past = (stage.clock.now() - Duration::from_secs(1)).rfc3339();
    for (field, value) in [
        ("until", json!("tomorrow")),
        ("until", json!(7)),
        ("until", json!(past)),
        ("reason", json!("")),
        ("why", json!("spam")),
    ] {
        let refused = stage.http.put("/v1/bans/dave", service_bearer(), json!({field: value})).await;
        let problem = refused.expect_problem(400, "invalid-field");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{field}"), "{value}");
    }
}

#[tokio::test]
async fn a_banned_user_starts_answers_and_joins_nothing() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    stage.iphone("alice", "alice-phone").await;
    ban(&stage, "bob", json!({"reason": "spam"})).await;
    let invite = json!({"callee": "alice", "media": "audio"});
    stage.http.post("/v1/calls", &bearer("bob"), invite.clone()).await.expect_problem(403, "banned");
    let by_service = json!({"callee": "alice", "media": "audio", "caller": {"id": "bob"}});
    stage.http.post("/v1/calls", service_bearer(), by_service).await.expect_problem(403, "banned");
    let device = json!({"platform": "web", "app": crate::support::APP});
    stage.http.put("/v1/devices/web", &bearer("bob"), device).await.expect_problem(403, "banned");
    expect_ended(&stage.invite("alice", "bob").await, "unreachable");
    assert_eq!(stage.pushes().all().iter().filter(|push| push.target.is_some()).count(), 0);

    lift(&stage, "bob").await;
    stage.http.post("/v1/calls", &bearer("bob"), invite).await.expect(201);
}

#[tokio::test]
async fn a_ban_ends_live_calls_on_both_sides() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for (banned, answered) in [("alice", false), ("bob", false), ("alice", true), ("bob", true)] {
        let call = stage.invite("alice", "bob").await["call"]["id"].clone();
        let ticket = stage.ring(&iphone, &call).await;
        if answered {
            stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        }
        let other = if banned == "alice" { "bob" } else { "alice" };
        let (mut events, _) = stage.events(&bearer(other), "").await;
        ban(&stage, banned, json!({})).await;
        assert_eq!(events.until("call.ended", &call).await["data"]["reason"], "banned");
        assert_eq!(stage.seen_by(other, &call).await["end_reason"], "banned");
        if !answered {
            stage.push("cancel", &iphone.notice_token, &call).await;
        }
        let code = if banned == "bob" { (403, "banned") } else { (409, "call-ended") };
        for verb in ["answer", "token"] {
            stage.http.post(&path(&call, verb), &ticket, json!({})).await.expect_problem(code.0, code.1);
        }
        assert_eq!(stage.pushed("missed", &call), 0);
        lift(&stage, banned).await;
    }
}

#[tokio::test]
async fn a_ban_ends_a_live_call_after_a_hundred_that_found_the_user_busy() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let live = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.answer(&iphone, &live).await;
    for number in 0..=HISTORY_LENGTH {
        expect_ended(&stage.invite(&format!("caller-{number}"), "bob").await, "busy");
    }
    let (_, snapshot) = stage.events(&bearer("bob"), "").await;
    let active = |call: &Value| call["id"] == live && call["state"] == "active";
    assert!(snapshot["calls"].as_array().expect("calls").iter().any(active), "{snapshot}");
    ban(&stage, "bob", json!({})).await;
    assert_eq!(stage.seen_by("alice", &live).await["end_reason"], "banned");
}

#[tokio::test]
async fn a_ban_that_comes_with_an_invite_leaves_no_live_call() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    for round in 0..20 {
        let banned = if round % 2 == 0 { "alice" } else { "bob" };
        let body = json!({"callee": "bob", "media": "audio"});
        let alice = bearer("alice");
        let (reply, _) = tokio::join!(stage.http.post("/v1/calls", &alice, body), ban(&stage, banned, json!({})));
        if reply.status == 201 {
            let call = reply.json["call"]["id"].clone();
            let seen = stage.call(&call).await;
            assert_eq!(seen["state"], "ended", "round {round}: {seen}");
        } else {
            reply.expect_problem(403, "banned");
        }
        lift(&stage, banned).await;
    }
}

#[tokio::test]
async fn a_ban_ends_by_itself() {
    let stage = Stage::new().await;
    let until = (stage.clock.now() + Duration::from_hours(1)).rfc3339();
    ban(&stage, "alice", json!({"until": until})).await;
    let invite = json!({"callee": "bob", "media": "audio"});
    stage.clock.advance(Duration::from_secs(3590));
    stage.http.post("/v1/calls", &bearer("alice"), invite.clone()).await.expect_problem(403, "banned");
    stage.clock.advance(Duration::from_secs(10));
    stage.http.post("/v1/calls", &bearer("alice"), invite).await.expect(201);
    assert_eq!(stage.http.get("/v1/bans", service_bearer()).await.expect(200), json!({"bans": []}));
    stage.http.get("/v1/bans/alice", service_bearer()).await.expect_problem(404, "ban-not-found");
    let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
    let response = request.header("accept", "text/event-stream").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn moderation_wants_a_bearer() {
    let stage = Stage::new().await;
    for path in ["/v1/blocks", "/v1/bans", "/v1/bans/alice"] {
        let reply = Http::send(stage.http.request(reqwest::Method::GET, path)).await;
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
        reply.expect_problem(401, "token-missing");
        stage.http.get(path, "bw_sk_no-such-key").await.expect_problem(401, "service-key-unknown");
    }
}
