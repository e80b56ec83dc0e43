//! The listener: accepts connections, serves HTTP/1.1 and HTTP/2 on them, and lets them go gently at the end.
//!
//! TLS is left to the proxy in front. A client that is slow to send its headers is dropped. What is not HTTP, or has a head that is far too
//! large, never becomes a request: hyper answers that with a bare 400 or 431 and closes the connection.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Version, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::address_limit::Peer;
use super::code::Code;
use super::heads::{Heads, Watched};
use super::problem::Problem;
use crate::lifecycle::Stop;

/// How long an accept that failed (too many open files, say) waits for better times.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most bytes of a request's line and headers.
const HEAD_BYTES: usize = 32 * 1024;
/// The most headers of a request.
const HEADERS: usize = 100;
/// How long a connection of HTTP/1.1 is kept without a request: longer than load balancers do, which would send one to a connection
/// that is being closed.
const KEPT_FOR: Duration = Duration::from_secs(75);
/// How much more than that is still read, so that it can be refused in words.
const READ_FACTOR: usize = 2;

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    times: Times,
}

/// How long connections are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long a client may take to send a request's headers.
    pub headers: Duration,
    /// How long a connection that waits for a request goes on after the signal to stop: clients and proxies that keep one learn from
    /// the next answer that it ends. Were it closed at once, a request on its way would fail.
    pub lingers: Duration,
}

impl Server {
    /// Binds an address; port 0 lets the system choose.
    pub async fn bind(address: SocketAddr, times: Times) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, times })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true, then finishes the requests that have arrived and returns.
    pub async fn serve(self, router: Router, stop: Stop) {
        let mut connections = JoinSet::new();
        let router = router.layer(from_fn(check_head)).layer(from_fn_with_state(stop.clone(), announce_end));
        let serve = |stream| serve_connection(stream, router.clone(), self.times, stop.clone());
        let mut stopping = stop.clone();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(serve(stream))),
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
            connections.spawn(serve(stream));
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

/// Says with each answer of a gateway that stops that the connection ends. HTTP/2 has a frame for that.
async fn announce_end(State(stop): State<Stop>, request: Request<Body>, next: Next) -> Response {
    let keeps = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    if keeps && stop.is_given() {
        response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    response
}

/// Refuses a head that is too large.
async fn check_head(request: Request<Body>, next: Next) -> Response {
    let uri = request.uri();
    let line = uri.path().len() + uri.query().map_or(0, str::len);
    // As HTTP/2 counts a list of headers (RFC 9113, section 6.5.2), but for its 32 bytes for each.
    let headers = request.headers();
    let bytes: usize = line + headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if bytes > HEAD_BYTES || headers.len() > HEADERS {
        let detail = format!("a request has at most {HEADERS} headers, and {HEAD_BYTES} bytes of them and its line");
        return Problem::new(Code::HeadersTooLarge, detail).into_response();
    }
    next.run(request).await
}

async fn serve_connection(stream: TcpStream, router: Router, times: Times, mut stop: Stop) {
    // Answers are small and awaited: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().map(Peer).ok();
    let heads = Heads::new();
    let (read, answered) = (heads.clone(), heads.clone());
    let service = router
        .map_request(move |request: Request<Incoming>| {
            read.read(request.version() == Version::HTTP_2);
            let mut request = request.map(Body::new);
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            request
        })
        .map_future(move |answering| {
            let answered = answered.clone();
            async move {
                let answer = answering.await;
                answered.answered();
                answer
            }
        });
    let most = READ_FACTOR * HEAD_BYTES;
    let mut builder = Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1.timer(TokioTimer::new()).header_read_timeout(KEPT_FOR);
    http1.max_buf_size(most).max_headers(READ_FACTOR * HEADERS);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30)).enable_connect_protocol();
    http2.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
    let stream = TokioIo::new(Watched { stream, heads: heads.clone() });
    let connection = builder.serve_connection_with_upgrades(stream, TowerToHyperService::new(service));
    tokio::pin!(connection);
    let lingering = async {
        stop.given().await;
        tokio::time::sleep(times.lingers).await;
    };
    let result = tokio::select! {
        // What has come is read before it ends.
        biased;
        result = connection.as_mut() => result,
        () = heads.slow(times.headers) => return,
        () = lingering => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}
