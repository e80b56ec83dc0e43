//! The control port, asked over real HTTP/1.1.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Ask, Client, DEVICE, start};
use crate::clock::Clock;
use crate::domain::Environment;
use crate::simulator::{Options, Simulator};

/// A simulator with a control port, and who asks it.
struct Controlled {
    simulator: Simulator,
    clock: Clock,
    http: reqwest::Client,
    url: String,
}

impl Controlled {
    async fn start() -> Self {
        let clock = Clock::system();
        let control = Some("127.0.0.1:0".parse().expect("an address"));
        let options = Options { control, ..Options::new(clock.clone()) };
        let simulator = Simulator::start(options).await.expect("it starts");
        let url = simulator.control_url().expect("a control port");
        let tls =
            rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
        let http = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().expect("a client");
        Self { simulator, clock, http, url }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_owned());
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What is said to a push, on a connection of its own.
    async fn push(&self) -> (u16, Value) {
        let reply = Client::to_apns(&self.simulator).await.get(Ask::voip(&self.simulator, &self.clock)).await;
        (reply.status, reply.body["reason"].clone())
    }
}

#[tokio::test]
async fn rules_are_put_listed_and_removed() {
    let it = Controlled::start().await;
    let (status, rule) = it.ask(Method::POST, "/rules", r#"{"line": "apns 503 times 1"}"#).await;
    assert_eq!((status, &rule["id"], &rule["befell"]), (201, &json!("rule-1"), &json!(0)));
    assert_eq!(it.push().await, (503, json!("ServiceUnavailable")));
    assert_eq!(it.push().await.0, 200);
    assert_eq!(it.get("/rules/rule-1").await["befell"], 1);

    let fields = r#"{"provider": "apns", "fault": 429, "share": 100, "token": "ff", "retry_after": "2s"}"#;
    let (status, rule) = it.ask(Method::PUT, "/rules/busy", fields).await;
    assert_eq!((status, &rule["line"]), (201, &json!("apns TooManyRequests retry-after 2s for ff")));
    let again = rule["rule"].to_string();
    assert_eq!(it.ask(Method::PUT, "/rules/busy", &again).await, (200, rule), "what is shown makes the same rule");
    assert_eq!(it.push().await.0, 200, "another token");

    let ids: Vec<_> =
        it.get("/rules").await["rules"].as_array().expect("a list").iter().map(|rule| rule["id"].clone()).collect();
    assert_eq!(ids, ["rule-1", "busy"]);
    assert_eq!(it.ask(Method::DELETE, "/rules/busy", "").await.0, 204);
    assert_eq!(it.ask(Method::DELETE, "/rules/busy", "").await.0, 404);
    assert_eq!(it.ask(Method::DELETE, "/rules", "").await.0, 204);
    assert_eq!(it.get("/rules").await["rules"], json!([]));
}

#[tokio::test]
async fn the_record_is_asked_by_filters() {
    let it = Controlled::start().await;
    let client = Client::to_apns(&it.simulator).await;
    let headers = Ask::voip(&it.simulator, &it.clock).headers;
    for (token, kind, call) in
        [("aa", "ring", "c1"), ("bb", "ring", "c1"), ("aa", "cancel", "c1"), ("aa", "ring", "c2")]
    {
        let body = json!({"type": kind, "call_id": call}).to_string();
        client.get(Ask { headers: headers.clone(), ..Ask::post(format!("/3/device/{token}"), body) }).await;
    }
    client.get(Ask { headers: headers.clone(), ..Ask::post("/3/device/zz".to_owned(), "{}".to_owned()) }).await;
    for (query, numbers) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("call=c1", &[1, 2, 3]),
        ("call=c1&kind=ring", &[1, 2]),
        ("token=aa&kind=ring", &[1, 4]),
        ("token=%61a&since=1", &[3, 4]),
        ("kind=voip", &[1, 2, 3, 4, 5]),
        ("app=com.example.phone&limit=2", &[1, 2]),
        ("provider=fcm", &[]),
        ("provider=apns&status=400", &[5]),
        ("since=2026-01-31T12:00:00Z&call=c2", &[4]),
        ("since=9026-01-31T12:00:00Z", &[]),
    ] {
        let found = it.get(&format!("/requests?{query}")).await;
        let found: Vec<_> = found["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["number"].as_u64().expect("a number"))
            .collect();
        assert_eq!(found, numbers, "{query}");
    }
    let page = it.get("/requests?limit=2&since=1").await;
    assert_eq!((&page["last"], &page["requests"][1]["body"]), (&json!(3), &json!({"type": "cancel", "call_id": "c1"})));
    assert_eq!(page["requests"][0]["headers"]["authorization"], "bearer …");

    let counts = it.get("/counts").await;
    assert_eq!(counts["total"], 5);
    assert_eq!(
        counts["counts"],
        json!([
            {"provider": "apns", "kind": "ring", "status": 200, "reason": null, "count": 3},
            {"provider": "apns", "kind": "cancel", "status": 200, "reason": null, "count": 1},
            {"provider": "apns", "kind": null, "status": 400, "reason": "BadDeviceToken", "count": 1},
        ])
    );
    assert_eq!(it.ask(Method::DELETE, "/requests", "").await.0, 204);
    assert_eq!(it.get("/requests").await, json!({"requests": [], "last": 0}));
    assert_eq!(it.get("/counts").await["total"], 0);
    it.push().await;
    assert_eq!(it.get("/requests").await["requests"][0]["number"], 6, "numbers go on");
}

#[tokio::test]
async fn the_next_request_is_waited_for() {
    let it = Controlled::start().await;
    it.push().await;
    let asked = it.get("/requests?since=1&count=2&wait=30s");
    let pushed = async {
        it.push().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = Instant::now();
        it.push().await;
        before
    };
    let (found, before) = tokio::join!(asked, pushed);
    assert_eq!((found["requests"].as_array().map(Vec::len), &found["last"]), (Some(2), &json!(3)));
    assert!(before.elapsed() < Duration::from_secs(10), "it did not wait to the end");
    let started = Instant::now();
    let found = it.get("/requests?since=3&wait=100ms").await;
    assert_eq!((&found["requests"], &found["last"]), (&json!([]), &json!(3)));
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn tokens_keys_and_access_tokens_are_ordered() {
    let it = Controlled::start().await;
    let since = r#"{"unregistered_since": "2026-01-31T12:00:00Z"}"#;
    assert_eq!(it.ask(Method::PUT, &format!("/tokens/{DEVICE}"), since).await.0, 204);
    assert_eq!(it.push().await, (410, json!("Unregistered")));
    assert_eq!(it.get("/tokens").await["tokens"][0]["unregistered_since"], "2026-01-31T12:00:00.000Z");
    assert_eq!(it.ask(Method::DELETE, &format!("/tokens/{DEVICE}"), "").await.0, 204);
    assert_eq!(it.ask(Method::PUT, &format!("/tokens/{DEVICE}"), r#"{"environment": "sandbox"}"#).await.0, 204);
    assert_eq!(it.push().await, (400, json!("BadDeviceToken")));
    assert_eq!(it.ask(Method::POST, "/reset", "").await.0, 204);
    assert_eq!(it.push().await.0, 200);

    let (status, key) = it.ask(Method::PUT, "/apns-keys/NEWKEY0001", r#"{"environment": "production"}"#).await;
    assert_eq!(status, 201);
    assert!(key["key_pem"].as_str().expect("a key").starts_with("-----BEGIN PRIVATE KEY-----"));
    let own = it.simulator.credentials().apns_key_id.clone();
    assert_eq!(it.ask(Method::PUT, &format!("/apns-keys/{own}"), r#"{"until": "0s"}"#).await.0, 200);
    assert_eq!(it.push().await, (403, json!("InvalidProviderToken")));
    let keys = it.get("/apns-keys").await;
    assert_eq!(keys["apns_keys"].as_array().map(Vec::len), Some(2));
    assert!(!keys.to_string().contains("PRIVATE"));
    assert_eq!(it.ask(Method::DELETE, "/access-tokens", "").await.0, 204);
    let about = it.get("/").await;
    assert_eq!(
        (&about["apns"], &about["key_id"]),
        (&json!(it.simulator.apns_url(Environment::Production)), &json!(own))
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_field() {
    let it = Controlled::start().await;
    let long = format!("{{\"line\": \"{}\"}}", "x".repeat(70_000));
    let deep = "[".repeat(10_000);
    for (method, path, body, status, field) in [
        (Method::POST, "/rules", "", 400, "provider"),
        (Method::POST, "/rules", "{", 400, "body"),
        (Method::POST, "/rules", deep.as_str(), 400, "body"),
        (Method::POST, "/rules", "[1]", 400, "body"),
        (Method::POST, "/rules", long.as_str(), 413, "body"),
        (Method::POST, "/rules", r#"{"provider": "apns"}"#, 400, "fault"),
        (Method::POST, "/rules", r#"{"provider": "apns", "fault": 503, "shares": 1}"#, 400, "shares"),
        (Method::POST, "/rules", r#"{"provider": "apns", "fault": 503, "share": 101}"#, 400, "share"),
        (Method::POST, "/rules", r#"{"provider": ["apns"], "fault": 503}"#, 400, "provider"),
        (Method::POST, "/rules", r#"{"provider": "apns", "fault": 503, "token": "a b"}"#, 400, "token"),
        (Method::POST, "/rules", r#"{"line": "apns 503", "share": 1}"#, 400, "share"),
        (Method::POST, "/rules", r#"{"line": "apns 503 times x"}"#, 400, "line"),
        (Method::POST, "/rules?x=1", r#"{"line": "apns 503"}"#, 400, "x"),
        (Method::PUT, "/rules/a%20b", r#"{"line": "apns 503"}"#, 400, "id"),
        (Method::PUT, "/rules/a", r#"{"line": "apns 503", "id": "b"}"#, 400, "id"),
        (Method::PUT, "/rules", r#"{"line": "apns 503"}"#, 405, "method"),
        (Method::GET, "/rules/none", "", 404, "id"),
        (Method::GET, "/nothing", "", 404, "path"),
        (Method::GET, "/rules/%zz", "", 400, "path"),
        (Method::GET, "/rules/%ff", "", 400, "path"),
        (Method::GET, "/requests?calls=1", "", 400, "calls"),
        (Method::GET, "/requests?call=1&call=2", "", 400, "call"),
        (Method::GET, "/requests?call=", "", 400, "call"),
        (Method::GET, "/requests?call=%f", "", 400, "call"),
        (Method::GET, "/requests?provider=apple", "", 400, "provider"),
        (Method::GET, "/requests?since=noon", "", 400, "since"),
        (Method::GET, "/requests?since=-1", "", 400, "since"),
        (Method::GET, "/requests?limit=1001", "", 400, "limit"),
        (Method::GET, "/requests?limit=2&count=3", "", 400, "count"),
        (Method::GET, "/requests?wait=61s", "", 400, "wait"),
        (Method::GET, "/requests?status=ok", "", 400, "status"),
        (Method::GET, "/counts", "{}", 400, "body"),
        (Method::PUT, "/tokens/aa", "{}", 400, "body"),
        (Method::PUT, "/tokens/aa", r#"{"environment": "test"}"#, 400, "environment"),
        (Method::PUT, "/tokens/aa", r#"{"since": "now"}"#, 400, "since"),
        (Method::DELETE, "/tokens/aa", "", 404, "token"),
        (Method::PUT, "/apns-keys/short", "", 400, "id"),
        (Method::PUT, "/apns-keys/NEWKEY0001", r#"{"until": "soon"}"#, 400, "until"),
    ] {
        let (found, said) = it.ask(method.clone(), path, body).await;
        assert_eq!((found, &said["errors"][0]["field"]), (status, &json!(field)), "{method} {path} {said}");
        assert!(said["errors"][0]["detail"].as_str().is_some_and(|detail| detail.len() < 1000), "{said}");
    }
    assert_eq!(it.get("/rules").await["rules"], json!([]));
}

#[tokio::test]
async fn pages_in_a_browser_are_kept_out() {
    let it = Controlled::start().await;
    for (name, value) in [("origin", "https://example.com"), ("host", "rebound.example.com:80"), ("host", "")] {
        let reply = it.http.get(format!("{}/rules", it.url)).header(name, value).send().await.expect("an answer");
        assert_eq!(reply.status(), StatusCode::FORBIDDEN, "{name}: {value}");
        let said: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
        assert_eq!(said["errors"][0]["field"], name);
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:80", "10.0.0.1:9"] {
        let reply = it.http.get(format!("{}/rules", it.url)).header("host", host).send().await.expect("an answer");
        assert_eq!(reply.status(), StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn what_is_no_http_harms_nobody() {
    let it = Controlled::start().await;
    let address = it.url.trim_start_matches("http://");
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    for bytes in [
        "\0\u{1}\u{2}\r\n\r\n",
        "GET /rules HTTP/9.9\r\n\r\n",
        &huge,
        "POST /rules HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _ =
            tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("it is ended");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bytes:.20}");
    }
    it.get("/").await;
}

#[tokio::test]
async fn without_one_there_is_no_control_port() {
    let (simulator, _) = start(&[]).await;
    assert_eq!(simulator.control_url(), None);
}

#[tokio::test]
async fn what_is_said_of_a_known_token_may_change_though_there_are_enough() {
    let controlled = Controlled::start().await;
    let put = async |token: &str| {
        controlled.ask(Method::PUT, &format!("/tokens/{token}"), r#"{"environment":"sandbox"}"#).await.0
    };
    for number in 0..100_000 {
        controlled.simulator.belongs_to(&format!("{number:x}"), Environment::Production);
    }
    assert_eq!(put("one-too-many").await, 409);
    assert_eq!(put("ff").await, 204);
    let known = controlled.get("/tokens").await["tokens"].take();
    let changed = known.as_array().expect("tokens").iter().find(|token| token["token"] == "ff").expect("the token");
    assert_eq!(changed["environment"], "sandbox");
}

#[tokio::test]
async fn of_a_long_body_that_was_refused_a_little_is_kept() {
    let controlled = Controlled::start().await;
    let mut ask = Ask::voip(&controlled.simulator, &controlled.clock);
    ask.body = json!({"x": "x".repeat(200_000)}).to_string().into();
    let reply = Client::to_apns(&controlled.simulator).await.get(ask).await;
    assert_eq!((reply.status, &reply.body["reason"]), (413, &json!("PayloadTooLarge")));
    let shown = controlled.get("/requests").await["requests"][0].take();
    assert_eq!(shown["body"].as_str().map(str::len), Some(8 * 1024), "{shown}");
    assert_eq!(shown["bytes"], 200_008);
}
