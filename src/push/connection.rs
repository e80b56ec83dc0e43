//! One HTTP/2 connection to a provider, on the `h2` crate itself, which costs half of what a client above it does.
//!
//! It notices its own end (GOAWAY, a broken socket, a peer that no longer answers) and says so; `pool` opens the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, StatusCode};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::drive::drive;
use super::endpoint::Endpoint;
use super::error::TransportError;
use super::goaway::{Farewell, Heard, LastWords};

/// The longest that a provider can ask to be left alone.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADER_BYTES: u32 = 16 * 1024;
const MAX_ANSWER_BYTES: usize = 16 * 1024;
/// A part of a body that is longer `h2` writes at once and by itself. Shorter ones it gathers, with those of other requests, into one write.
const LONGEST_PART: usize = 1023;
/// A connection younger than this is fresh enough for a retry.
const FRESH: Duration = Duration::from_secs(1);
/// A peer that ends a connection sooner than this does not want one.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// How far a connection is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// It works, but a fresh one is wanted in its place.
    Retiring,
    /// It takes no more requests.
    Closed,
}

/// A connection, open until it says otherwise. It closes once nobody holds it.
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    peer: SocketAddr,
    opened: Instant,
    streams: AtomicUsize,
    /// How many streams the peer allows now.
    allowed: AtomicUsize,
    answers: AtomicU64,
    /// When something was heard last, in milliseconds since it was opened.
    heard_ms: AtomicU64,
    /// A request goes unanswered, or went so, and nothing was heard since.
    doubted: AtomicBool,
    last_words: LastWords,
    check: Arc<Notify>,
    phase: watch::Sender<Phase>,
}

/// A provider's answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most 16 KiB of the body.
    pub body: Bytes,
    connection: Arc<Connection>,
}

impl Answer {
    /// Has the connection that it came by replaced, if that is not fresh anyway.
    pub(super) fn retire_connection(&self) {
        if self.connection.opened.elapsed() >= FRESH {
            self.connection.advance(Phase::Retiring);
        }
    }

    /// The `retry-after` header, in its form of seconds, at most a day.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds: u64 = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
    }
}

/// A request without an answer.
pub(super) struct BrokenOff {
    pub error: h2::Error,
    /// Whether the peer cannot have acted on it.
    pub undone: bool,
}

impl From<h2::Error> for BrokenOff {
    /// A GOAWAY fails only the streams that it names as not looked at (RFC 9113, section 6.8).
    fn from(error: h2::Error) -> Self {
        let went_away = error.is_go_away() && error.is_remote();
        let undone = went_away || error.reason() == Some(Reason::REFUSED_STREAM);
        Self { error, undone }
    }
}

impl Connection {
    /// Connects, and waits until the peer has answered a PING, so that its limits are known and it is known to live.
    /// When it ends, `farewell` is told why, if the peer says so.
    pub(super) async fn open(
        endpoint: &Endpoint,
        turn: usize,
        farewell: &Farewell,
    ) -> Result<Arc<Self>, TransportError> {
        let open = Self::open_unbounded(endpoint, turn, farewell.clone());
        timeout(OPEN_TIMEOUT, open).await.unwrap_or(Err(TransportError::Deadline))
    }

    async fn open_unbounded(endpoint: &Endpoint, turn: usize, farewell: Farewell) -> Result<Arc<Self>, TransportError> {
        let (tls, peer) = endpoint.connect(turn).await?;
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(MAX_HEADER_BYTES);
        let (tls, last_words) = Heard::new(tls, farewell);
        let (sender, mut h2) = builder.handshake::<_, Bytes>(tls).await.map_err(TransportError::Broken)?;
        let mut pings = h2.ping_pong().ok_or_else(|| TransportError::Broken(Reason::INTERNAL_ERROR.into()))?;
        tokio::select! {
            pong = pings.ping(Ping::opaque()) => { pong.map_err(TransportError::Broken)?; }
            end = &mut h2 => {
                return Err(TransportError::Broken(end.err().unwrap_or_else(|| Reason::NO_ERROR.into())));
            }
        }
        let check = Arc::new(Notify::new());
        let connection = Arc::new(Self {
            allowed: AtomicUsize::new(sender.current_max_send_streams()),
            sender,
            peer,
            opened: Instant::now(),
            streams: AtomicUsize::new(0),
            answers: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
            last_words: last_words.clone(),
            check: check.clone(),
            phase: watch::Sender::new(Phase::Open),
        });
        let driven = drive(h2, pings, check, endpoint.idle_before_ping(), Arc::downgrade(&connection));
        tokio::spawn(async move {
            driven.await;
            last_words.tell_all();
        });
        Ok(connection)
    }

