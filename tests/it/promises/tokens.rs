//! Promise 8: no LiveKit token for who may not join.

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Stage, bearer, service_bearer};

/// Who asks, and how.
struct Asker {
    name: &'static str,
    token: String,
    device: Option<&'static str>,
}

/// Asks for a token in both ways, and says who got one.
async fn given(stage: &Stage, call: &Value, askers: &[Asker], verbs: &[&str]) -> Vec<&'static str> {
    let mut given = Vec::new();
    for asker in askers {
        for verb in verbs {
            let body = asker.device.map_or(json!({}), |device| json!({"device_id": device}));
            let reply = stage.http.post(&path(call, verb), &asker.token, body).await;
            let token = reply.json["livekit"]["token"].is_string();
            assert_eq!(token, reply.status == 200, "{}: {}", asker.name, reply.text);
            assert!(token || !reply.text.contains("eyJ"), "{}: {}", asker.name, reply.text);
            if token && !given.contains(&asker.name) {
                given.push(asker.name);
            }
        }
    }
    given
}

#[tokio::test]
async fn promise_8_a_token_for_the_caller_and_for_the_device_that_answered_and_for_nobody_else() {
    let stage = Stage::new().await;
    let winner = stage.iphone("bob", "winner").await;
    let loser = stage.pixel("bob", "loser").await;
    stage.pixel("mallory", "phone").await;
    // A ticket of another call of the same user.
    let other = stage.invite("carol", "bob").await["call"]["id"].take();
    let other_ticket = stage.ticket(&winner, &other).await;
    stage.http.post(&path(&other, "cancel"), &bearer("carol"), json!({})).await.expect(200);

    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let winners = stage.ticket(&winner, &call).await;
    let losers = stage.ticket(&loser, &call).await;
    let asker = |name, token: &str, device| Asker { name, token: token.to_owned(), device };
    let askers = [
        asker("caller", &bearer("alice"), None),
        asker("winner's ticket", &winners, None),
        asker("winner's session", &bearer("bob"), Some("winner")),
        asker("loser's ticket", &losers, None),
        asker("loser's session", &bearer("bob"), Some("loser")),
        asker("unknown device", &bearer("bob"), Some("nothing")),
        asker("callee without a device", &bearer("bob"), None),
        asker("winner's ticket under another name", &winners, Some("loser")),
        asker("loser's ticket under another name", &losers, Some("winner")),
        asker("ticket of another call", &other_ticket, None),
        asker("third party", &bearer("mallory"), None),
        asker("third party with a device", &bearer("mallory"), Some("phone")),
        asker("third party under the winner's device", &bearer("mallory"), Some("winner")),
        asker("backend", service_bearer(), None),
        asker("nobody", "not-a-token", None),
    ];
    assert_eq!(given(&stage, &call, &askers, &["token"]).await, ["caller"], "calling");
    stage.ring(&winner, &call).await;
    assert_eq!(given(&stage, &call, &askers, &["token"]).await, ["caller"], "ringing");
    stage.http.post(&path(&call, "answer"), &winners, json!({})).await.expect(200);
    let holders = given(&stage, &call, &askers, &["token", "answer"]).await;
    assert_eq!(holders, ["caller", "winner's ticket", "winner's session"], "active");
    stage.http.post(&path(&call, "hangup"), &winners, json!({})).await.expect(200);
    assert!(given(&stage, &call, &askers, &["token", "answer"]).await.is_empty(), "ended");
}

#[tokio::test]
async fn promise_8_no_token_for_a_banned_user() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    let key = |http: &crate::support::Http| {
        let request = http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
        let body = json!({"callee": "bob", "media": "audio"}).to_string();
        request.header("idempotency-key", "k").header("content-type", "application/json").body(body)
    };
    for (banned, state) in [("alice", "calling"), ("alice", "active"), ("bob", "calling"), ("bob", "active")] {
        let call = stage.invite("alice", "bob").await["call"]["id"].take();
        let ticket = stage.ticket(&phone, &call).await;
        if state == "active" {
            stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        }
        stage.http.put(&format!("/v1/bans/{banned}"), service_bearer(), json!({"reason": "spam"})).await.expect(200);
        assert_eq!(stage.call(&call).await["end_reason"], "banned");
        let askers = [
            Asker { name: "caller", token: bearer("alice"), device: None },
            Asker { name: "ticket", token: ticket, device: None },
            Asker { name: "session", token: bearer("bob"), device: Some("iphone-1") },
        ];
        assert!(given(&stage, &call, &askers, &["token", "answer"]).await.is_empty(), "{banned} {state}");
        if banned == "alice" {
            stage
                .http
                .post("/v1/calls", &bearer("alice"), json!({"callee": "bob", "media": "audio"}))
                .await
                .expect_problem(403, "banned");
            crate::support::Http::send(key(&stage.http)).await.expect_problem(403, "banned");
        } else {
            let call = stage.invite("alice", "bob").await;
            assert_eq!(call["call"]["end_reason"], "unreachable", "nothing tells that they are banned");
            assert!(call["livekit"].is_null());
        }
        stage.http.delete(&format!("/v1/bans/{banned}"), service_bearer()).await;
    }
}

#[tokio::test]
async fn promise_8_who_has_blocked_the_caller_gets_neither_ring_nor_token() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.http.put("/v1/blocks/alice", &bearer("bob"), json!({})).await;
    let (_, _) = stage.events(&bearer("bob"), "").await;
    let invite = stage.invite("alice", "bob").await;
    let call = &invite["call"]["id"];
    assert_eq!(invite["call"]["state"], "calling", "nothing tells the caller");
    let askers = [
        Asker { name: "callee", token: bearer("bob"), device: None },
        Asker { name: "callee's device", token: bearer("bob"), device: Some("iphone-1") },
    ];
    assert!(given(&stage, call, &askers, &["token", "answer"]).await.is_empty());
    stage.http.get(&path(call, ""), &bearer("bob")).await.expect_problem(404, "call-not-found");
    stage.clock.advance(std::time::Duration::from_secs(45));
    assert_eq!(stage.event("alice", "call.ended", call).await["data"]["reason"], "timed_out");

    // Somebody else's call goes through, and is the only thing that bob hears of.
    let other = stage.invite("carol", "bob").await["call"]["id"].take();
    stage.push("ring", &phone.ring_token, &other).await;
    assert!(stage.pushes().all().iter().all(|push| !push.body.to_string().contains(call.as_str().unwrap())));
    let history = stage.http.get("/v1/calls", &bearer("bob")).await.expect(200);
    assert_eq!(history["calls"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn promise_8_an_invite_of_an_ended_call_again_has_no_token() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    let invite = async || {
        let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
        let body = json!({"callee": "bob", "media": "audio"}).to_string();
        let request = request.header("idempotency-key", "k").header("content-type", "application/json");
        crate::support::Http::send(request.body(body)).await.expect(201)
    };
    let first = invite().await;
    assert!(first["livekit"]["token"].is_string());
    let again = invite().await;
    assert_eq!(again["call"], first["call"]);
    assert_eq!(again["livekit"]["room"], first["livekit"]["room"]);
    stage.http.post(&path(&first["call"]["id"], "cancel"), &bearer("alice"), json!({})).await.expect(200);
    let late = invite().await;
    assert_eq!(late["call"]["id"], first["call"]["id"]);
    assert!(late["livekit"].is_null(), "{late}");
}
