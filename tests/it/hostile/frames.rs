//! Clients that keep their connection busy, or keep it for nothing: each is dropped after a while, and honest calls go on meanwhile.

use std::time::Duration;

use bellwire::config::Config;
use tokio::time::Instant;

use super::http2::{self, Http2, frame, head, setting};
use super::raw::{self, Raw};
use super::world::World;
use crate::support::{SOON, bearer, people};

const QUICK: &str = "[limits]\nheader_timeout = \"500ms\"\nsend_timeout = \"500ms\"\nidle_timeout = \"1s\"";

const SSE_READERS: &str = "bellwire_event_readers{transport=\"sse\"}";

/// The settings of a client that wants nothing in particular.
fn plain() -> Vec<u8> {
    frame(http2::SETTINGS, 0, 0, &[])
}

fn request(stream: u32, path: &str, token: &str) -> Vec<u8> {
    frame(http2::HEADERS, http2::END_HEADERS | http2::END_STREAM, stream, &head("GET", path, token))
}

#[tokio::test]
async fn an_answer_whose_window_stays_closed_is_reset_and_the_connection_goes_on() {
    let world = World::with(QUICK).await;
    let mut client = Http2::open(&world.stage, &setting(http2::INITIAL_WINDOW, 0)).await;
    let streams: Vec<u32> = (0..50).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        // The last one is an event stream, whose snapshot is not taken.
        let path = if *stream == 99 { "/v1/events" } else { "/openapi.json" };
        client.raw.write(request(*stream, path, &bearer("alice"))).await;
    }
    world.expect_metric(SSE_READERS, |streams| streams == 1).await;
    world.expect_honest_call().await;
    let mut reset = Vec::new();
    while reset.len() < streams.len() {
        reset.push(client.until(http2::RESET).await.stream);
    }
    reset.sort_unstable();
    assert_eq!(reset, streams);
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
    world.expect_metric(SSE_READERS, |streams| streams == 0).await;
    world.expect_metric("bellwire_limited_total{limit=\"send_timeout\"}", |count| count == 50).await;
    // It opens its windows, and is served again.
    client.raw.write(setting(http2::INITIAL_WINDOW, 65_535)).await;
    client.raw.write(request(101, "/livez", "")).await;
    assert_eq!(client.until(http2::DATA).await.payload, b"ok\n");
}

#[tokio::test]
async fn answers_of_which_a_byte_is_taken_keep_their_places_until_their_streams_are_reset() {
    let world = World::with("[limits]\nrequests_per_user = 8\nsend_timeout = \"3s\"").await;
    let mut client = Http2::open(&world.stage, &setting(http2::INITIAL_WINDOW, 1)).await;
    for number in 0..20 {
        client.raw.write(request(2 * number + 1, "/v1/calls", &bearer("carol"))).await;
    }
    world.expect_metric("bellwire_limited_total{limit=\"requests_per_user\"}", |count| count == 12).await;
    // They are no requests of others, and not for good.
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
    for _ in 0..20 {
        client.until(http2::RESET).await;
    }
    assert_eq!(world.stage.http.get("/v1/calls", &bearer("carol")).await.status, 200);
    // The connection goes on.
    client.raw.write(setting(http2::INITIAL_WINDOW, 65_535)).await;
    client.raw.write(request(101, "/livez", "")).await;
    assert_eq!(client.until(http2::DATA).await.payload, b"ok\n");
}

/// How many of these batches of 50 requests that are refused are answered, each request within this time.
async fn answered(client: &mut Http2, batches: u32, within: Duration) -> u32 {
    for batch in 0..batches {
        client.raw.write(frame(http2::WINDOW_UPDATE, 0, 0, &65_535_u32.to_be_bytes())).await;
        let streams = (0..50).map(|number| 2 * (50 * batch + number) + 1);
        client
            .raw
            .write(streams.flat_map(|stream| request(stream, "/v1/devices", "of nobody")).collect::<Vec<u8>>())
            .await;
        for _ in 0..50 {
            if tokio::time::timeout(within, client.until(http2::HEADERS)).await.is_err() {
                return batch;
            }
        }
    }
    batches
}

