//! The listener: accepts connections, has their requests answered, and lets them go gently at the end.
//!
//! TLS is left to the proxy in front. A client that is slow to send its headers or to take its answers is dropped, and so is one that sends much
//! which asks for nothing: `heads` and `pace` find them. What is not HTTP, or has a head that is far too large, never becomes a request:
//! hyper answers that with a bare 400 or 431 and closes the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, Version, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::address_limit::Peer;
use super::code::Code;
use super::connections::{Admitted, Connections, Crowded};
use super::handover::Handover;
use super::heads::{Heads, Watched};
use super::load::{OfUse, Streaming};
use super::pace::{Paced, Streams};
use super::patience::Patience;
use super::problem::Problem;
use super::version::{Answering, Reads, serve};
use crate::config::Limits;
use crate::lifecycle::Stop;
use crate::livekit::webhook::MAX_BODY_BYTES;
use crate::telemetry::Metrics;

/// How long an accept that failed (too many open files, say) waits for better times.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of a request's line and headers.
const HEAD_BYTES: usize = 32 * 1024;
/// The most headers of a request.
const HEADERS: usize = 100;
/// How much more than that is still read, so that it can be refused in words.
const READ_FACTOR: usize = 2;
/// What a `Connection` header says of the last answer.
const CLOSE: HeaderValue = HeaderValue::from_static("close");
/// How long a connection on one of the kept places may take for a request, and be kept without one.
const HURRY: Duration = Duration::from_secs(2);

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    bounds: Bounds,
}

/// How long connections are waited for, and how much comes on them.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long a client may take to send a request's headers.
    pub headers: Duration,
    /// How long a client may take to receive what is to be sent.
    pub sends: Duration,
    /// How long a connection is kept without a request: longer than load balancers do, which would send one to a connection that is
    /// being closed.
    pub idle: Duration,
    /// How long a connection that waits for a request goes on after the signal to stop: clients and proxies that keep one learn from
    /// the next answer that it ends. Were it closed at once, a request on its way would fail.
    pub lingers: Duration,
    /// The largest body of a request, LiveKit's webhooks among them, in bytes.
    pub body_bytes: usize,
}

impl Server {
    /// Binds an address; port 0 lets the system choose.
    pub async fn bind(address: SocketAddr, bounds: Bounds) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, bounds })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true, then finishes the requests that have arrived and returns.
    pub async fn serve(self, router: Router, doors: Connections, metrics: Arc<Metrics>, stop: Stop) {
        let mut connections = JoinSet::new();
        let serve = |stream: TcpStream| {
            let place = doors.admit(&stream)?;
            Some(
                Served { stream, place, bounds: self.bounds, metrics: Arc::clone(&metrics) }
                    .run(router.clone(), stop.clone()),
            )
        };
        let mut stopping = stop.clone();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => drop(serve(stream).map(|served| connections.spawn(served))),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = stopping.given() => break,
            }
        }
        for stream in waiting(self.listener) {
            serve(stream).map(|served| connections.spawn(served));
        }
        while connections.join_next().await.is_some() {}
    }
}

/// Closes a listener, and gives the connections that the system has made for it.
fn waiting(listener: TcpListener) -> Vec<TcpStream> {
    // A listener of tokio may not know yet that there are any.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok());
    let accepted = accepted.filter_map(|(stream, _)| {
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    });
    accepted.collect()
}

