//! A real LiveKit server on this machine, and what it says itself of its rooms.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bellwire::clock::Clock;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::child::Child;
use crate::support::{Http, SOON};

/// The key and secret of its API.
pub const API_KEY: &str = "e2e";
pub const API_SECRET: &str = "a-secret-of-livekit-for-tests-only";

/// How long the server may take to notice that a client is silent: it was seen to take 20 s to 22 s.
pub const NOTICES_SILENCE: Duration = Duration::from_secs(40);

/// A server, which may be down.
pub struct LiveKit {
    binary: PathBuf,
    port: u16,
    media_port: u16,
    http: Http,
    folder: TempDir,
    config: String,
    child: Option<Child>,
}

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("BELLWIRE_TEST_LIVEKIT").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        || std::env::split_paths(&path).map(|folder| folder.join("livekit-server")).find(|path| path.is_file());
    let found = named.or_else(on_path);
    if found.is_none() {
        println!("SKIPPED: no livekit-server on the path, and BELLWIRE_TEST_LIVEKIT is not set");
    }
    found
}

/// A port that nobody has, for TCP and UDP, and that the system gives to nobody by itself: servers are restarted on theirs.
fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new((std::process::id() % 10_000) as u16));
    let ports = std::iter::repeat_with(|| 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 12_000);
    let is_free = |port: &u16| {
        let media = ["127.0.0.1", "127.0.0.2"].map(|address| UdpSocket::bind((address, *port)).is_ok());
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && media == [true, true]
    };
    ports.take(1000).find(is_free).expect("a free port")
}

impl LiveKit {
    /// One that is not yet started. Without a livekit-server on this machine it says that the test is skipped, and gives none.
    pub fn new() -> Option<Self> {
        let (binary, port, media_port) = (binary()?, free_port(), free_port());
        let http = Http::new(format!("http://127.0.0.1:{port}"));
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { binary, port, media_port, http, folder, config: String::new(), child: None })
    }

    /// Its port for signalling and the API.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its UDP port for media.
    pub fn media_port(&self) -> u16 {
        self.media_port
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Starts it, with webhooks to this URL.
    pub async fn start(&mut self, webhooks: &str, auto_create: bool) {
        self.config = format!(
            r#"
port: {port}
bind_addresses: ["127.0.0.1"]
rtc:
  tcp_port: 0
  udp_port: {media}
  node_ip: 127.0.0.1
  use_external_ip: false
  enable_loopback_candidate: true
  use_ice_lite: true
  ips: {{includes: ["127.0.0.0/8"]}}
keys: {{{API_KEY}: {API_SECRET}}}
room: {{auto_create: {auto_create}}}
webhook: {{api_key: {API_KEY}, urls: ["{webhooks}"]}}
"#,
            port = self.port,
            media = self.media_port,
        );
        self.start_again().await;
    }

    /// Starts it once more, as it was.
    pub async fn start_again(&mut self) {
        self.child = Some(Child::spawn(&self.binary, &["--config-body", &self.config], self.folder.path()));
        let ready = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                assert!(!self.child.as_mut().is_some_and(Child::has_ended), "livekit-server does not start");
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(6 * SOON, ready).await.expect("livekit-server listens in time");
    }

    /// SIGKILL: nobody is told anything.
    pub fn kill(&mut self) {
        self.child = None;
    }

    /// Two SIGTERMs, of which the second does not wait for the calls to end; clients are sent away.
    pub async fn stop(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        let ended = async {
            while !child.has_ended() {
                child.signal("TERM");
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(SOON, ended).await.expect("it stops in time");
        self.child = None;
    }

    /// What it has logged.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has closed a room for so many times, as often as somebody made it anew.
    pub async fn closes(&self, room: &str, times: usize, within: Duration) {
        let closed = |line: &&str| line.contains("room closed") && line.contains(room);
        let often_enough = async {
            while self.told().lines().filter(closed).count() < times {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(within, often_enough).await.expect("the room is closed again");
    }

    /// Waits until it has the room, or has it no more.
    pub async fn until_it_has(&self, room: &str, there: bool) {
        while self.has_room(room).await != there {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn has_room(&self, room: &str) -> bool {
        let now = Clock::system().now().as_secs();
        let claims = json!({"iss": API_KEY, "nbf": now - 10, "exp": now + 60, "video": {"roomList": true}});
        let key = EncodingKey::from_secret(API_SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token");
        let asked = self.http.post("/twirp/livekit.RoomService/ListRooms", &token, json!({"names": [room]})).await;
        asked.expect(200)["rooms"].as_array().is_some_and(|rooms| !rooms.is_empty())
    }
}