#[tokio::test]
async fn a_connection_that_is_refused_all_the_time_is_not_read_for_a_while() {
    let world = World::new().await;
    let mut client = Http2::open(&world.stage, &plain()).await;
    let batches = answered(&mut client, 20, Duration::from_secs(1)).await;
    assert!(batches <= 4, "{batches}");
    world.expect_metric("bellwire_limited_total{limit=\"refusals\"}", |count| count >= 1).await;
    // Others behind the same address are not concerned.
    world.expect_honest_call().await;

    // Over HTTP/1.1 it is the same: 100 at once, and then 10 a second.
    let mut client = Raw::open(&world.stage).await;
    let began = Instant::now();
    for _ in 0..130 {
        client.write("GET /v1/devices HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
        assert!(client.read_some().await.starts_with(b"HTTP/1.1 401"));
    }
    assert!(began.elapsed() >= Duration::from_millis(2900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_no_limit_counts_does_not_make_up_for_refusals() {
    let origin = |config: &mut Config| config.http.cors_origins = vec![raw::ORIGIN.to_owned()];
    let world = World::configured("", origin).await;
    let mut client = Raw::open(&world.stage).await;
    let began = Instant::now();
    for (request, status) in raw::without_limit().iter().cycle().take(132) {
        client.write(request).await;
        let answer = String::from_utf8(client.read_some().await).expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert!(began.elapsed() >= Duration::from_millis(2900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_proxy_that_is_trusted_does_not_wait_for_what_its_clients_are_refused() {
    let world = World::behind_a_proxy("").await;
    let mut client = Http2::open(&world.stage, &plain()).await;
    assert_eq!(answered(&mut client, 20, SOON).await, 20);
    assert!(!world.metrics().await.contains("bellwire_limited_total{limit=\"refusals\"}"));
}

#[tokio::test]
async fn answers_to_strangers_that_are_not_taken_take_nobodys_place() {
    let world = World::with("[limits]\nrequests = 16\nrequests_per_ip = 0").await;
    let mut client = Http2::open(&world.stage, &setting(http2::INITIAL_WINDOW, 0)).await;
    for number in 0..50 {
        client.raw.write(request(2 * number + 1, "/v1/devices", "of nobody")).await;
    }
    for _ in 0..50 {
        client.until(http2::HEADERS).await;
    }
    world.expect_honest_call().await;
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_in_bursts_end_the_connection() {
    let world = World::new().await;
    let mut client = Raw::open(&world.stage).await;
    client.write([http2::PREFACE, &plain()].concat()).await;
    let post = head("POST", "/v1/calls", &bearer("alice"));
    let pair = |number: u32| {
        let stream = 2 * number + 1;
        // No END_STREAM: the body is waited for.
        let begun = frame(http2::HEADERS, http2::END_HEADERS, stream, &post);
        [begun, frame(http2::RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    for burst in 0..200 {
        client.write((0..20).flat_map(|number| pair(burst * 20 + number)).collect::<Vec<u8>>()).await;
        tokio::task::yield_now().await;
    }
    client.read_to_end().await;
    world.expect_honest_call().await;
    world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_slowly_end_the_connection_too() {
    let world = World::new().await;
    let mut client = Http2::open(&world.stage, &plain()).await;
    let post = head("POST", "/v1/calls", &bearer("alice"));
    for number in 0..101 {
        let stream = 2 * number + 1;
        client.raw.write(frame(http2::HEADERS, http2::END_HEADERS, stream, &post)).await;
        world.expect_metric("bellwire_requests_in_flight", |requests| requests == 1).await;
        client.raw.write(frame(http2::RESET, 0, stream, &8_u32.to_be_bytes())).await;
        world.expect_metric("bellwire_requests_in_flight", |requests| requests == 0).await;
    }
    client.raw.read_to_end().await;
    world.expect_metric("bellwire_limited_total{limit=\"resets\"}", |count| count == 1).await;
}

#[tokio::test]
async fn floods_of_frames_that_ask_for_nothing_end_the_connection() {
    let world = World::new().await;
    let begun = frame(http2::HEADERS, 0, 1, &head("GET", "/livez", ""));
    let more = http2::literal("x-more", &"x".repeat(1000));
    let open_stream = frame(http2::HEADERS, http2::END_HEADERS, 1, &head("POST", "/v1/calls", &bearer("alice")));
    for (name, first, flood) in [
        ("pings", vec![], frame(http2::PING, 0, 0, &[0; 8])),
        ("settings", vec![], plain()),
        ("empty continuations", begun.clone(), frame(http2::CONTINUATION, 0, 1, &[])),
        ("continuations", begun, frame(http2::CONTINUATION, 0, 1, &more)),
        ("empty data", open_stream.clone(), frame(http2::DATA, 0, 1, &[])),
        ("windows", open_stream, frame(http2::WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
        ("priorities", vec![], frame(2, 0, 1, &[0, 0, 0, 3, 1])),
        ("unknown frames", vec![], frame(200, 0, 0, &[0; 100])),
    ] {
        let mut client = Raw::open(&world.stage).await;
        client.write([http2::PREFACE, &plain(), &first].concat()).await;
        let flood = flood.repeat(4096 / flood.len() + 1);
        println!("{name}");
        tokio::join!(client.flood(&flood), world.expect_honest_call());
    }
    assert_eq!(world.stage.http.get("/livez", "").await.status, 200);
}

#[tokio::test]
async fn a_socket_that_is_flooded_with_pings_is_dropped() {
    let world = World::new().await;
    let mut client = Raw::open(&world.stage).await;
    let head = format!(
        "GET /v1/events HTTP/1.1\r\nhost: gateway\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {}\r\n\r\n",
        bearer("oscar")
    );
    client.write(head).await;
    // A ping that is masked with zeros (RFC 6455, section 5.2).
    let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(1000);
    tokio::join!(client.flood(&pings), world.expect_honest_call());
    world.expect_metric("bellwire_event_readers{transport=\"websocket\"}", |streams| streams == 0).await;
}

#[tokio::test]
async fn a_connection_of_http2_that_asks_for_nothing_is_closed() {
    let world = World::with(QUICK).await;
    let mut client = Http2::open(&world.stage, &plain()).await;
    client.raw.write(request(1, "/livez", "")).await;
    client.until(http2::DATA).await;
    // It lives, and wants nothing.
    client.raw.write(frame(http2::PING, 0, 0, b"12345678")).await;
    client.until(http2::PING).await;
    client.until(http2::GO_AWAY).await;
    client.raw.read_to_end().await;

    // A stream that is open is not nothing.
    let mut client = Http2::open(&world.stage, &plain()).await;
    client.raw.write(request(1, "/v1/events", &bearer("alice"))).await;
    client.until(http2::DATA).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let cancel = people::path(&world.call, "cancel");
    world.stage.http.post(&cancel, &bearer("alice"), serde_json::json!({})).await.expect(200);
    client.until(http2::DATA).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_whole_over_http2_ends_the_connection() {
    let world = World::with(QUICK).await;
    let mut client = Raw::open(&world.stage).await;
    let begun = frame(http2::HEADERS, 0, 1, &head("GET", "/livez", ""));
    client.write([http2::PREFACE, &plain(), &begun].concat()).await;
    client.read_to_end().await;
    // Nor on one that has been of use before.
    let mut client = Http2::open(&world.stage, &plain()).await;
    client.raw.write(request(1, "/livez", "")).await;
    client.until(http2::DATA).await;
    client.raw.write(frame(http2::HEADERS, 0, 3, &head("GET", "/livez", ""))).await;
    client.raw.read_to_end().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_dropped() {
    let world = World::with(QUICK).await;
    let ask = "GET /openapi.json HTTP/1.1\r\nhost: gateway\r\n\r\n".repeat(20);
    let mut client = Raw::open_narrow(&world.stage).await;
    tokio::join!(client.flood_unread(ask.as_bytes()), world.expect_honest_call());
    world.expect_metric("bellwire_limited_total{limit=\"send_timeout\"}", |count| count == 1).await;

    // Over HTTP/2, with windows as wide as they can be.
    let mut client = Raw::open_narrow(&world.stage).await;
    let wide = frame(http2::WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    client.write([http2::PREFACE, &setting(http2::INITIAL_WINDOW, 0x7fff_ffff), &wide].concat()).await;
    for number in 0..100 {
        client.write(request(2 * number + 1, "/openapi.json", "")).await;
    }
    world.expect_metric("bellwire_limited_total{limit=\"send_timeout\"}", |count| count >= 2).await;
    world.expect_honest_call().await;
}
