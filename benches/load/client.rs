//! A keep-alive connection to the service that does HTTP/1.1 and no more than this program needs, to cost next to nothing.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::deadline::{ANSWERED, within};

/// A connection, for one request at a time.
pub struct Client {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = within(ANSWERED, "connected", async { Ok(TcpStream::connect(address).await?) }).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address, buffer: Vec::with_capacity(1024) })
    }

    /// Sends a JSON body and gives the answer's, which must have this status.
    pub async fn send(&mut self, request: Request<'_>, status: u16) -> Result<&[u8], Failure> {
        let Request { method, path, token, body } = request;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        let (found, answer) = within(ANSWERED, "answered", self.exchange(&request)).await?;
        if found != status {
            let text = String::from_utf8_lossy(answer);
            return Err(format!("{method} {path}: {found} in place of {status}: {text}").into());
        }
        Ok(answer)
    }

    /// Opens the event stream, and returns when the snapshot is there. Nothing is said on it after that, nor read.
    pub async fn listen(&mut self, token: &str, transport: Transport) -> Result<(), Failure> {
        within(ANSWERED, "answered", self.snapshot(token, transport)).await
    }

    async fn snapshot(&mut self, token: &str, transport: Transport) -> Result<(), Failure> {
        let how = match transport {
            Transport::Sse => "accept: text/event-stream",
            Transport::WebSocket => {
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: bellwire.v1"
            }
        };
        let request = format!(
            "GET /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n{how}\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let snapshot = br#""snapshot""#;
        while !self.buffer.windows(snapshot.len()).any(|bytes| bytes == snapshot) {
            self.read().await?;
            // It may leave the connection open after a refusal: nothing would come any more.
            if self.buffer.get(9..12).is_some_and(|status| status != b"200" && status != b"101") {
                return Err(format!("no stream: {}", String::from_utf8_lossy(&self.buffer)).into());
            }
        }
        self.buffer = Vec::new();
        Ok(())
    }

    async fn exchange(&mut self, request: &str) -> Result<(u16, &[u8]), Failure> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.get(9..12).ok_or("no status line")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = head_end + length.ok_or("an answer without its length")?.parse::<usize>()?;
        while self.buffer.len() < end {
            self.read().await?;
        }
        Ok((status, &self.buffer[head_end..end]))
    }

    async fn read(&mut self) -> Result<(), Failure> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            let said = String::from_utf8_lossy(&self.buffer);
            return Err(format!("the service closed a connection: {said}").into());
        }
        Ok(())
    }
}

/// How events come.
#[derive(Clone, Copy)]
pub enum Transport {
    WebSocket,
    Sse,
}

/// A request with a JSON body.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub token: &'a str,
    pub body: &'a str,
}
