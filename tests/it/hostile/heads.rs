//! Paths, queries, methods and headers that nobody should send.

use reqwest::Method;
use serde_json::json;

use super::raw;
use super::route::{self, Route, Who};
use super::world::World;
use crate::support::people::path;
use crate::support::{Http, bearer, service_bearer};

fn headers_of(route: &Route) -> Vec<(String, String)> {
    let mut headers =
        vec![("content-length".to_owned(), "0".to_owned()), ("accept".into(), "text/event-stream".into())];
    if !route.token.is_empty() {
        headers.push(("authorization".into(), format!("Bearer {}", route.token)));
    }
    headers
}

fn raw_request(route: &Route, target: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = headers_of(route);
    let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<_> = own.chain(more.iter().copied()).collect();
    raw::request(&format!("{} {target}", route.method), &headers, b"")
}

#[tokio::test]
async fn ids_of_the_wrong_shape_are_refused() {
    let world = World::new().await;
    let before = world.state().await;
    let (long, longer) = ("x".repeat(1024), "x".repeat(20_000));
    let ids = [
        "%00",
        "%ff",
        "%c0%af",
        "%20",
        "%0d%0a",
        "a%0ab",
        ".",
        "..",
        "%2e%2e",
        &long,
        &longer,
        "%E2%80%AE",
        "%F0%9F%A6%80%00",
    ];
    for route in route::all(&world).await.iter().filter(|route| route.has_id()) {
        let is_user = route.template.contains("{user}");
        let only_plain = ["%2F", "%2e%2e%2f", "%F0%9F%A6%80", "a%20b", "a;b", "a%25b", "{id}", "'", "%"];
        for id in ids.iter().copied().chain(only_plain.into_iter().filter(|_| !is_user)) {
            let start = route.template.find('{').expect("an id");
            let end = route.template.find('}').expect("an id");
            let target = format!("{}{id}{}", &route.template[..start], &route.template[end + 1..]);
            let reply = raw::send(&world.stage, raw_request(route, &target, &[])).await;
            world.expect_code(&reply, &format!("{} with {id:.30}", route.name()), &["invalid-path"]);
        }
    }
    for target in
        ["/v1/calls/", "/v1//calls", "/v1/calls//answer", "/V1/calls", "/v1/calls/x/y/z", "//", "/.", "/v1/devices/a/b"]
    {
        let request = raw::request(&format!("GET {target}"), &[], b"");
        world.expect_code(&raw::send(&world.stage, request).await, target, &["not-found", "method-not-allowed"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn queries_that_nobody_asked_for_are_refused() {
    let world = World::new().await;
    let before = world.state().await;
    for route in route::all(&world).await.iter().filter(|route| route.who != Who::Anybody) {
        for query in
            ["surprise=1", "surprise", "limit=1&limit=2&limit=3", "since=x&since=y", "%ff=%00", "device_id=%00"]
        {
            let reply = raw::send(&world.stage, raw_request(route, &format!("{}?{query}", route.path), &[])).await;
            world.expect_code(&reply, &format!("{}?{query}", route.name()), &["invalid-query"]);
        }
    }
    for query in [
        "limit=0",
        "limit=-1",
        "limit=101",
        "limit=1.5",
        "limit=1e3",
        "limit=",
        "limit=99999999999999999999",
        "cursor=x",
        "cursor=",
        "cursor=%00",
        "cursor[]=1",
    ] {
        let reply = world.stage.http.get(&format!("/v1/calls?{query}"), &bearer("bob")).await;
        world.expect_code(&reply, query, &["invalid-query"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn other_methods_are_refused_and_the_right_ones_named() {
    let world = World::new().await;
    let before = world.state().await;
    let routes = route::all(&world).await;
    for route in &routes {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            if routes.iter().any(|other| other.template == route.template && other.method == method) {
                continue;
            }
            let request = world.stage.http.request(method.clone(), &route.path).bearer_auth(&route.token);
            let reply = Http::send(request).await;
            world.expect_code(&reply, &format!("{method} {}", route.template), &["method-not-allowed"]);
            assert!(reply.headers["allow"].to_str().expect("text").contains(route.method.as_str()), "{reply:?}");
        }
    }
    for line in ["OPTIONS *", "GET http://elsewhere.example/v1/unknown", "CONNECT gateway:443"] {
        let reply = raw::send(&world.stage, raw::request(line, &[], b"")).await;
        world.expect_code(&reply, line, &["not-found", "method-not-allowed"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let world = World::new().await;
    let before = world.state().await;
    let large = "x".repeat(33 * 1024);
    let many: Vec<(String, String)> = (0..150).map(|number| (format!("x-{number}"), "1".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let http2 = world.stage.http.http2();
    for route in route::all(&world).await {
        let reply = raw::send(&world.stage, raw_request(&route, &route.path, &[("x-large", &large)])).await;
        world.expect_code(&reply, &route.name(), &["headers-too-large"]);
        let reply = raw::send(&world.stage, raw_request(&route, &route.path, &many)).await;
        world.expect_code(&reply, &route.name(), &["headers-too-large"]);
        let reply = Http::send(route.request(&http2).header("x-large", &large)).await;
        world.expect_code(&reply, &format!("{} over HTTP/2", route.name()), &["headers-too-large"]);
        let path = format!("{}?{large}", route.path);
        world.expect_code(&Http::send(route.request_to(&http2, &path)).await, &path, &["headers-too-large"]);
    }
    assert_eq!(world.state().await, before);
}

/// What never becomes a request is answered by hyper itself, without a body, and the connection is closed.
#[tokio::test]
async fn what_is_no_request_ends_the_connection() {
    let world = World::new().await;
    let huge = format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(200 * 1024));
    let bare = [
        (huge.as_str(), 431),
        ("\0\0\0\0\0\0\0\0\r\n\r\n", 400),
        ("GET /livez HTTP/9.9\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET /li vez HTTP/1.1\r\n\r\n", 400),
        ("POST /v1/calls HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST /v1/calls HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        ("POST /v1/calls HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400),
    ];
    for (request, status) in bare {
        let reply = raw::send(&world.stage, request).await;
        assert_eq!((reply.status, reply.text.as_str()), (status, ""), "{request:.60}");
    }
    assert_eq!(world.stage.http.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn headers_come_once_and_are_text() {
    let world = World::new().await;
    let before = world.state().await;
    let http = &world.stage.http;
    for route in route::all(&world).await.iter().filter(|route| route.who != Who::Anybody) {
        let twice = route.request(http).bearer_auth(&route.token).bearer_auth(bearer("mallory"));
        let twice = twice.header("authorization", "Basic Ym9iOmJvYg==");
        world.expect_code(&Http::send(twice).await, &route.name(), &["invalid-header"]);
        let bytes = reqwest::header::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("a value");
        let reply = Http::send(route.request(http).header("authorization", bytes)).await;
        world.expect_code(&reply, &route.name(), &["invalid-header"]);
    }
    let body = json!({"callee": "dave", "media": "audio"}).to_string();
    let too_long = "x".repeat(256);
    for key in [&b""[..], b" ", too_long.as_bytes(), b"\xc3\xa9", b"a\xffb", b"a\tb"] {
        let key = reqwest::header::HeaderValue::from_bytes(key).expect("a value");
        let invite = http.request(Method::POST, "/v1/calls").bearer_auth(bearer("carol"));
        let invite =
            invite.header("content-type", "application/json").header("idempotency-key", key).body(body.clone());
        world.expect_code(&Http::send(invite).await, "Idempotency-Key", &["invalid-header"]);
    }
    let invite = http.request(Method::POST, "/v1/calls").bearer_auth(bearer("carol")).body(body);
    let invite = invite.header("content-type", "application/json");
    let twice = invite.header("idempotency-key", "one").header("idempotency-key", "two");
    world.expect_code(&Http::send(twice).await, "two keys", &["invalid-header"]);
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_place_in_the_stream_that_is_none_is_refused() {
    let world = World::new().await;
    let call = world.call.as_str().expect("an id");
    let many = vec![format!("{call}:1"); 101].join(",");
    let bad = [
        "x",
        ":",
        "1",
        call,
        &format!("{call}:"),
        &format!("{call}:-1"),
        &format!("{call}:1.5"),
        &format!("{call}:4294967296"),
        &format!("{call}:1;{call}:2"),
        "not-a-call:1",
        &many,
    ];
    for since in bad {
        let events = world.stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("bob"));
        let events = events.header("accept", "text/event-stream");
        let by_header = events.header("last-event-id", since);
        world.expect_code(&Http::send(by_header).await, since, &["invalid-query"]);
        let by_query = world.stage.http.request(Method::GET, &format!("/v1/events?since={since}"));
        let by_query = by_query.bearer_auth(bearer("bob")).header("accept", "text/event-stream");
        world.expect_code(&Http::send(by_query).await, since, &["invalid-query"]);
    }
    let events = world.stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("bob"));
    let events = events.header("accept", "text/event-stream");
    let bytes = reqwest::header::HeaderValue::from_bytes(b"\xff").expect("a value");
    let reply = Http::send(events.header("last-event-id", bytes)).await;
    world.expect_code(&reply, "no text", &["invalid-header"]);
    let plain = world.stage.http.get("/v1/events", &bearer("bob")).await;
    world.expect_code(&plain, "neither form", &["not-acceptable"]);
    // Another's call is as unknown as one that never was: the stream begins, and says nothing of it.
    let (_, snapshot) = world.stage.events(&bearer("oscar"), &format!("?since={call}:1")).await;
    assert_eq!(snapshot["calls"], json!([]));
    assert_eq!(world.stage.http.get(&path(&world.call, ""), service_bearer()).await.status, 200);
}
