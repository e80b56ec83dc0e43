//! Shakes hands, and serves the requests of each connection on that connection's own task.
//!
//! On one task, because a test's load shares few processors with the gateway under test: whatever has come in is
//! answered together and leaves in one write.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use h2::server::{self, Connection, SendResponse};
use h2::{Ping, PingPong, Reason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::exchange::{self, Next};
use super::rule::Streams;
use super::wire::{Script, Wire};
use super::{Host, Shared, apns, tls};

/// As many as Apple was seen to allow; it promises no number.
const MAX_CONCURRENT_STREAMS: u32 = 1000;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// HTTP/2's own default (RFC 9113, 6.5.2).
const STREAM_WINDOW_BYTES: u32 = 65_535;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// How soon after a setting the next may be tried, which must wait until the first is acknowledged.
const SETTING_PAUSE: Duration = Duration::from_millis(1);

/// A client's connection, as its requests see it.
pub(super) struct Peer {
    pub(super) number: u64,
    pub(super) host: Host,
    pub(super) shared: Arc<Shared>,
    pub(super) provider_token: apns::ProviderToken,
    /// How many of its requests were refused, but for tokens that are gone.
    pub(super) errors: AtomicU32,
}

impl Peer {
    /// A client that has not asked anything yet.
    pub(super) fn new(number: u64, host: Host, shared: Arc<Shared>) -> Self {
        Self { number, host, shared, provider_token: apns::ProviderToken::default(), errors: AtomicU32::new(0) }
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, host: Host, acceptor: &TlsAcceptor, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let peer = Peer::new(number, host, shared);
    if let Err(error) = open(stream, acceptor, &peer).await {
        debug!(connection = number, %error, "the simulator lost a connection");
    }
}

async fn open(stream: TcpStream, acceptor: &TlsAcceptor, peer: &Peer) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A second handle on the socket, to reset it with while TLS and HTTP/2 hold the first.
    let stream = stream.into_std()?;
    let socket = TcpSocket::from_std_stream(stream.try_clone()?);
    let stream = acceptor.accept(TcpStream::from_std(stream)?).await?;
    if stream.get_ref().1.alpn_protocol() != Some(tls::H2) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the client does not offer h2"));
    }
    let rules = &peer.shared.rules;
    let most_errors = rules.draw_errors(peer.host, &peer.shared.clock, peer.shared.clock.now());
    let allowed = rules.draw_streams(peer.host, &peer.shared.clock, peer.shared.clock.now());
    let script = Script::default();
    if let Some(Streams { most, .. }) = allowed {
        script.allow_streams(most);
    }
    let connection = server::Builder::new()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(Wire::new(stream, script.clone()))
        .await
        .map_err(io::Error::other)?;
    let mut served = Served { most_errors, limit: Limit::new(allowed), connection, script, unanswered: Vec::new() };
    match served.serve(peer).await.map_err(io::Error::other)? {
        End::Closed => Ok(()),
        End::Reset => socket.set_zero_linger(),
    }
}

enum End {
    Closed,
    Reset,
}

/// A connection and what was ordered for it.
struct Served<T> {
    connection: Connection<T, Bytes>,
    script: Script,
    limit: Limit,
    /// After so many errors it is ended.
    most_errors: Option<u32>,
    /// Requests that the end of the connection leaves without an answer.
    unanswered: Vec<SendResponse<Bytes>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Served<T> {
    async fn serve(&mut self, peer: &Peer) -> Result<End, h2::Error> {
        let mut exchanges = FuturesUnordered::new();
        self.limit.tell(&mut self.connection);
        loop {
            let mut next = tokio::select! {
                // First all that has come in, then the answers to it; accepting is also what writes them out.
                biased;
                () = self.limit.moves() => None,
                accepted = self.connection.accept() => match accepted {
                    Some(request) => {
                        let (request, mut respond) = request?;
                        if self.limit.is_exceeded_by(exchanges.len() + 1) {
                            respond.send_reset(Reason::REFUSED_STREAM);
                        } else {
                            exchanges.push(exchange::serve(peer, request, respond));
                        }
                        continue;
                    }
                    None => return Ok(End::Closed),
                },
                Some(next) = exchanges.next() => Some(next),
            };
            while let Some(order) = next {
                match order {
                    Next::GoOn => {}
                    Next::GoAway(reason) => {
                        self.script.go_away(reason, None);
                        self.connection.graceful_shutdown();
                    }
                    Next::GoAwayBefore(reason, respond) => {
                        self.script.go_away(reason, Some(respond.stream_id().as_u32().saturating_sub(2)));
                        self.unanswered.push(respond);
                        self.connection.abrupt_shutdown(Reason::NO_ERROR);
                    }
                    Next::Reset => return Ok(End::Reset),
                    Next::Close => return Ok(End::Closed),
                    Next::FallSilent => std::future::pending().await,
                }
                next = exchanges.next().now_or_never().flatten();
            }
            if self.most_errors.is_some_and(|most| peer.errors.load(Ordering::Relaxed) >= most) {
                self.most_errors = None;
                self.connection.graceful_shutdown();
            }
            if self.limit.ends_when_authenticated && peer.provider_token.is_known() {
                self.limit.raise(&self.script, &mut self.connection);
            }
        }
    }
}

/// How many streams are allowed, where that is fewer than ever.
struct Limit {
    most: Option<usize>,
    ends_when_authenticated: bool,
    /// Whether the client knows: only then can it be blamed.
    is_told: bool,
    is_to_be_raised: bool,
    pings: Option<PingPong>,
}

impl Limit {
    fn new(allowed: Option<Streams>) -> Self {
        let most = allowed.and_then(|streams| usize::try_from(streams.most).ok());
        let ends_when_authenticated = allowed.is_some_and(|streams| streams.until_authenticated);
        Self { most, ends_when_authenticated, is_told: false, is_to_be_raised: false, pings: None }
    }

    fn is_exceeded_by(&self, streams: usize) -> bool {
        self.is_told && self.most.is_some_and(|most| streams > most)
    }

    /// Asks to hear when the client has read the settings, in which the limit is.
    fn tell<T: AsyncRead + AsyncWrite + Unpin>(&mut self, connection: &mut Connection<T, Bytes>) {
        if self.most.is_some() {
            self.pings = connection.ping_pong();
            self.pings.as_mut().map(|pings| pings.send_ping(Ping::opaque()));
        }
    }

    /// Ends when the limit may be enforced, or raising it be tried again; never without a limit.
    async fn moves(&mut self) {
        match &mut self.pings {
            _ if self.is_to_be_raised => tokio::time::sleep(SETTING_PAUSE).await,
            Some(pings) if !self.is_told => {
                let _ = poll_fn(|cx| pings.poll_pong(cx)).await;
                self.is_told = true;
            }
            _ => std::future::pending().await,
        }
    }

    /// Allows as many as ever, in a SETTINGS frame that otherwise says nothing new.
    fn raise<T: AsyncRead + AsyncWrite + Unpin>(&mut self, script: &Script, connection: &mut Connection<T, Bytes>) {
        script.allow_streams(MAX_CONCURRENT_STREAMS);
        self.is_to_be_raised = connection.set_initial_window_size(STREAM_WINDOW_BYTES).is_err();
        if !self.is_to_be_raised {
            self.ends_when_authenticated = false;
            self.most = None;
        }
    }
}
