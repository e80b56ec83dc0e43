//! Texts and data at the edge of what is allowed: on one side they are kept as they came, on the other refused.

use serde_json::{Value, json};

use super::world::World;
use crate::support::people::path;
use crate::support::{Stage, bearer, service_bearer};

fn invite(metadata: &Value) -> Value {
    json!({"callee": "erin", "media": "audio", "metadata": metadata})
}

/// Arrays in each other.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

#[tokio::test]
async fn metadata_has_two_kibibytes_and_not_one_more() {
    let world = World::new().await;
    let before = world.state().await;
    let of_bytes = |bytes: usize| json!("x".repeat(bytes - 2));
    let http = &world.stage.http;
    for too_much in [of_bytes(2049), of_bytes(8000), json!(vec!["é"; 600]), nested(33), nested(120)] {
        let reply = http.post("/v1/calls", &bearer("carol"), invite(&too_much)).await;
        world.expect_code(&reply, "metadata", &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], "/metadata");
    }
    assert_eq!(world.state().await, before);
    let odd = json!({"": "\u{0}\u{202e}", "__proto__": {"a": -0.0}, "big": u64::MAX, "😀": [null, true, 1e300]});
    for good in [of_bytes(2048), nested(32), odd, json!(false)] {
        let call = http.post("/v1/calls", &bearer("carol"), invite(&good)).await.expect(201);
        assert_eq!(call["call"]["metadata"], good);
        assert_eq!(world.stage.call(&call["call"]["id"]).await["metadata"], good);
        let (_, snapshot) = world.stage.events(&bearer("carol"), "").await;
        assert!(snapshot["calls"].as_array().expect("calls").iter().any(|call| call["metadata"] == good), "{snapshot}");
    }
}

#[tokio::test]
async fn names_that_people_see_have_no_tricks_in_them() {
    let world = World::new().await;
    let before = world.state().await;
    let long = "x".repeat(129);
    let caller = |name: &str| json!({"caller": {"id": "shop", "name": name}, "callee": "erin", "media": "audio"});
    let device = |name: &str| json!({"platform": "web", "app": "com.example.phone", "name": name});
    for name in ["", "a\u{0}b", "a\nb", "\u{1b}[2J", "evil\u{202e}gpj.exe", "\u{2066}x", "a\u{2028}b", "\u{7f}", &long]
    {
        let reply = world.stage.http.post("/v1/calls", service_bearer(), caller(name)).await;
        world.expect_code(&reply, name, &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], "/caller/name");
        let reply = world.stage.http.put("/v1/devices/tab", &bearer("bob"), device(name)).await;
        world.expect_code(&reply, name, &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], "/name");
    }
    for avatar in ["http://x.example/a.png", "javascript:alert(1)", "https:/x", "", "data:text/html,x"] {
        let body = json!({"caller": {"id": "shop", "avatar": avatar}, "callee": "erin", "media": "audio"});
        let reply = world.stage.http.post("/v1/calls", service_bearer(), body).await;
        world.expect_code(&reply, avatar, &["invalid-field"]);
    }
    assert_eq!(world.state().await, before);
    world.stage.http.put("/v1/devices/tab", &bearer("erin"), device("Zoë 👩‍👧 زوي")).await.expect(200);
}

#[tokio::test]
async fn a_device_must_be_one_that_can_ring() {
    let world = World::new().await;
    let before = world.state().await;
    let app = "com.example.phone";
    for (body, pointer) in [
        (json!({"platform": "ios", "app": app}), "/voip_token"),
        (json!({"platform": "ios", "app": app, "voip_token": "xyz"}), "/voip_token"),
        (json!({"platform": "ios", "app": app, "voip_token": "../../3/device/ab"}), "/voip_token"),
        (json!({"platform": "ios", "app": app, "voip_token": "a".repeat(1025)}), "/voip_token"),
        (json!({"platform": "ios", "app": "../..", "voip_token": "ab"}), "/app"),
        (json!({"platform": "ios", "app": "..", "voip_token": "ab"}), "/app"),
        (json!({"platform": "ios", "app": app, "voip_token": "ab", "environment": "staging"}), "/environment"),
        (json!({"platform": "ios", "app": app, "voip_token": "ab", "fcm_token": "t"}), "/fcm_token"),
        (json!({"platform": "android", "app": app}), "/fcm_token"),
        (json!({"platform": "android", "app": app, "fcm_token": "a b"}), "/fcm_token"),
        (json!({"platform": "android", "app": app, "fcm_token": "t", "fcm_fid": "f"}), "/fcm_fid"),
        (json!({"platform": "amiga", "app": app}), "/platform"),
        (json!({"platform": "IOS", "app": app}), "/platform"),
    ] {
        let reply = world.stage.http.put("/v1/devices/new", &bearer("bob"), body.clone()).await;
        world.expect_code(&reply, &body.to_string(), &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{body}: {}", reply.text);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn an_invite_must_make_sense() {
    let world = World::new().await;
    let before = world.state().await;
    let user = bearer("carol");
    for (token, body, pointer) in [
        (user.as_str(), json!({"callee": "carol", "media": "audio"}), "/callee"),
        (&user, json!({"callee": "bob", "media": "audio", "caller": {"id": "alice"}}), "/caller"),
        (&user, json!({"callee": "bob", "media": "audio", "ring_seconds": 4}), "/ring_seconds"),
        (&user, json!({"callee": "bob", "media": "audio", "ring_seconds": 121}), "/ring_seconds"),
        (&user, json!({"callee": "x".repeat(129), "media": "audio"}), "/callee"),
        (&user, json!({"callee": "..", "media": "audio"}), "/callee"),
        (service_bearer(), json!({"callee": "bob", "media": "audio"}), "/caller"),
        (service_bearer(), json!({"callee": "bob", "media": "audio", "caller": {"id": "bob"}}), "/callee"),
        (service_bearer(), json!({"callee": "bob", "media": "audio", "caller": {"name": "x"}}), "/caller/id"),
        (service_bearer(), json!({"callee": "bob", "media": "audio", "caller": {"id": "s", "x": 1}}), "/caller/x"),
    ] {
        let reply = world.stage.http.post("/v1/calls", token, body.clone()).await;
        world.expect_code(&reply, &body.to_string(), &["invalid-field"]);
        assert_eq!(reply.json["errors"][0]["pointer"], pointer, "{body}: {}", reply.text);
    }
    for until in ["tomorrow", "2026-13-01T00:00:00Z", "1969-01-01T00:00:00Z", "2026-01-31T12:00:00+25:00", "", "-1"] {
        let reply = world.stage.http.put("/v1/bans/carol", service_bearer(), json!({"until": until})).await;
        world.expect_code(&reply, until, &["invalid-field"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_key_used_again_for_something_else_is_refused() {
    let stage = Stage::new().await;
    let invite = |callee: &str| {
        let request = stage.http.request(reqwest::Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
        let request = request.header("content-type", "application/json").header("idempotency-key", "one");
        request.body(json!({"callee": callee, "media": "audio"}).to_string())
    };
    let first = crate::support::Http::send(invite("bob")).await.expect(201);
    let refused = crate::support::Http::send(invite("carol")).await;
    refused.expect_problem(422, "idempotency-key-reused");
    let again = crate::support::Http::send(invite("bob")).await.expect(201);
    assert_eq!(again["call"]["id"], first["call"]["id"]);
    assert_eq!(stage.http.get(&path(&first["call"]["id"], ""), &bearer("carol")).await.status, 404);
}
