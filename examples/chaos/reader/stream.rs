//! The event stream on the wire: SSE or WebSocket, until it breaks off.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream as Chunks, StreamExt};
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::client::Client;
use crate::dice::Dice;

/// An open stream.
pub enum Stream {
    Sse(Sse),
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

pub struct Sse {
    chunks: Pin<Box<dyn Chunks<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: String,
    last_id: Option<String>,
}

impl Stream {
    /// Opens one as browsers do, which come back with the id of the last event.
    pub async fn sse(client: &Client, token: &str, last_id: Option<&str>, dice: &mut Dice) -> Option<Self> {
        let mut request = client.begin(Method::GET, "/v1/events", dice)?.bearer_auth(token);
        request = request.header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.ok()?.error_for_status().ok()?;
        let chunks = Box::pin(response.bytes_stream());
        Some(Self::Sse(Sse { chunks, buffer: String::new(), last_id: None }))
    }

    /// Opens one as phones do, which come back with the last numbers that they have seen.
    pub async fn socket(client: &Client, token: &str, since: &str, dice: &mut Dice) -> Option<Self> {
        let path = if since.is_empty() { "/v1/events".to_owned() } else { format!("/v1/events?since={since}") };
        let url = client.begin(Method::GET, &path, dice)?.build().ok()?.url().as_str().replacen("http", "ws", 1);
        let mut request = url.into_client_request().ok()?;
        request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).ok()?);
        let (socket, _) = connect_async(request).await.ok()?;
        Some(Self::Socket(Box::new(socket)))
    }

    /// The next message; `None` at the stream's end, whatever it was.
    pub async fn next(&mut self) -> Option<Value> {
        match self {
            Self::Sse(sse) => sse.next().await,
            Self::Socket(socket) => loop {
                match socket.next().await?.ok()? {
                    Message::Text(text) => return serde_json::from_str(&text).ok(),
                    Message::Close(_) => return None,
                    _ => {}
                }
            },
        }
    }

    /// The id of the last message, if it had one.
    pub fn last_id(&mut self) -> Option<String> {
        match self {
            Self::Sse(sse) => sse.last_id.take(),
            Self::Socket(_) => None,
        }
    }
}

impl Sse {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(id) = field("id:") {
                    self.last_id = Some(id.to_owned());
                }
                if let Some(data) = field("data:") {
                    return serde_json::from_str(data).ok();
                }
            } else {
                let chunk = self.chunks.next().await?.ok()?;
                self.buffer.push_str(std::str::from_utf8(&chunk).ok()?);
            }
        }
    }
}
