//! Too much at a time: the newest hears a quick 503, and whoever rings, answers or listens already goes on.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::http2::{self, Http2, frame};
use super::raw::{self, Raw};
use super::world::{World, expect_problem};
use crate::support::people::path;
use crate::support::{Http, Reply, SOON, bearer};

/// One user may hold all requests that there may be.
const ALONE: &str = "[limits]\nrequests_per_user = 1000";
const LIMITED: &str = "bellwire_limited_total";

/// Checks that there was no room.
fn expect_overloaded(reply: &Reply) {
    assert_eq!((reply.status, expect_problem(reply, "no room").as_str()), (503, "overloaded"));
    assert_eq!(reply.headers["retry-after"], "1");
}

fn authorized(line: &str, token: &str) -> Vec<u8> {
    raw::request(line, &[("authorization", &format!("Bearer {token}")), ("content-length", "0")], b"")
}

/// A request on a connection of its own.
async fn ask(world: &World, line: &str, token: &str) -> Reply {
    raw::send(&world.stage, authorized(line, token)).await
}

fn answer_line(world: &World) -> String {
    format!("POST {}", path(&world.call, "answer"))
}

/// Connections that have asked once and are kept, and the answer to the first one that found no room.
async fn fill(world: &World) -> (Vec<Raw>, Reply) {
    let mut open = Vec::new();
    loop {
        let mut raw = Raw::open(&world.stage).await;
        raw.write("GET /v1/devices HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
        let answer = String::from_utf8(raw.read_some().await).expect("text");
        if answer.starts_with("HTTP/1.1 503") {
            return (open, raw::reply(&answer));
        }
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        open.push(raw);
    }
}

#[tokio::test]
async fn past_the_greatest_number_of_connections_phones_that_ring_get_through() {
    let world = World::with("[limits]\nconnections = 40\nconnections_per_ip = 0").await;
    let (open, refused) = fill(&world).await;
    expect_overloaded(&refused);
    assert_eq!(refused.headers["connection"], "close");
    assert!((30..=35).contains(&open.len()), "{}", open.len());
    world.expect_metric(&format!("{LIMITED}{{limit=\"connections\"}}"), |count| count == 1).await;

    // Whoever is no phone that rings and no backend finds no room, and a balancer still learns that the gateway lives.
    expect_overloaded(&ask(&world, "GET /v1/calls", &bearer("alice")).await);
    assert_eq!(ask(&world, "GET /livez", "").await.status, 200);
    // A connection from before goes on, and so do calls.
    assert_eq!(world.stage.http.get("/v1/calls", &bearer("alice")).await.status, 200);
    assert_eq!(ask(&world, &answer_line(&world), &world.ticket).await.status, 200);
    assert_eq!(world.stage.call(&world.call).await["state"], "active");

    drop(open);
    world.expect_metric("bellwire_open_connections{listener=\"api\"}", |open| open < 10).await;
    assert_eq!(ask(&world, "GET /v1/calls", &bearer("alice")).await.status, 200);
}

#[tokio::test]
async fn on_a_kept_connection_a_probe_has_its_answer_and_is_the_last_one() {
    let world = World::with("[limits]\nconnections = 40\nconnections_per_ip = 0").await;
    let (_open, _) = fill(&world).await;
    for path in ["/livez", "/readyz"] {
        let mut raw = Raw::open(&world.stage).await;
        raw.write(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n").repeat(2)).await;
        let answers = String::from_utf8(raw.read_to_end().await).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
        assert!(answers.contains("connection: close\r\n"), "{answers}");
    }
    let mut client = Http2::open(&world.stage, &frame(http2::SETTINGS, 0, 0, &[])).await;
    let probe = http2::head("GET", "/livez", "");
    let mut streams = (1..100).step_by(2);
    let is_over = async {
        loop {
            let stream = streams.next().expect("it ends before so many");
            client.raw.write(frame(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, stream, &probe)).await;
            loop {
                match client.next().await.expect("a frame").kind {
                    http2::GO_AWAY => return,
                    http2::DATA => break,
                    _ => {}
                }
            }
        }
    };
    is_over.await;
    client.raw.read_to_end().await;
}

#[tokio::test]
async fn on_a_kept_connection_what_no_limit_counts_is_the_last_one_too() {
    let limits = "[limits]\nconnections = 40\nconnections_per_ip = 0";
    let world = World::configured(limits, |config| config.http.cors_origins = vec![raw::ORIGIN.to_owned()]).await;
    let (_open, _) = fill(&world).await;
    for (request, _) in raw::without_limit() {
        let mut raw = Raw::open(&world.stage).await;
        raw.write(request.repeat(2)).await;
        let answers = String::from_utf8(raw.read_to_end().await).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
        assert!(answers.contains("connection: close\r\n"), "{answers}");
    }
    // The phone that rings keeps its connection.
    let mut phone = Raw::open(&world.stage).await;
    let head = format!("{} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n", answer_line(&world));
    for _ in 0..2 {
        phone.write(format!("{head}authorization: Bearer {}\r\n\r\n", world.ticket)).await;
        assert!(phone.read_some().await.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn when_there_are_no_connections_at_all_one_is_closed_at_once_and_silence_holds_none_for_long() {
    let world = World::with("[limits]\nconnections = 40\nconnections_per_ip = 0\nheader_timeout = \"60s\"").await;
    let (open, _) = fill(&world).await;
    // Those that say nothing take the kept places too.
    let mut silent = Vec::new();
    let refused = loop {
        let mut raw = Raw::open(&world.stage).await;
        match tokio::time::timeout(Duration::from_millis(300), raw.read_some()).await {
            Ok(told) => break String::from_utf8(told).expect("text"),
            Err(_) => silent.push(raw),
        }
        assert!(silent.len() < 10);
    };
    assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{refused:?}");
    // They are given up long before limits.header_timeout, and then there is room for the phone.
    let line = answer_line(&world);
    let answered = async {
        loop {
            let mut raw = Raw::open(&world.stage).await;
            raw.write(authorized(&line, &world.ticket)).await;
            if raw.read_to_end().await.starts_with(b"HTTP/1.1 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, answered).await.expect("before a head's timeout of 60 s");
    drop((open, silent));
    world.expect_honest_call().await;
}

#[tokio::test]
async fn one_address_takes_no_connections_of_others() {
    let world = World::with("[limits]\nconnections_per_ip = 16").await;
    let (open, refused) = fill(&world).await;
    expect_overloaded(&refused);
    assert!((8..=14).contains(&open.len()), "{}", open.len());
    let mut other = Raw::open_from(&world.stage, [127, 0, 0, 2]).await;
    other.write(authorized("GET /v1/calls", &bearer("alice"))).await;
    assert_eq!(other.reply().await.status, 200);
    // The phone that rings may be behind the same address.
    assert_eq!(ask(&world, &answer_line(&world), &world.ticket).await.status, 200);
}

/// Requests whose bodies do not come, until one finds no room.
async fn hold_requests(world: &World) -> (Vec<Raw>, Reply) {
    hold_requests_of(world, "198.51.100.1").await
}

/// The same by a proxy, for a client with this address.
async fn hold_requests_of(world: &World, client: &str) -> (Vec<Raw>, Reply) {
    let authorization = format!("Bearer {}", bearer("oscar"));
    let mut headers = vec![("authorization", &*authorization), ("content-type", "application/json")];
    headers.extend([("content-length", "38"), ("x-forwarded-for", client)]);
    let mut held = Vec::new();
    loop {
        let mut raw = Raw::open(&world.stage).await;
        raw.write(raw::request("POST /v1/calls", &headers, b"{")).await;
        match tokio::time::timeout(Duration::from_secs(1), raw.read_some()).await {
            Ok(told) => return (held, raw::reply(&String::from_utf8(told).expect("text"))),
            Err(_) => held.push(raw),
        }
        assert!(held.len() < 20);
    }
}

#[tokio::test]
async fn past_the_greatest_number_of_requests_in_flight_calls_in_progress_go_on() {
    let world = World::with(&format!("{ALONE}\nrequests = 8\nrequests_per_ip = 0")).await;
    let (mut events, _) = world.stage.events(&bearer("alice"), "").await;
    let (mut held, refused) = hold_requests(&world).await;
    expect_overloaded(&refused);
    assert_eq!(held.len(), 7);
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 7).await;
    expect_overloaded(&world.stage.http.get("/v1/calls", &bearer("alice")).await);
    for probe in ["/livez", "/readyz"] {
        assert_eq!(world.stage.http.get(probe, "").await.status, 200);
    }
    // LiveKit's webhooks have places of their own.
    world
        .stage
        .livekit_tells(&json!({"event": "room_started", "id": "EV_1", "room": {"name": "no room of ours"}}))
        .await;
    world.stage.http.post(&path(&world.call, "answer"), &world.ticket, json!({})).await.expect(200);
    events.until("call.answered", &world.call).await;

    // What is in flight comes to its end, and there is room again.
    held[0].write(&br#"{"callee":"nobody", "media":"audio"}  "#[1..]).await;
    assert_eq!(held[0].reply().await.status, 201);
    drop(held);
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
    world.expect_honest_call().await;
}

#[tokio::test]
async fn one_address_does_not_have_all_requests_in_flight() {
    let world = World::with(&format!("{ALONE}\nrequests_per_ip = 8")).await;
    let (held, refused) = hold_requests(&world).await;
    expect_overloaded(&refused);
    assert_eq!(held.len(), 7);
    let mut other = Raw::open_from(&world.stage, [127, 0, 0, 2]).await;
    other.write(authorized("GET /v1/calls", &bearer("alice"))).await;
    assert_eq!(other.reply().await.status, 200);
    world.stage.http.post(&path(&world.call, "answer"), &world.ticket, json!({})).await.expect(200);
    world.expect_metric(&format!("{LIMITED}{{limit=\"requests_per_ip\"}}"), |count| count == 1).await;
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_requests_in_flight_and_the_proxy_has_connections() {
    let limits = format!("{ALONE}\nrequests_per_ip = 4\nconnections_per_ip = 8");
    let world = World::behind_a_proxy(&limits).await;
    let mut all = Vec::new();
    // Of IPv6 a /64 is one client.
    for client in ["198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8:0:1::1"] {
        let (held, refused) = hold_requests_of(&world, client).await;
        expect_overloaded(&refused);
        assert_eq!(held.len(), 4, "{client}");
        all.extend(held);
    }
    assert_eq!(hold_requests_of(&world, "2001:db8::ffff").await.0.len(), 0);
    world.expect_metric(&format!("{LIMITED}{{limit=\"requests_per_ip\"}}"), |count| count == 5).await;
}

#[tokio::test]
async fn one_user_does_not_have_all_requests_in_flight() {
    let world = World::with("[limits]\nrequests_per_user = 4").await;
    let (mut held, refused) = hold_requests(&world).await;
    expect_overloaded(&refused);
    assert_eq!(held.len(), 4);
    // Nor do they open streams on top.
    assert!(stream(&world, "oscar").await.expect_err("no place").contains("requests_per_user"));
    world.expect_metric(&format!("{LIMITED}{{limit=\"requests_per_user\"}}"), |count| count == 2).await;
    world.expect_honest_call().await;
    held.truncate(3);
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 3).await;
    assert_eq!(world.stage.http.get("/v1/calls", &bearer("oscar")).await.status, 200);
    // A stream that is open is no request any more.
    let _stream = stream(&world, "oscar").await.expect("a stream");
    assert_eq!(world.stage.http.get("/v1/calls", &bearer("oscar")).await.status, 200);
}

/// An event stream, which is open until it is dropped, or the refusal.
async fn stream(world: &World, user: &str) -> Result<reqwest::Response, String> {
    let request = world.stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer(user));
    let response = request.header("accept", "text/event-stream").send().await.expect("an answer");
    if response.status() == 200 { Ok(response) } else { Err(response.text().await.expect("text")) }
}

#[tokio::test]
async fn past_the_greatest_number_of_streams_a_phone_that_rings_still_listens() {
    let world = World::with("[limits]\nevent_streams = 8").await;
    let mut open = Vec::new();
    let refused = loop {
        match stream(&world, &format!("user{}", open.len())).await {
            Ok(stream) => open.push(stream),
            Err(refused) => break refused,
        }
    };
    assert!(refused.contains("\"overloaded\""), "{refused}");
    assert_eq!(open.len(), 7);
    world.expect_metric("bellwire_event_readers{transport=\"sse\"}", |streams| streams == 7).await;
    let (mut phone, snapshot) = world.stage.events(&world.ticket, "").await;
    assert_eq!(snapshot["calls"][0]["id"], world.call);
    world.stage.http.post(&path(&world.call, "answer"), &world.ticket, json!({})).await.expect(200);
    phone.until("call.answered", &world.call).await;
    world.expect_honest_call().await;
    drop((open, phone));
    world.expect_metric("bellwire_event_readers{transport=\"sse\"}", |streams| streams == 0).await;
    stream(&world, "alice").await.expect("room again");
}

#[tokio::test]
async fn webhooks_that_are_not_livekits_shut_none_of_its_out() {
    let world = World::with("[limits]\nrequests = 8").await;
    // Each announces a body that never comes, and has its answer.
    let mut forged = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::open(&world.stage).await;
        let head = "POST /v1/livekit/webhook HTTP/1.1\r\nhost: gateway\r\nauthorization: a.b.c\r\ncontent-length: 1000\r\n\r\n";
        raw.write(head).await;
        forged.push(raw);
    }
    for raw in &mut forged {
        assert!(raw.read_some().await.starts_with(b"HTTP/1.1 401"));
    }
    world
        .stage
        .livekit_tells(&json!({"event": "room_started", "id": "EV_1", "room": {"name": "no room of ours"}}))
        .await;
    world.stage.http.post(&path(&world.call, "answer"), &world.ticket, json!({})).await.expect(200);
    world.expect_metric("bellwire_livekit_webhooks_total{outcome=\"refused\"}", |count| count == 300).await;
}

#[tokio::test]
async fn what_there_may_be_is_bounded_for_operators_too_and_apart_from_the_rest() {
    let world = World::new().await;
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Raw::open_to(world.stage.gateway.ops).await);
    }
    let refused = Raw::open_to(world.stage.gateway.ops).await.read_to_end().await;
    assert!(refused.starts_with(b"HTTP/1.1 503 "), "{:?}", String::from_utf8_lossy(&refused));
    world.expect_honest_call().await;
    drop(open);
    assert_eq!(wait_ready(&world).await["ready"], true);
}

/// What `/readyz` says on the operators' listener, once there is room.
async fn wait_ready(world: &World) -> Value {
    let ops = Http::new(format!("http://{}", world.stage.gateway.ops));
    let ready = async {
        loop {
            if let Ok(reply) = Http::try_send(ops.request(Method::GET, "/readyz")).await
                && reply.status == 200
            {
                return reply.json;
            }
        }
    };
    tokio::time::timeout(SOON, ready).await.expect("ready")
}
