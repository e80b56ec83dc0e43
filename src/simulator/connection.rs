//! Listens, shakes hands, and serves the requests of each connection on that connection's own task.
//!
//! On one task, because a test's load shares few processors with the gateway under test: whatever has come in is
//! answered together and leaves in one write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use h2::server::{self, Connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::exchange::{self, Next};
use super::{Host, Shared, apns, tls};

/// As many as Apple was seen to allow; it promises no number.
const MAX_CONCURRENT_STREAMS: u32 = 1000;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// A client's connection, as its requests see it.
pub(super) struct Peer {
    pub(super) number: u64,
    pub(super) host: Host,
    pub(super) shared: Arc<Shared>,
    pub(super) provider_token: apns::ProviderToken,
}

/// Accepts connections until the task is aborted, which ends them too.
pub(super) async fn listen(listener: TcpListener, host: Host, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, host, acceptor.clone(), Arc::clone(&shared)));
                }
                // Out of file descriptors, most likely: they come back as connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, host: Host, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let peer = Peer { number, host, shared, provider_token: apns::ProviderToken::default() };
    if let Err(error) = open(stream, &acceptor, &peer).await {
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
    let connection = server::Builder::new()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    match serve(connection, peer).await.map_err(io::Error::other)? {
        End::Closed => Ok(()),
        End::Reset => socket.set_zero_linger(),
    }
}

enum End {
    Closed,
    Reset,
}

async fn serve<T>(mut connection: Connection<T, Bytes>, peer: &Peer) -> Result<End, h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut exchanges = FuturesUnordered::new();
    loop {
        let mut next = tokio::select! {
            // First all that has come in, then the answers to it; accepting is also what writes them out.
            biased;
            accepted = connection.accept() => match accepted {
                Some(request) => {
                    let (request, respond) = request?;
                    exchanges.push(exchange::serve(peer, request, respond));
                    continue;
                }
                None => return Ok(End::Closed),
            },
            Some(next) = exchanges.next() => Some(next),
        };
        while let Some(order) = next {
            match order {
                Next::GoOn => {}
                Next::GoAway => connection.graceful_shutdown(),
                Next::Reset => return Ok(End::Reset),
                Next::FallSilent => std::future::pending().await,
            }
            next = exchanges.next().now_or_never().flatten();
        }
    }
}
