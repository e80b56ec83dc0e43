//! Clients that take their time: each is dropped after a while, and none holds up another.

use std::time::Duration;

use super::raw::{self, Raw};
use super::route;
use super::world::World;

const QUICK: &str = "[limits]\nheader_timeout = \"300ms\"\nbody_timeout = \"300ms\"";
const NOW_AND_THEN: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let world = World::with(QUICK).await;
    let before = world.state().await;
    for route in route::with_body(&world).await {
        let authorization = format!("Bearer {}", route.token);
        let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
        headers.push(("content-length", "10000"));
        let mut raw = Raw::open(&world.stage).await;
        raw.write(raw::request(&format!("{} {}", route.method, route.path), &headers, b"{")).await;
        let answer = String::from_utf8(raw.trickle(b' ', NOW_AND_THEN).await).expect("text");
        world.expect_code(&raw::reply(&answer), &route.name(), &["body-too-slow"]);
    }
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_head_that_trickles_or_never_comes_ends_the_connection() {
    let world = World::with(QUICK).await;
    for begun in [
        &b""[..],
        b"GET /livez HTTP/1.1\r\nx-long: ",
        b"PRI * HT",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        // An empty SETTINGS frame, and then nothing is asked.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let mut raw = Raw::open(&world.stage).await;
        raw.write(begun).await;
        raw.read_to_end().await;
    }
    let mut raw = Raw::open(&world.stage).await;
    raw.write("GET /livez HTTP/1.1\r\nx-long: ").await;
    raw.trickle(b'x', NOW_AND_THEN).await;
    assert_eq!(world.stage.http.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_connection_that_is_kept_may_be_silent_but_not_slow() {
    let world = World::with("[limits]\nheader_timeout = \"500ms\"").await;
    let mut raw = Raw::open(&world.stage).await;
    for _ in 0..2 {
        raw.write("GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
        assert!(raw.read_some().await.starts_with(b"HTTP/1.1 200"));
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    raw.write("GET /livez HTTP/1.1\r\nx-long: ").await;
    assert_eq!(raw.trickle(b'x', NOW_AND_THEN).await, b"");
}

#[tokio::test]
async fn an_open_stream_outlives_the_timeouts_of_a_request() {
    let world = World::with(QUICK).await;
    let (mut alice, _) = world.stage.events(&crate::support::bearer("alice"), "").await;
    // A request that began after the stream runs into its timeout: by then any of them has passed.
    let mut raw = Raw::open(&world.stage).await;
    raw.write("GET /livez HTTP/1.1\r\n").await;
    raw.read_to_end().await;
    world
        .stage
        .http
        .post(
            &crate::support::people::path(&world.call, "cancel"),
            &crate::support::bearer("alice"),
            serde_json::json!({}),
        )
        .await
        .expect(200);
    alice.until("call.ended", &world.call).await;
}

#[tokio::test]
async fn a_socket_that_answers_no_ping_is_dead_and_one_that_does_is_not() {
    let world = World::with("[limits]\nevent_ping = \"100ms\"").await;
    let bearer = format!("Bearer {}", crate::support::bearer("bob"));
    let upgrade = "GET /v1/events HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut silent = Raw::open(&world.stage).await;
    silent.write(format!("{upgrade}{key}authorization: {bearer}\r\n\r\n")).await;

    let mut alive = super::sockets::open_as(&world.stage, "bob").await;
    let end = silent.read_to_end();
    tokio::pin!(end);
    let seen = loop {
        tokio::select! {
            seen = &mut end => break seen,
            // Reading is what answers pings.
            message = super::sockets::next(&mut alive) => assert!(message.is_some(), "the one that answers goes on"),
        }
    };
    assert!(seen.starts_with(b"HTTP/1.1 101"), "{:?}", String::from_utf8_lossy(&seen));
    assert!(super::sockets::next(&mut alive).await.is_some_and(|message| message.is_ping()));
}
