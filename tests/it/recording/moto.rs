//! The storage against a real S3 server: moto, from `PyPI`.
//!
//! `BELLWIRE_TEST_MOTO` names its program, or `target/e2e-venv` has it; where neither is, tests say SKIPPED. moto takes any signature,
//! so that signatures, keys and times are checked by the stand-in (`s3`), and in docs/RECORDING.md it stands what else was tried.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::Secret;
use bellwire::config::recording::S3 as Config;
use bellwire::livekit::storage::{Storage, StorageError};
use reqwest::Method;

use crate::support::ports::free_port;
use crate::support::{SOON, plain_client};

struct Moto {
    port: u16,
    process: Child,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BELLWIRE_TEST_MOTO") {
        return Some(path.into());
    }
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/e2e-venv/bin/moto_server"));
    path.is_file().then_some(path)
}

impl Moto {
    async fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!("SKIPPED: no moto_server in target/e2e-venv, and BELLWIRE_TEST_MOTO is not set");
            return None;
        };
        let port = free_port();
        let mut command = Command::new(program);
        let command = command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let moto = Self { port, process: process.expect("moto starts") };
        let listens = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(6 * SOON, listens).await.expect("moto listens");
        moto.request(Method::PUT, "calls", "").await;
        Some(moto)
    }

    fn config(&self, bucket: &str) -> Config {
        Config {
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            link_endpoint: None,
            access_key: "key".to_owned(),
            secret: Secret::new("secret"),
            force_path_style: true,
        }
    }

    /// Asks as somebody who needs no key.
    async fn request(&self, method: Method, path: &str, body: &str) -> u16 {
        let url = format!("http://127.0.0.1:{}/{path}", self.port);
        let response = plain_client().request(method, url).body(body.to_owned()).send().await.expect("an answer");
        response.status().as_u16()
    }
}

/// What is behind a link; with another host than it says, where its own has no address.
async fn fetch(url: &str, host: Option<&str>) -> (u16, Vec<u8>) {
    let mut request = plain_client().get(url);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.bytes().await.expect("bytes").to_vec())
}

#[tokio::test]
async fn a_link_downloads_the_very_bytes_until_they_are_erased() {
    let Some(moto) = Moto::start().await else { return };
    let clock = Clock::system();
    let storage = Storage::new(&moto.config("calls")).expect("a storage");
    assert!(storage.probe(clock.now()).await.expect("the bucket").contains("calls"));
    let body = "the very bytes".repeat(1000);
    assert_eq!(moto.request(Method::PUT, "calls/recordings/1.mp4", &body).await, 200);
    let ttl = Duration::from_mins(1);
    let link = storage.link("calls", "recordings/1.mp4", ttl, clock.now()).expect("a link");
    assert_eq!(fetch(&link.url, None).await, (200, body.into_bytes()));
    assert!(!format!("{link:?} {storage:?}").contains("X-Amz"));
    for _ in 0..2 {
        storage.erase("calls", "recordings/1.mp4", clock.now()).await.expect("erased");
    }
    assert_eq!(fetch(&link.url, None).await.0, 404);
    let missing = Storage::new(&moto.config("elsewhere")).expect("a storage");
    assert!(matches!(missing.probe(clock.now()).await, Err(StorageError::Refused(status)) if status == 404));
}

#[tokio::test]
async fn a_bucket_may_stand_in_the_host_and_devices_may_have_an_endpoint_of_their_own() {
    let Some(moto) = Moto::start().await else { return };
    assert_eq!(moto.request(Method::PUT, "calls/2.mp4", "bytes").await, 200);
    let link_endpoint = Some("https://storage.example.com/s3".to_owned());
    let by_path = Config { link_endpoint: link_endpoint.clone(), ..moto.config("calls") };
    let by_host = Config { force_path_style: false, link_endpoint, ..moto.config("calls") };
    let (now, ttl) = (Clock::system().now(), Duration::from_mins(1));
    let link = |config: &Config| {
        let config = Config { endpoint: Some("https://s3.example.com".to_owned()), ..config.clone() };
        Storage::new(&config).expect("a storage").link("calls", "2.mp4", ttl, now).expect("a link").url
    };
    assert!(link(&by_path).starts_with("https://storage.example.com/s3/calls/2.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
    let url = link(&by_host);
    assert!(url.starts_with("https://calls.storage.example.com/s3/2.mp4?"), "{url}");
    // moto knows a bucket in the host by AWS's names.
    let aws = Config { force_path_style: false, endpoint: None, ..moto.config("calls") };
    let url = Storage::new(&aws).expect("a storage").link("calls", "2.mp4", ttl, now).expect("a link").url;
    let (_, path) = url.split_once("https://calls.s3.us-east-1.amazonaws.com/").expect("AWS's host");
    let at_moto = format!("http://127.0.0.1:{}/{path}", moto.port);
    assert_eq!(fetch(&at_moto, Some("calls.s3.us-east-1.amazonaws.com")).await, (200, b"bytes".to_vec()));
}
