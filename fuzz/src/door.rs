//! A whole gateway on an embedded store in memory, asked over HTTP on a socket, as anybody outside asks it.

use std::io::{self, Write};

use bellwire::app::Gateway;
use bellwire::clock::Clock;
use bellwire::config::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::signed;

const SECRET: &str = "a secret that the app's identity provider signs with";
/// Its SHA-256 stands in the configuration.
pub const SERVICE_KEY: &str = "bw_sk_a-key-of-the-backend-for-the-fuzzer";
/// After so many things that were taken the gateway begins anew, so that a run is not filled up with calls.
const MOST_TAKEN: u32 = 5000;

/// A gateway and a connection to it.
pub struct Door {
    runtime: Runtime,
    folder: TempDir,
    gateway: Option<Gateway>,
    connection: Option<TcpStream>,
    taken: u32,
    user: String,
}

/// What was answered.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Door {
    /// Starts a gateway that has no push provider and no limits of rates.
    pub fn open() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let parts =
            b"{\"alg\":\"HS256\",\"typ\":\"JWT\"}\n{\"iss\":\"https://id.example\",\"sub\":\"ann\",\"exp\":4102444800}";
        let user = signed::compose(parts, |signed| signed::hs256(SECRET, signed));
        // A file system in memory, where there is one: what is looked for is not in the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        let mut door = Self { runtime, folder, gateway: None, connection: None, taken: 0, user };
        door.start();
        door
    }

    /// Asks as a user, or as the backend.
    pub fn ask(&mut self, method: &str, path: &str, by_service: bool, body: &[u8]) -> Answer {
        if self.taken >= MOST_TAKEN {
            self.start();
        }
        let token = if by_service { SERVICE_KEY } else { &self.user };
        let mut request = Vec::with_capacity(512 + body.len());
        write!(
            request,
            "{method} {path} HTTP/1.1\r\nhost: fuzz\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .expect("in memory");
        request.extend_from_slice(body);
        let answer = self.exchange(&request).or_else(|_| self.exchange(&request)).expect("an answer");
        self.taken += u32::from(answer.status < 300);
        answer
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        let address = self.gateway.as_ref().expect("a gateway").http;
        let (kept, runtime) = (self.connection.take(), &self.runtime);
        let (answer, connection) = runtime.block_on(async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => TcpStream::connect(address).await?,
            };
            connection.write_all(request).await?;
            let (answer, goes_on) = read(&mut connection).await?;
            io::Result::Ok((answer, goes_on.then_some(connection)))
        })?;
        self.connection = connection;
        Ok(answer)
    }

    fn start(&mut self) {
        self.connection = None;
        if let Some(gateway) = self.gateway.take() {
            self.runtime.block_on(gateway.stop()).expect("stopped in time");
        }
        let store = self.folder.path().join("bellwire.redb");
        let _ = std::fs::remove_file(&store);
        let file = self.folder.path().join("bellwire.toml");
        std::fs::write(&file, configuration(&store.display().to_string())).expect("written");
        let config = Config::load(Some(&file), []).expect("a good configuration");
        let started = self.runtime.block_on(Gateway::start(&config, Clock::system(), true));
        self.gateway = Some(started.expect("started"));
        self.taken = 0;
    }
}

async fn read(connection: &mut TcpStream) -> io::Result<(Answer, bool)> {
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let header =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned));
    let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    while bytes.len() < end + length {
        if connection.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let goes_on = header("connection").is_none_or(|connection| connection != "close");
    Ok((Answer { status, body: bytes.split_off(end) }, goes_on))
}

fn configuration(store: &str) -> String {
    use data_encoding::HEXLOWER;
    use ring::digest::{SHA256, digest};
    let hash = HEXLOWER.encode(digest(&SHA256, SERVICE_KEY.as_bytes()).as_ref());
    format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        [auth]
        ticket_secret = "a-secret-for-the-tickets-of-the-fuzzer"
        service_keys = ["sha256:{hash}"]
        [[auth.users]]
        issuer = "https://id.example"
        algorithm = "HS256"
        secret = "{SECRET}"
        [store]
        url = "embedded:{store}"
        [livekit]
        url = "ws://127.0.0.1:7880"
        api_key = "key"
        api_secret = "a-secret-of-the-livekit-of-the-fuzzer"
        rooms = false
        [limits]
        ip = ""
        invites_per_user = ""
        invites_per_callee = ""
        invites_per_pair = ""
        tokens_per_user = ""
        registrations_per_user = ""
        new_tokens_per_user = ""
        "#
    )
}
