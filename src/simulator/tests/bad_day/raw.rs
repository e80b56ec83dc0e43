//! A client that speaks frames, since none that speaks HTTP shows them.

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::domain::Environment;
use crate::simulator::Simulator;
use crate::simulator::tests::{Ask, handshake};

pub(super) struct Raw(TlsStream<TcpStream>);

pub(super) struct Frame {
    kind: u8,
    flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Raw {
    pub(super) async fn connect(simulator: &Simulator) -> Self {
        let url = simulator.apns_url(Environment::Production);
        Self(handshake(simulator, &url, &[b"h2"]).await.expect("TLS"))
    }

    /// Exchanges settings.
    pub(super) async fn greet(&mut self) {
        self.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
        self.send(4, 0, 0, &[]).await;
        self.frame(4).await;
        self.send(4, 1, 0, &[]).await;
    }

    /// Answers the ping by which the simulator knows that its settings were read.
    pub(super) async fn answer_ping(&mut self) {
        let ping = self.frame(6).await;
        self.send(6, 1, 0, &ping.payload).await;
    }

    /// Sends a push whose body is an empty object.
    pub(super) async fn ask(&mut self, stream: u32, headers: &[u8]) {
        self.send(1, 4, stream, headers).await;
        self.send(0, 1, stream, b"{}").await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [.., high, middle, low] = payload.len().to_be_bytes();
        let head = [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..]].concat();
        self.0.write_all(&[&head, payload].concat()).await.expect("written");
        self.0.flush().await.expect("written");
    }

    /// The next frame of a kind that is no acknowledgement.
    pub(super) async fn frame(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.any_frame().await;
            if frame.kind == kind && !(matches!(kind, 4 | 6) && frame.flags & 1 == 1) {
                return frame;
            }
        }
    }

    async fn any_frame(&mut self) -> Frame {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.0.read_exact(&mut payload).await.expect("a frame");
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Frame { kind: head[3], flags: head[4], stream, payload }
    }
}

/// The headers of a push as HPACK has them without any table or compression (RFC 7541, 6.2.2).
pub(super) fn headers(ask: &Ask) -> Vec<u8> {
    let request = Request::post(&ask.path).body(()).expect("a request");
    let pseudo =
        [(":method", "POST"), (":scheme", "https"), (":authority", "127.0.0.1"), (":path", request.uri().path())];
    let own = ask.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let mut block = Vec::new();
    for (name, value) in pseudo.into_iter().chain(own) {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A number with a prefix of seven bits (RFC 7541, 5.1).
fn length(number: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = number.checked_sub(127) else { return block.push(u8::try_from(number).expect("small")) };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("small") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("small"));
}
