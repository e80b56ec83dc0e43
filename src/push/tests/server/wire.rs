//! HTTP/2 frame by frame (RFC 9113), as far as a server needs it that wants to misbehave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// HPACK's static table has `:status: 200` in its eighth place (RFC 7541, appendix A).
const STATUS_200: u8 = 0x88;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const PREFACE: usize = 24;

/// What a client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push::tests) enum Event {
    /// A request is there in whole.
    Request(u32),
    /// A stream was given up.
    Reset(u32),
    /// A PING of ours came back.
    Pong,
    /// The connection ended.
    Closed,
}

/// The server's end of a connection.
pub(in crate::push::tests) struct Wire {
    tls: TlsStream<TcpStream>,
    early: VecDeque<Event>,
    hang: Arc<AtomicBool>,
}

impl Wire {
    /// Reads the preface and says how many streams may be open.
    pub(in crate::push::tests) async fn begin(mut tls: TlsStream<TcpStream>, streams: u32) -> Self {
        let mut preface = [0; PREFACE];
        let _ = tls.read_exact(&mut preface).await;
        let mut wire = Self { tls, early: VecDeque::new(), hang: Arc::default() };
        wire.allow(streams).await;
        wire
    }

    /// Has it hear and say nothing any more once the flag is up.
    pub(in crate::push::tests) fn hang_when(mut self, flag: &Arc<AtomicBool>) -> Self {
        self.hang = Arc::clone(flag);
        self
    }

    /// Says how many streams may be open from now on.
    pub(in crate::push::tests) async fn allow(&mut self, streams: u32) {
        let setting = [&MAX_CONCURRENT_STREAMS.to_be_bytes()[..], &streams.to_be_bytes()].concat();
        self.write(SETTINGS, 0, 0, &setting).await;
    }

    /// Answers a request with 200 and nothing else.
    pub(in crate::push::tests) async fn answer(&mut self, stream: u32) {
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_200]).await;
    }

    /// Says that no stream after `last` was looked at, and why this ends.
    pub(in crate::push::tests) async fn go_away(&mut self, last: u32, text: &str) {
        let payload = [&last.to_be_bytes()[..], &0_u32.to_be_bytes(), text.as_bytes()].concat();
        self.write(GOAWAY, 0, 0, &payload).await;
    }

    /// Waits until the client has read all that was written, and until all that it had sent by then has come in. What
    /// that was, `next` tells.
    pub(in crate::push::tests) async fn settle(&mut self) {
        self.write(PING, 0, 0, &[7; 8]).await;
        loop {
            match self.read().await {
                Event::Pong => return,
                event => self.early.push_back(event),
            }
            if self.early.back() == Some(&Event::Closed) {
                return;
            }
        }
    }

    /// What came in already.
    pub(in crate::push::tests) fn came_in(&mut self) -> Vec<Event> {
        self.early.drain(..).collect()
    }

    /// What the client does next.
    pub(in crate::push::tests) async fn next(&mut self) -> Event {
        match self.early.pop_front() {
            Some(event) => event,
            None => self.read().await,
        }
    }

    /// The next request; `None` once the connection has ended.
    pub(in crate::push::tests) async fn request(&mut self) -> Option<u32> {
        loop {
            match self.next().await {
                Event::Request(stream) => return Some(stream),
                Event::Closed => return None,
                Event::Reset(_) | Event::Pong => {}
            }
        }
    }

    /// Answers every request until the connection has ended, and says how many there were.
    pub(in crate::push::tests) async fn serve(&mut self) -> usize {
        let mut served = 0;
        while let Some(stream) = self.request().await {
            self.answer(stream).await;
            served += 1;
        }
        served
    }

    async fn read(&mut self) -> Event {
        loop {
            let mut head = [0; 9];
            if self.tls.read_exact(&mut head).await.is_err() {
                return Event::Closed;
            }
            if self.hang.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            if self.tls.read_exact(&mut payload).await.is_err() {
                return Event::Closed;
            }
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload).await,
                PING => return Event::Pong,
                DATA if flags & END_STREAM != 0 => return Event::Request(stream),
                RST_STREAM => return Event::Reset(stream),
                _ => {}
            }
        }
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // A client that is gone shows when reading.
        let _ = self.tls.write_all(&frame).await;
        let _ = self.tls.flush().await;
    }
}
