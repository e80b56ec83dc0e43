//! Genuine tokens where they do not belong: another user's call, device and ticket, the wrong kind of caller.

use reqwest::Method;
use serde_json::json;

use super::route::{self, Route, Who};
use super::world::World;
use crate::support::people::path;
use crate::support::{Http, Reply, bearer, service_bearer};

async fn send(world: &World, route: &Route, token: &str) -> Reply {
    let mut request = route.request(&world.stage.http).bearer_auth(token);
    if let Some(body) = &route.body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Http::send(request).await
}

#[tokio::test]
async fn each_kind_of_caller_keeps_to_its_routes() {
    let world = World::new().await;
    let before = world.state().await;
    for route in route::all(&world).await {
        let name = route.name();
        match route.who {
            Who::Anybody | Who::OfCall if route.template != "/v1/events" => {}
            Who::Service => {
                for token in [&bearer("bob"), &world.ticket] {
                    world.expect_code(&send(&world, &route, token).await, &name, &["services-only"]);
                }
            }
            _ => {
                let no_ticket = route.template != "/v1/events";
                let no_service = route.template != "/v1/calls" || route.method == Method::GET;
                if no_ticket {
                    world.expect_code(&send(&world, &route, &world.ticket).await, &name, &["users-only"]);
                }
                if no_service {
                    world.expect_code(&send(&world, &route, service_bearer()).await, &name, &["users-only"]);
                }
            }
        }
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_call_is_nobody_elses_business() {
    let world = World::new().await;
    let before = world.state().await;
    let unknown = json!("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
    let of_call = |route: &&Route| route.template.starts_with("/v1/calls/{id}") && matches!(route.who, Who::OfCall);
    for route in route::all(&world).await.iter().filter(of_call) {
        let name = route.name();
        for stranger in ["erin", "carol", "Bob", "bob\u{301}", "ALICE"] {
            let token = crate::support::user_token(
                &json!({"iss": "tests", "aud": "bellwire", "sub": stranger, "exp": 4_000_000_000_u64}),
            );
            let stranger = send(&world, route, &token).await;
            world.expect_code(&stranger, &name, &["call-not-found"]);
            // What a stranger hears of a call is what they would hear of none.
            let verb = route.path.rsplit_once('/').map_or("", |(_, verb)| verb);
            let verb = if route.template == "/v1/calls/{id}" { "" } else { verb };
            let nowhere = Route { path: path(&unknown, verb), ..route.clone() };
            assert_eq!(send(&world, &nowhere, &token).await.text, stranger.text, "{name}");
        }
        world.expect_code(&send(&world, route, &world.ended_ticket).await, &name, &["wrong-call"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_device_speaks_for_itself_alone() {
    let world = World::new().await;
    let before = world.state().await;
    let (iphone, pixel) = (json!({"device_id": "iphone-1"}), json!({"device_id": "pixel-1"}));
    let (alice, bob) = (bearer("alice"), bearer("bob"));
    for verb in ["alerting", "answer", "decline"] {
        let path = path(&world.call, verb);
        for (who, token, body, codes) in [
            ("a ticket for the other phone", world.ticket.as_str(), &pixel, &["wrong-device"][..]),
            ("the other way round", &world.other_ticket, &iphone, &["wrong-device"]),
            ("a device that is not there", &bob, &json!({"device_id": "toaster"}), &["device-not-found"]),
            ("another user's device", &bob, &json!({"device_id": "pixel-2"}), &["device-not-found"]),
            ("no device", &bob, &json!({}), &["invalid-field"]),
            ("the caller", &alice, &iphone, &["not-allowed"]),
            ("the backend", service_bearer(), &json!({}), &["not-allowed"]),
        ] {
            let reply = world.stage.http.post(&path, token, body.clone()).await;
            world.expect_code(&reply, &format!("{verb} by {who}"), codes);
        }
    }
    for (verb, token, codes) in [
        ("cancel", world.ticket.as_str(), ["not-allowed"]),
        ("cancel", &bob, ["not-allowed"]),
        ("token", &world.ticket, ["not-allowed"]),
        ("token", &bob, ["not-allowed"]),
        ("token", service_bearer(), ["not-allowed"]),
    ] {
        let reply = world.stage.http.post(&path(&world.call, verb), token, json!({})).await;
        world.expect_code(&reply, verb, &codes);
    }
    let removed = world.stage.http.delete("/v1/devices/iphone-1", &bearer("mallory")).await;
    world.expect_code(&removed, "another's device", &["device-not-found"]);
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn after_the_end_a_ticket_reads_and_does_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    let http = &world.stage.http;
    for verb in ["answer", "alerting", "token"] {
        let reply = http.post(&path(&world.ended, verb), &world.ended_ticket, json!({})).await;
        world.expect_code(&reply, verb, &["call-ended", "declined-before", "not-allowed"]);
    }
    for (token, device) in [(bearer("carol"), "x"), (bearer("dave"), "pixel-2")] {
        let reply = http.post(&path(&world.ended, "token"), &token, json!({"device_id": device})).await;
        world.expect_code(&reply, "token", &["call-ended"]);
        assert_eq!(reply.json["end_reason"], "declined");
    }
    assert_eq!(http.get(&path(&world.ended, ""), &world.ended_ticket).await.expect(200)["state"], "ended");
    assert_eq!(world.state().await, before);
    // Five minutes after the ring's end it reads nothing either.
    world.stage.clock.advance(std::time::Duration::from_mins(6));
    let reply = http.get(&path(&world.ended, ""), &world.ended_ticket).await;
    world.expect_code(&reply, "an old ticket", &["ticket-expired", "call-not-found"]);
}

#[tokio::test]
async fn the_banned_and_the_blocked_start_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    let http = &world.stage.http;
    let mallory = bearer("mallory");
    let invite = http.post("/v1/calls", &mallory, json!({"callee": "bob", "media": "audio"})).await;
    world.expect_code(&invite, "invite", &["banned"]);
    let device = json!({"platform": "android", "app": "com.example.phone", "fcm_token": "m"});
    world.expect_code(&http.put("/v1/devices/m", &mallory, device).await, "device", &["banned"]);
    let events = http.request(Method::GET, "/v1/events").header("accept", "text/event-stream").bearer_auth(&mallory);
    world.expect_code(&Http::send(events).await, "events", &["banned"]);
    let myself = http.put("/v1/blocks/bob", &bearer("bob"), json!({})).await;
    world.expect_code(&myself, "oneself", &["self-block"]);
    for method in [Method::GET, Method::DELETE] {
        let request = http.request(method, "/v1/bans/erin").bearer_auth(service_bearer());
        world.expect_code(&Http::send(request).await, "no ban", &["ban-not-found"]);
    }
    assert_eq!(world.state().await, before);
}