    /// Sends a request and reads the answer. A request dropped before its answer makes the connection doubted.
    pub(super) async fn request(self: &Arc<Self>, request: Request<()>, body: Bytes) -> Result<Answer, BrokenOff> {
        let mut exchange = Exchange::begin(self);
        let (response, mut stream) = self.sender.clone().send_request(request, false).map_err(|error| {
            // It takes no more streams, as after a GOAWAY that was read a moment ago.
            self.advance(Phase::Closed);
            BrokenOff { error, undone: true }
        })?;
        send(&mut stream, body)?;
        let (parts, body) = response.await?.into_parts();
        let body = read(body).await?;
        exchange.answered = true;
        Ok(Answer { status: parts.status, headers: parts.headers, body, connection: self.clone() })
    }

    /// Requests may still be sent.
    pub(super) fn is_open(&self) -> bool {
        *self.phase.borrow() < Phase::Closed
    }

    /// How little a request should want this connection: least one that is shaky, then one on which it would have to
    /// wait for another to end (Apple allows one stream until it has answered one), then the one with more streams.
    pub(super) fn burden(&self) -> (bool, bool, usize) {
        let shaky = *self.phase.borrow() > Phase::Open || self.is_doubted();
        let streams = self.streams.load(Ordering::Relaxed);
        (shaky, streams >= self.allowed.load(Ordering::Relaxed), streams)
    }

    /// Takes note of how many streams the peer allows now, and of whether it takes any more.
    pub(super) fn look_at_limits(&self, cx: &mut Context<'_>) {
        self.allowed.store(self.sender.current_max_send_streams(), Ordering::Relaxed);
        // After a GOAWAY the streams that it spares go on, but no new one may begin.
        if let Poll::Ready(Err(_)) = self.sender.clone().poll_ready(cx) {
            self.advance(Phase::Closed);
        }
    }

    /// A sign of life came.
    pub(super) fn was_heard(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(ms, Ordering::Relaxed);
        self.doubted.store(false, Ordering::Relaxed);
    }

    /// Whether there was a sign of life within this time.
    pub(super) fn was_heard_within(&self, time: Duration) -> bool {
        let silent_since = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(silent_since) < time
    }

    /// Whether something is unanswered, and nothing was heard since.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Asks the peer for a sign of life, unless there was one within this time.
    pub(super) fn doubt_unless_heard_within(&self, time: Duration) {
        if !self.was_heard_within(time) {
            self.doubted.store(true, Ordering::Relaxed);
            self.check.notify_one();
        }
    }

    /// What the peer says when it ends the connection.
    pub(super) fn last_words(&self) -> &LastWords {
        &self.last_words
    }

    /// Whether it was worth opening: it answered a request, or lived for a while.
    pub(super) fn was_of_use(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0 || self.opened.elapsed() > SHORT_LIFE
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Waits until another connection should take its place.
    pub(super) async fn needs_replacement(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| *phase > Phase::Open).await;
    }

    /// Moves on to a later phase.
    pub(super) fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let further = *phase < to;
            *phase = to.max(*phase);
            further
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.check.notify_one();
    }
}

/// Counts a stream for as long as it is open.
struct Exchange<'a> {
    connection: &'a Connection,
    answered: bool,
}

impl<'a> Exchange<'a> {
    fn begin(connection: &'a Connection) -> Self {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Self { connection, answered: false }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let connection = self.connection;
        connection.streams.fetch_sub(1, Ordering::Relaxed);
        if self.answered {
            connection.answers.fetch_add(1, Ordering::Relaxed);
            connection.was_heard();
        } else {
            connection.doubt_unless_heard_within(Duration::ZERO);
        }
    }
}

/// Sends a body, in parts that wait for what else there is to be written.
pub(super) fn send(stream: &mut SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while body.len() > LONGEST_PART {
        stream.send_data(body.split_to(LONGEST_PART), false)?;
    }
    stream.send_data(body, true)
}

async fn read(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = Bytes::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        all = if all.is_empty() { part } else { [all, part].concat().into() };
        if all.len() >= MAX_ANSWER_BYTES {
            all.truncate(MAX_ANSWER_BYTES);
            break;
        }
    }
    Ok(all)
}
