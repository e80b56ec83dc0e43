//! A real LiveKit server, and what it sends.
//!
//! `BELLWIRE_TEST_LIVEKIT` names the program, or `livekit-server` is on the path; where neither is, tests say SKIPPED.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bellwire::config::{LiveKit as Config, Secret};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use super::ports::free_port;
use super::{Http, Reply, SOON, Stage};

/// The key of a server in its development mode.
pub const API_KEY: &str = "devkey";
/// And its secret.
pub const API_SECRET: &str = "secret";

/// The lines of `[livekit]` for a server at this `ws://` URL.
pub fn section(url: &str) -> String {
    format!("[livekit]\nurl = \"{url}\"\napi_key = \"{API_KEY}\"\napi_secret = \"{API_SECRET}\"\n")
}

/// A running server, which ends with this value.
pub struct LiveKit {
    http: Http,
    _process: Process,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BELLWIRE_TEST_LIVEKIT") {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("livekit-server")).find(|path| path.is_file())
}

impl LiveKit {
    /// Starts a server whose configuration has these lines too.
    pub async fn start(more: &str) -> Option<Self> {
        let Some(binary) = binary() else {
            println!("SKIPPED: no livekit-server on the path, and BELLWIRE_TEST_LIVEKIT is not set");
            return None;
        };
        // It cannot be told to choose a port itself, so one that is free now may be taken by then: another try.
        for _ in 0..5 {
            let http = free_port();
            let config = format!("port: {http}\nrtc:\n  tcp_port: 0\n  udp_port: {}\n{more}", free_udp_port());
            let child = Command::new(&binary)
                .args(["--dev", "--bind", "127.0.0.1", "--node-ip", "127.0.0.1", "--config-body", &config])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("livekit-server starts");
            let mut process = Process(child);
            let address = format!("http://127.0.0.1:{http}");
            let ready = async {
                while tokio::net::TcpStream::connect(("127.0.0.1", http)).await.is_err() {
                    if process.0.try_wait().expect("its state").is_some() {
                        return false;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                true
            };
            if tokio::time::timeout(6 * SOON, ready).await.expect("livekit-server listens in time") {
                return Some(Self { http: Http::new(address), _process: process });
            }
        }
        panic!("livekit-server does not start");
    }

    /// Where clients connect to.
    pub fn url(&self) -> String {
        self.http.base().replacen("http", "ws", 1)
    }

    /// A gateway's configuration for this server.
    pub fn config(&self) -> Config {
        Config {
            url: self.url(),
            api_url: self.http.base().to_owned(),
            api_key: API_KEY.to_owned(),
            api_secret: Secret::new(API_SECRET),
            deployment: "main".to_owned(),
            rooms: true,
            webhook_keys: Vec::new(),
        }
    }

    /// Whether a client could join with this token, as the server says before one does.
    pub async fn validate(&self, token: &str) -> Reply {
        Http::send(self.http.request(Method::GET, &format!("/rtc/validate?access_token={token}"))).await
    }

    pub async fn expect_accepted(&self, livekit: &Value) {
        let reply = self.validate(livekit["token"].as_str().expect("a token")).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "success"));
    }
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Sent {
    pub authorization: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Takes webhooks, to be looked at.
pub struct Capture {
    url: String,
    sent: Mutex<mpsc::UnboundedReceiver<Sent>>,
}

impl Capture {
    pub async fn start() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let take = move |headers: HeaderMap, body: Bytes| {
            let sender = sender.clone();
            async move {
                let text = |name: &str| headers[name].to_str().expect("text").to_owned();
                let sent = Sent {
                    authorization: text("authorization"),
                    content_type: text("content-type"),
                    body: body.to_vec(),
                };
                // A test that has seen enough is gone.
                let _ = sender.send(sent);
                StatusCode::OK
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let router = Router::new().route("/", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, sent: Mutex::new(receiver) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next webhook.
    pub async fn next(&self) -> Sent {
        let mut sent = self.sent.lock().await;
        tokio::time::timeout(SOON, sent.recv()).await.expect("a webhook in time").expect("a webhook")
    }
}

impl<G> Stage<G> {
    /// Sends a webhook to the gateway.
    pub async fn webhook(&self, authorization: &str, body: &[u8]) -> Reply {
        let request = self.http.request(Method::POST, "/v1/livekit/webhook").header("authorization", authorization);
        Http::send(request.header("content-type", "application/webhook+json").body(body.to_vec())).await
    }
}
