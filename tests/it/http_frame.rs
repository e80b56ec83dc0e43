//! The frame around every request: paths and methods, CORS, HTTP/2, connections, health, the end.
//!
//! What hostile requests meet is in `hostile`.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Http, SOON, Stage, bearer};

/// A connection of our own to the API.
struct Raw(TcpStream);

impl Raw {
    async fn connect(stage: &Stage) -> Self {
        Self(TcpStream::connect(stage.gateway.http).await.expect("a connection"))
    }

    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("sent");
    }

    /// Reads until what came ends with this text.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        let reading = async {
            while !text.ends_with(end) {
                text.push(char::from(self.0.read_u8().await.expect("more")));
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("in time");
        text
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(SOON, self.0.read_to_end(&mut bytes)).await;
        read.expect("in time").expect("the end");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[tokio::test]
async fn an_event_stream_is_written_as_its_request_asks() {
    let stage = Stage::new().await;
    let head = |line: &str| {
        format!(
            "{line}\r\nhost: gateway\r\naccept: text/event-stream\r\nauthorization: Bearer {}\r\n\r\n",
            bearer("alice")
        )
    };
    let mut raw = Raw::connect(&stage).await;
    raw.send(&head("GET /v1/events HTTP/1.1")).await;
    let text = raw.until("\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let date = text.lines().find_map(|line| line.strip_prefix("date: ")).expect("a date");
    assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    for line in ["content-type: text/event-stream", "transfer-encoding: chunked", "connection: close"] {
        assert_eq!(text.lines().filter(|said| *said == line).count(), 1, "{line}: {text}");
    }
    let snapshot = "data: {\"type\":\"snapshot\",\"calls\":[]}\nretry: 1000\n\n";
    assert_eq!(raw.until("\n\n\r\n").await, format!("{:x}\r\n{snapshot}\r\n", snapshot.len()));

    // A client of HTTP/1.0 knows no chunks.
    let mut raw = Raw::connect(&stage).await;
    raw.send(&head("GET /v1/events HTTP/1.0")).await;
    let text = raw.until("\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && !text.contains("chunked"), "{text}");
    assert_eq!(raw.until("\n\n").await, snapshot);

    // A head alone has nothing behind it: the answer to what comes next is next.
    let mut raw = Raw::connect(&stage).await;
    raw.send(&head("HEAD /v1/events HTTP/1.1")).await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    raw.send(&head("GET /v1 HTTP/1.1")).await;
    assert!(raw.until("\r\n\r\n").await.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problems() {
    let stage = Stage::new().await;
    for path in ["/", "/v1", "/v1/calls/", "/v2/calls", "/v1/calls/x/y/z", "/metrics"] {
        stage.http.get(path, &bearer("alice")).await.expect_problem(404, "not-found");
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/calls", "GET,HEAD,POST"),
        (Method::PUT, "/v1/bans", "GET,HEAD"),
        (Method::PATCH, "/v1/devices/x", "PUT,DELETE"),
        (Method::OPTIONS, "/v1/devices", "GET,HEAD"),
    ] {
        let reply = Http::send(stage.http.request(method.clone(), path).bearer_auth(bearer("alice"))).await;
        let mut allow: Vec<&str> = reply.headers["allow"].to_str().expect("text").split(',').map(str::trim).collect();
        let mut expected: Vec<&str> = allowed.split(',').collect();
        allow.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allow, expected, "{method} {path}");
        reply.expect_problem(405, "method-not-allowed");
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let stage = Stage::new().await;
    for path in ["/v1/calls", "/v1/devices", "/livez", "/openapi.json"] {
        let get = stage.http.get(path, &bearer("alice")).await;
        let head = Http::send(stage.http.request(Method::HEAD, path).bearer_auth(bearer("alice"))).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""));
        assert_eq!(head.headers.get("content-type"), get.headers.get("content-type"));
    }
}

#[tokio::test]
async fn browsers_of_listed_origins_may_call_and_no_others() {
    const ORIGIN: &str = "https://app.example.com";
    let with = Stage::configured("", |config| config.http.cors_origins = vec![ORIGIN.to_owned()]).await;
    let without = Stage::new().await;
    let preflight = async |stage: &Stage, origin: &str, header: &str| {
        let request = stage.http.request(Method::OPTIONS, "/v1/calls").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        Http::send(request.header("access-control-request-headers", header)).await
    };
    for header in ["authorization", "content-type", "idempotency-key", "last-event-id", "traceparent"] {
        let reply = preflight(&with, ORIGIN, header).await;
        assert_eq!(
            (reply.status, &reply.headers["access-control-allow-origin"]),
            (200, &ORIGIN.parse().expect("a value"))
        );
        let allowed = reply.headers["access-control-allow-headers"].to_str().expect("text");
        assert!(allowed.split(',').any(|one| one == header), "{allowed}");
        let methods = reply.headers["access-control-allow-methods"].to_str().expect("text");
        assert!(["GET", "POST", "PUT", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
    }
    let get = async |stage: &Stage, origin: &str| {
        let request = stage.http.request(Method::GET, "/v1/calls").header("origin", origin);
        Http::send(request.bearer_auth(bearer("alice"))).await
    };
    let reply = get(&with, ORIGIN).await;
    assert_eq!(reply.headers["access-control-allow-origin"], ORIGIN);
    assert!(reply.headers["access-control-expose-headers"].to_str().expect("text").contains("location"));
    // A refusal, too, can be read by the page that gets it.
    let refused = Http::send(with.http.request(Method::GET, "/v1/calls").header("origin", ORIGIN)).await;
    assert_eq!(refused.headers["access-control-allow-origin"], ORIGIN);
    refused.expect_problem(401, "token-missing");

    for (stage, origin) in [(&with, "https://evil.example.com"), (&with, "null"), (&without, ORIGIN)] {
        assert!(!get(stage, origin).await.headers.contains_key("access-control-allow-origin"));
        let reply = preflight(stage, origin, "authorization").await;
        assert!(!reply.headers.contains_key("access-control-allow-origin"), "{origin}");
    }
}

#[tokio::test]
async fn http2_is_spoken_to_who_begins_with_it() {
    let stage = Stage::new().await;
    let http = stage.http.http2();
    let requests = (0..50).map(|_| http.get("/v1/calls", "x"));
    for reply in futures_util::future::join_all(requests).await {
        reply.expect_problem(401, "token-malformed");
    }
    let request = http.request(Method::GET, "/v1/events").bearer_auth(bearer("alice"));
    let mut events = crate::support::Sse::of(request).await;
    assert_eq!(events.next().await["type"], "snapshot");
    let answer = http.post("/v1/calls", &bearer("alice"), json!({"callee": "bob", "media": "audio"})).await.expect(201);
    events.until("call.ended", &answer["call"]["id"]).await;
}

#[tokio::test]
async fn a_websocket_can_be_opened_over_http2() {
    let stage = Stage::new().await;
    let stream = TcpStream::connect(stage.gateway.http).await.expect("a connection");
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("ready");
    let settled = async {
        // Whether the server knows it comes with its settings.
        while !client.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, settled).await.expect("the settings say so");
    let request = http::Request::builder()
        .method("CONNECT")
        .uri(format!("http://{}/v1/events", stage.gateway.http))
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", format!("bellwire.v1, bearer.{}", bearer("alice")))
        .body(())
        .expect("a request");
    let (response, mut sending) = client.send_request(request, false).expect("sent");
    let response = response.await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["sec-websocket-protocol"]),
        (200, &"bellwire.v1".parse().expect("a value"))
    );
    let mut body = response.into_body();
    let mut frames = Vec::new();
    while !frames.ends_with(b"]}") {
        frames.extend(tokio::time::timeout(SOON, body.data()).await.expect("in time").expect("more").expect("data"));
    }
    // One unmasked text frame (RFC 6455, section 5.2).
    assert_eq!((frames[0], &frames[2..]), (0x81, &b"{\"type\":\"snapshot\",\"calls\":[]}"[..]));
    sending.send_data(Bytes::from_static(&[0x88, 0x80, 0, 0, 0, 0]), true).expect("closed");
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let stage = Stage::new().await;
    let mut raw = Raw::connect(&stage).await;
    for _ in 0..3 {
        raw.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.until("\r\n\r\nok\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    // Two at once are answered in order; and a close that is asked for comes.
    raw.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /no HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(raw.until("\r\n\r\nok\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(raw.rest().await.starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_the_api_on_one() {
    let stage = Stage::new().await;
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    for http in [&stage.http, &ops] {
        let live = Http::send(http.request(Method::GET, "/livez")).await;
        assert_eq!((live.status, live.text.as_str()), (200, "ok\n"));
        let ready = Http::send(http.request(Method::GET, "/readyz")).await.expect(200);
        assert_eq!(ready["ready"], true);
        let parts = ready["parts"].as_array().expect("parts");
        let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().expect("a name")).collect();
        for part in
            ["store", "apns com.example.phone production", "apns com.example.phone sandbox", "fcm com.example.phone"]
        {
            assert!(names.contains(&part), "{names:?}");
        }
        assert!(parts.iter().all(|part| part["ok"].is_boolean() && part["detail"].is_string()), "{ready}");
    }
    for path in ["/v1/calls", "/v1/events", "/openapi.json"] {
        ops.get(path, &bearer("alice")).await.expect_problem(404, "not-found");
    }
    let wrong = Http::send(ops.request(Method::POST, "/readyz")).await;
    wrong.expect_problem(405, "method-not-allowed");
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_finishes_what_it_began() {
    let stage = Stage::new().await;
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    let body = json!({"callee": "bob", "media": "audio"}).to_string();
    let mut raw = Raw::connect(&stage).await;
    raw.send(&format!(
        "POST /v1/calls HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        bearer("alice"),
        body.len()
    ))
    .await;
    assert_eq!(raw.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n", "the request is under way");
    let idle = Raw::connect(&stage).await;
    let address = stage.gateway.http;
    let stopping = tokio::spawn(stage.gateway.stop());
    let draining = async {
        while Http::send(ops.request(Method::GET, "/readyz")).await.status != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, draining).await.expect("it says that it is not ready");
    let unready = Http::send(ops.request(Method::GET, "/readyz")).await.expect(503);
    assert_eq!((&unready["ready"], &unready["parts"][0]["ok"]), (&json!(false), &json!(true)));
    assert_eq!(Http::send(ops.request(Method::GET, "/livez")).await.status, 200);
    let mut idle = idle;
    assert_eq!(idle.rest().await, "", "connections without a request are let go");
    assert!(TcpStream::connect(address).await.is_err(), "and no new ones taken");

    raw.send(&body).await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    let stopped = tokio::time::timeout(SOON, stopping).await.expect("in time").expect("no panic");
    stopped.expect("gently");
}
