//! The event stream over a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Http, SOON};

/// An open WebSocket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one with these headers; an error is the refusal.
    pub async fn open(http: &Http, query: &str, headers: &[(&'static str, &str)]) -> Result<(Self, Response), Error> {
        let url = format!("{}/v1/events{query}", http.base().replacen("http", "ws", 1));
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let (stream, response) = connect_async(request).await?;
        Ok((Self(stream), response))
    }

    /// Opens one as a browser does: the token in a subprotocol.
    pub async fn of_browser(http: &Http, token: &str, query: &str) -> Self {
        let protocols = format!("bellwire.v1, bearer.{token}");
        let (socket, response) =
            Self::open(http, query, &[("sec-websocket-protocol", &protocols)]).await.expect("a socket");
        assert_eq!(response.headers()["sec-websocket-protocol"], "bellwire.v1");
        socket
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        match self.read().await {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?} in place of a message"),
        }
    }

    /// Reads until an event of this type of this call comes.
    pub async fn until(&mut self, kind: &str, call: &Value) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind && event["call_id"] == *call {
                return event;
            }
        }
    }

    /// Says something to the server.
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("sent");
    }

    /// Reads until the server closes, which it does soon; the code.
    pub async fn close_code(&mut self) -> u16 {
        tokio::time::timeout(SOON, self.closed()).await.expect("closed in time")
    }

    /// As [`close_code`](Self::close_code), however long it takes.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.0.next().await.expect("an open socket").expect("a message") {
                return frame.expect("a close frame").code.into();
            }
        }
    }

    async fn read(&mut self) -> Message {
        let message = tokio::time::timeout(SOON, self.0.next()).await.expect("a message in time");
        message.expect("an open socket").expect("a message")
    }
}
