//! A real LiveKit server accepts the tokens that the gateway gives, and only those.
//!
//! It runs where there is one: `BELLWIRE_TEST_LIVEKIT` names it, or `livekit-server` is on the path.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Http, Reply, SOON, Stage, bearer, claims};

/// The key of a server in its development mode.
const SECRET: &str = "secret";

/// A running server, which ends with this value.
struct LiveKit {
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
    async fn start() -> Option<Self> {
        let Some(binary) = binary() else {
            println!("SKIPPED: no livekit-server on the path, and BELLWIRE_TEST_LIVEKIT is not set");
            return None;
        };
        // It cannot be told to choose a port itself, so one that is free now may be taken by then: another try.
        for _ in 0..5 {
            let http = free_tcp_port();
            let config = format!("port: {http}\nrtc:\n  tcp_port: 0\n  udp_port: {}\n", free_udp_port());
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

    async fn validate(&self, token: &str) -> Reply {
        Http::send(self.http.request(Method::GET, &format!("/rtc/validate?access_token={token}"))).await
    }

    async fn expect_accepted(&self, livekit: &Value) {
        let reply = self.validate(livekit["token"].as_str().expect("a token")).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, "success"));
    }
}

fn free_tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

#[tokio::test]
async fn it_accepts_the_tokens_of_both_parties() {
    let Some(livekit) = LiveKit::start().await else { return };
    let url = livekit.http.base().replacen("http", "ws", 1);
    let stage =
        Stage::with(&format!("[livekit]\nurl = \"{url}\"\napi_key = \"devkey\"\napi_secret = \"{SECRET}\"")).await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    for media in ["audio", "video"] {
        let body = json!({"callee": "bob", "media": media});
        let answer = stage.http.post("/v1/calls", &bearer("alice"), body).await.expect(201);
        assert_eq!(answer["livekit"]["url"], url);
        livekit.expect_accepted(&answer["livekit"]).await;
        let call = &answer["call"]["id"];
        let answered = stage.answer(&iphone, call).await;
        livekit.expect_accepted(&answered["livekit"]).await;
        let fresh = stage.http.post(&path(call, "token"), &bearer("alice"), json!({})).await.expect(200);
        livekit.expect_accepted(&fresh["livekit"]).await;
        stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn it_refuses_a_token_that_was_changed_or_is_over() {
    let Some(livekit) = LiveKit::start().await else { return };
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let answer = stage.invite("alice", "bob").await;
    livekit.expect_accepted(&answer["livekit"]).await;
    let token = answer["livekit"]["token"].as_str().expect("a token");
    let (head, signature) = token.rsplit_once('.').expect("a signature");
    let (first, _) = head.split_once('.').expect("a header");
    let mut other_room = claims(&answer["livekit"]["token"]);
    other_room["video"]["room"] = json!("another");
    let other_room = data_encoding::BASE64URL_NOPAD.encode(other_room.to_string().as_bytes());
    let first_of_signature = if signature.starts_with('A') { 'B' } else { 'A' };
    for changed in [
        format!("{head}.{first_of_signature}{}", &signature[1..]),
        format!("{first}.{other_room}.{signature}"),
        format!("{head}."),
    ] {
        assert_eq!(livekit.validate(&changed).await.status, 401);
    }

    // As it will be when its time is over, a minute's skew of clocks included.
    let mut over = claims(&answer["livekit"]["token"]);
    let now = stage.clock.now().as_secs();
    (over["nbf"], over["exp"]) = (json!(now - 300), json!(now - 120));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let over = jsonwebtoken::encode(&Header::default(), &over, &key).expect("a token");
    assert_eq!(livekit.validate(&over).await.status, 401);
}
