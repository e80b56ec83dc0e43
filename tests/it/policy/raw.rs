//! A server that answers with any bytes at all, and may be slow about it or break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a server does once it has a request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Says this, and waits for the next request.
    Say(String),
    /// Says this, and then these bytes one at a time, with a pause before each, without an end.
    Drip(String, Duration),
    /// Says this again and again, without an end.
    Flood(String, String),
    /// Resets the connection.
    Reset,
    /// Says nothing, ever.
    Nothing,
}

/// A running server; it ends when it is dropped.
pub struct Raw {
    pub url: String,
    asked: Arc<AtomicUsize>,
    connected: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Raw {
    pub async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/ask", listener.local_addr().expect("an address"));
        let (asked, connected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, connections) = (Arc::clone(&asked), Arc::clone(&connected));
        let serving = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                connections.fetch_add(1, Ordering::SeqCst);
                clients.spawn(serve(stream, act.clone(), Arc::clone(&counted)));
            }
        });
        Self { url, asked, connected, serving }
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Over how many connections.
    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::SeqCst)
    }
}

/// An answer with a status, headers and a body of the right length.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, act: Act, asked: Arc<AtomicUsize>) {
    while request(&mut stream).await.is_some() {
        asked.fetch_add(1, Ordering::SeqCst);
        let went_on = match &act {
            Act::Say(text) => stream.write_all(text.as_bytes()).await,
            Act::Drip(text, pause) => drip(&mut stream, text, *pause).await,
            Act::Flood(head, text) => flood(&mut stream, head, text).await,
            // With what was not read it is a reset.
            Act::Reset => return drop(stream.set_zero_linger()),
            Act::Nothing => std::future::pending().await,
        };
        if went_on.is_err() {
            return;
        }
    }
}

async fn drip(stream: &mut TcpStream, text: &str, pause: Duration) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    loop {
        tokio::time::sleep(pause).await;
        stream.write_all(b" ").await?;
    }
}

async fn flood(stream: &mut TcpStream, head: &str, text: &str) -> std::io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(text.as_bytes()).await?;
    }
}

/// Reads a request to its end.
async fn request(stream: &mut TcpStream) -> Option<()> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if read.len() >= end + 4 + length {
                return Some(());
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}
