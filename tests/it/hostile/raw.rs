//! HTTP/1.1 by hand, for what no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Reply, SOON, Stage};

/// A connection on which bytes are written as they are.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn open(stage: &Stage) -> Self {
        Self::open_to(stage.gateway.http).await
    }

    pub async fn open_to(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Opens one from another address of this machine.
    pub async fn open_from(stage: &Stage, address: [u8; 4]) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((address, 0).into()).expect("an address");
        Self(socket.connect(stage.gateway.http).await.expect("a connection"))
    }

    /// Opens one that takes little before it is read.
    pub async fn open_narrow(stage: &Stage) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a size");
        Self(socket.connect(stage.gateway.http).await.expect("a connection"))
    }

    /// Writes without end, while what comes is read and thrown away, until the server closes the connection.
    pub async fn flood(&mut self, bytes: &[u8]) {
        let (mut reading, mut writing) = self.0.split();
        let flood = async { while writing.write_all(bytes).await.is_ok() {} };
        let read = async {
            let mut chunk = vec![0; 65536];
            while let Ok(1..) = reading.read(&mut chunk).await {}
        };
        let ended = async { tokio::join!(flood, read) };
        tokio::time::timeout(SOON, ended).await.expect("the server closes the connection");
    }

    /// Writes without end and reads nothing until the server closes the connection.
    pub async fn flood_unread(&mut self, bytes: &[u8]) {
        let flood = async { while self.0.write_all(bytes).await.is_ok() {} };
        tokio::time::timeout(SOON, flood).await.expect("the server closes the connection");
    }

    /// Writes; a server that has answered and closed already is no error.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Writes no more.
    pub async fn end(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads what comes next; nothing, if the server closes the connection.
    pub async fn read_some(&mut self) -> Vec<u8> {
        let mut chunk = vec![0; 4096];
        let read = tokio::time::timeout(SOON, self.0.read(&mut chunk)).await.expect("an answer in time");
        chunk.truncate(read.unwrap_or_default());
        chunk
    }

    /// Reads until the server closes the connection, which it must do soon.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = async {
            let mut chunk = [0; 4096];
            // A reset is an end too; what came before it counts.
            while let Ok(read @ 1..) = self.0.read(&mut chunk).await {
                bytes.extend_from_slice(&chunk[..read]);
            }
        };
        tokio::time::timeout(SOON, read).await.expect("the server closes the connection");
        bytes
    }

    /// Reads the one answer on a connection that the server closes.
    pub async fn reply(&mut self) -> Reply {
        let bytes = self.read_to_end().await;
        reply(&String::from_utf8(bytes).expect("text"))
    }

    /// Writes a byte now and then until the server closes the connection, and gives its answer.
    pub async fn trickle(&mut self, byte: u8, every: Duration) -> Vec<u8> {
        let (mut reading, mut writing) = self.0.split();
        let mut bytes = Vec::new();
        let trickle = async {
            loop {
                tokio::time::sleep(every).await;
                if writing.write_all(&[byte]).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let read = async {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = reading.read(&mut chunk).await {
                bytes.extend_from_slice(&chunk[..read]);
            }
        };
        tokio::select! {
            () = trickle => {}
            ended = tokio::time::timeout(SOON, read) => ended.expect("the server gives up"),
        }
        bytes
    }
}

/// Sends one request as it is and reads the answer.
pub async fn send(stage: &Stage, request: impl AsRef<[u8]>) -> Reply {
    let mut raw = Raw::open(stage).await;
    raw.write(request).await;
    raw.reply().await
}

/// A request whose head is this line, these headers, and those that every request needs.
pub fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut lines = vec![format!("{line} HTTP/1.1"), "host: gateway".into(), "connection: close".into()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    let mut bytes = format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Requests that no limit counts, with the status that each is answered with; browsers of [`ORIGIN`] may call.
pub fn without_limit() -> [(String, u16); 4] {
    let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nhost: gateway\r\n{headers}\r\n");
    let preflight = format!("origin: {ORIGIN}\r\naccess-control-request-method: POST\r\n");
    let webhook = "/v1/livekit/webhook";
    [
        (head("OPTIONS /v1/calls", &preflight), 200),
        (head("GET /v1/calls", &"x: y\r\n".repeat(120)), 431),
        (head(&format!("GET {webhook}"), ""), 405),
        (head(&format!("POST {webhook}"), &("authorization: a\r\n".repeat(2) + "content-length: 0\r\n")), 400),
    ]
}

/// The origin of those browsers.
pub const ORIGIN: &str = "https://app.example.com";

/// Reads an answer's text.
pub fn reply(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status").parse().expect("a number");
    let headers: HeaderMap = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value.trim()).expect("a value"))
        })
        .collect();
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    Reply { status, headers, text: body.to_owned(), json }
}
