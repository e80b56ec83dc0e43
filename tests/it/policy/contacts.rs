//! Contacts: whose calls ring a user where nobody else's do.

use bellwire::engine::MOST_CONTACTS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Http, Stage, bearer, service_bearer};

const CONTACTS_ONLY: &str = "[policy]\nallow = \"contacts\"";

fn to_bob() -> Value {
    json!({"callee": "bob", "media": "audio"})
}

async fn list(stage: &Stage, user: &str) -> Value {
    stage.http.get(&format!("/v1/users/{user}/contacts"), service_bearer()).await.expect(200)["contacts"].clone()
}

async fn put(stage: &Stage, user: &str, contacts: &[&str]) {
    let body = json!({"contacts": contacts});
    let reply = stage.http.put(&format!("/v1/users/{user}/contacts"), service_bearer(), body).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
}

#[tokio::test]
async fn contacts_are_listed_by_the_backend_alone() {
    let stage = Stage::new().await;
    assert_eq!(list(&stage, "bob").await, json!([]));
    put(&stage, "bob", &["zoe", "alice", "alice"]).await;
    assert_eq!(list(&stage, "bob").await, json!(["alice", "zoe"]));
    put(&stage, "bob", &["carol"]).await;
    assert_eq!(list(&stage, "bob").await, json!(["carol"]), "in place of the others");

    let one = "/v1/users/bob/contacts/dave";
    stage.http.get(one, service_bearer()).await.expect_problem(404, "contact-not-found");
    for _ in 0..2 {
        assert_eq!(stage.http.put(one, service_bearer(), json!({})).await.status, 204);
    }
    assert_eq!(stage.http.get(one, service_bearer()).await.expect(200), json!({"user": "dave"}));
    assert_eq!(list(&stage, "bob").await, json!(["carol", "dave"]));
    for _ in 0..2 {
        assert_eq!(stage.http.delete(one, service_bearer()).await.status, 204);
    }
    assert_eq!(list(&stage, "bob").await, json!(["carol"]));

    for (method, path) in [
        (Method::GET, "/v1/users/bob/contacts"),
        (Method::PUT, "/v1/users/bob/contacts"),
        (Method::GET, one),
        (Method::PUT, one),
        (Method::DELETE, one),
    ] {
        let body = if path == one { json!({}) } else { json!({"contacts": []}) };
        let request =
            stage.http.request(method, path).header("content-type", "application/json").body(body.to_string());
        Http::send(request.try_clone().expect("a copy")).await.expect_problem(401, "token-missing");
        Http::send(request.bearer_auth(bearer("bob"))).await.expect_problem(403, "services-only");
    }
    assert_eq!(list(&stage, "bob").await, json!(["carol"]));
}

#[tokio::test]
async fn a_user_has_so_many_contacts_at_most() {
    let stage = Stage::with("[limits]\nbody_bytes = 200000").await;
    let mut contacts: Vec<String> = (0..=MOST_CONTACTS).map(|number| format!("contact-{number:05}")).collect();
    let path = "/v1/users/bob/contacts";
    let refused = stage.http.put(path, service_bearer(), json!({"contacts": contacts})).await;
    assert_eq!(refused.expect_problem(400, "invalid-field")["errors"][0]["pointer"], "/contacts");
    let last = contacts.pop().expect("one");
    put(&stage, "bob", &contacts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(list(&stage, "bob").await, json!(contacts));
    let one = format!("{path}/{last}");
    stage.http.put(&one, service_bearer(), json!({})).await.expect_problem(409, "too-many-contacts");
    let there = format!("{path}/{}", contacts[0]);
    assert_eq!(stage.http.put(&there, service_bearer(), json!({})).await.status, 204, "who is listed already");
}

#[tokio::test]
async fn only_a_contact_or_the_backend_rings_a_user() {
    let stage = Stage::with(CONTACTS_ONLY).await;
    let pixel = stage.pixel("bob", "pixel-1").await;
    let refused = stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(403, "not-allowed");
    assert_eq!(refused["detail"], "the user takes calls of their contacts only");
    assert!(super::nothing_rang(&stage));
    for user in ["alice", "bob"] {
        assert_eq!(stage.http.get("/v1/calls", &bearer(user)).await.expect(200)["calls"], json!([]), "{user}");
    }

    put(&stage, "bob", &["alice"]).await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.push("ring", &pixel.ring_token, &call).await;
    // Bob is no contact of Alice, who is calling him: that is glare and no call of his own.
    let joined = stage.http.post("/v1/calls", &bearer("bob"), json!({"callee": "alice", "media": "audio"})).await;
    assert_eq!(joined.expect(201)["call"]["id"], call);

    let body = json!({"callee": "dave", "media": "audio", "caller": {"id": "shop"}});
    stage.http.post("/v1/calls", service_bearer(), body).await.expect(201);
}

/// A stranger hears the same whether they are blocked or not, and a contact who is blocked hears nothing of it.
#[tokio::test]
async fn a_refusal_says_nothing_of_blocks_and_bans() {
    let stage = Stage::with(CONTACTS_ONLY).await;
    stage.pixel("bob", "pixel-1").await;
    let stranger = async |name: &str| stage.http.post("/v1/calls", &bearer(name), to_bob()).await;
    let plain = stranger("alice").await;
    stage.http.put("/v1/blocks/carol", &bearer("bob"), json!({})).await;
    let blocked = stranger("carol").await;
    stage.http.put("/v1/bans/bob", service_bearer(), json!({})).await.expect(200);
    let banned = stranger("alice").await;
    stage.http.delete("/v1/bans/bob", service_bearer()).await;
    assert_eq!(plain.text, blocked.text);
    assert_eq!(plain.text, banned.text);
    plain.expect_problem(403, "not-allowed");

    put(&stage, "bob", &["carol"]).await;
    assert_eq!(stranger("carol").await.expect(201)["call"]["state"], "calling");
    assert!(super::nothing_rang(&stage));
}

/// Those who may not call a user cannot keep those who may from it.
#[tokio::test]
async fn strangers_use_up_nothing_of_the_callees() {
    let stage = Stage::with(&format!("{CONTACTS_ONLY}\n[limits]\ninvites_per_callee = \"1/h\"")).await;
    stage.pixel("bob", "pixel-1").await;
    put(&stage, "bob", &["carol"]).await;
    for _ in 0..3 {
        stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(403, "not-allowed");
    }
    stage.invite("carol", "bob").await;
    stage.http.post("/v1/calls", &bearer("alice"), to_bob()).await.expect_problem(403, "not-allowed");
}