/// Refuses a head that is too large.
fn check_head(request: &Request<Body>) -> Result<(), Problem> {
    let uri = request.uri();
    let line = uri.path().len() + uri.query().map_or(0, str::len);
    // As HTTP/2 counts a list of headers (RFC 9113, section 6.5.2), but for its 32 bytes for each.
    let headers = request.headers();
    let bytes: usize = line + headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if bytes > HEAD_BYTES || headers.len() > HEADERS {
        let detail = format!("a request has at most {HEADERS} headers, and {HEAD_BYTES} bytes of them and its line");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

/// A connection that is served.
struct Served {
    stream: TcpStream,
    place: Admitted,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

impl Served {
    async fn run(self, router: Router, mut stop: Stop) {
        let Self { stream, place, bounds, metrics } = self;
        // Answers are small and awaited: waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let bounds = if place.is_crowded { bounds.in_a_hurry() } else { bounds };
        let patience = (!place.is_proxy).then(Patience::new);
        let heads = Heads::new(bounds.body_bytes, patience);
        let streams = Streams { heads: heads.clone(), within: bounds.sends, metrics: Arc::clone(&metrics) };
        let asked = Asked {
            router,
            heads: heads.clone(),
            peer: stream.peer_addr().map(Peer).ok(),
            is_crowded: place.is_crowded,
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
        };
        let stream = Watched::new(stream, heads.clone(), place);
        let service = service_fn(move |request| asked.answer(request));
        let reads = Reads { head_bytes: READ_FACTOR * HEAD_BYTES, headers: READ_FACTOR * HEADERS, idle: bounds.idle };
        let ending = async {
            tokio::select! {
                () = async { stop.given().await; tokio::time::sleep(bounds.lingers).await } => None,
                () = heads.idle(bounds.idle) => Some(bounds.sends.min(bounds.idle)),
                () = heads.over() => Some(bounds.sends.min(bounds.idle)),
            }
        };
        let result = tokio::select! {
            // What has come is read before it ends.
            biased;
            result = serve(stream, service, reads, streams, ending) => result,
            () = heads.slow(bounds.headers) => return metrics.shed("header_timeout"),
            () = heads.stuck(bounds.sends) => return metrics.shed("send_timeout"),
            () = heads.resets() => return metrics.shed("resets"),
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

impl Bounds {
    /// Those that are configured.
    pub fn of(limits: &Limits, lingers: Duration) -> Self {
        let Limits { header_timeout, send_timeout, idle_timeout, body_bytes, .. } = *limits;
        let body_bytes = body_bytes.max(MAX_BODY_BYTES);
        Self { headers: header_timeout, sends: send_timeout, idle: idle_timeout, lingers, body_bytes }
    }

    fn in_a_hurry(self) -> Self {
        Self { headers: self.headers.min(HURRY), idle: self.idle.min(HURRY), ..self }
    }
}

/// Who is asked on a connection.
struct Asked {
    router: Router,
    heads: Heads,
    peer: Option<Peer>,
    is_crowded: bool,
    metrics: Arc<Metrics>,
    stop: Stop,
}

impl Asked {
    fn answer(&self, request: Request<Incoming>) -> Answering {
        let is_http2 = request.version() == Version::HTTP_2;
        // An older client knows no chunks, and after a head alone the connection goes on.
        let takes_chunks = request.version() == Version::HTTP_11 && request.method() == Method::GET;
        let answering = self.heads.read(is_http2);
        let mut request = request.map(Body::new);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        if self.is_crowded {
            request.extensions_mut().insert(Crowded);
        }
        let (router, heads, metrics) = (self.router.clone(), self.heads.clone(), Arc::clone(&self.metrics));
        let (is_crowded, stop) = (self.is_crowded, self.stop.clone());
        Box::pin(async move {
            let mut answer = match check_head(&request) {
                Ok(()) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
                Err(problem) => problem.into_response(),
            };
            // Each answer of a gateway that stops says that the connection ends. HTTP/2 has a frame for that.
            if !is_http2 && stop.is_given() {
                answer.headers_mut().entry(header::CONNECTION).or_insert(CLOSE);
            }
            match (answer.extensions_mut().remove(), heads.patience()) {
                (Some(OfUse), Some(patience)) => patience.of_use(),
                // What was of no use is the last on a kept place. Over HTTP/2 a frame says so.
                (None, _) if is_crowded && is_http2 => heads.end(),
                (None, _) if is_crowded => drop(answer.headers_mut().insert(header::CONNECTION, CLOSE)),
                (None, Some(patience)) if patience.in_vain(Instant::now()) => metrics.shed("refusals"),
                (Some(OfUse) | None, _) => {}
            }
            let sent = answering.answered();
            let answer = answer.map(|body| Body::new(Paced::new(body, sent)));
            match answer.extensions().get() {
                Some(Streaming) if takes_chunks && answer.status() == StatusCode::OK => Err(Handover::of(answer)),
                _ => Ok(answer),
            }
        })
    }
}
