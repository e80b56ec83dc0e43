//! Where a provider is, and how to get a TLS connection to it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PushError;
use super::error::TransportError;
use super::surroundings::Surroundings;

/// Of one address.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// After so long without an answer the next address is tried beside the first (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// The host of a provider, with the trust that its section gives it.
pub(super) struct Endpoint {
    authority: Authority,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    surroundings: Surroundings,
}

impl Endpoint {
    /// Reads `https://host[:port]`, the value of the configuration key `key`; a path is left to the caller.
    pub(super) fn new(
        key: &str,
        uri: &Uri,
        tls: Arc<ClientConfig>,
        surroundings: Surroundings,
    ) -> Result<Self, PushError> {
        let fault = |problem| PushError::Value { key: key.to_owned(), problem };
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(fault("must begin with https://"));
        }
        let authority = uri.authority().ok_or_else(|| fault("must name a host"))?.clone();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(host.clone()).map_err(|_| fault("must name a valid host"))?;
        let port = authority.port_u16().unwrap_or(443);
        Ok(Self { authority, host, port, server_name, tls: tls.into(), surroundings })
    }

    /// The URI of a path here.
    pub(super) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// How long a connection to it may be silent before it is asked for a sign of life.
    pub(super) fn idle_before_ping(&self) -> Duration {
        self.surroundings.idle_before_ping
    }

    /// Connects, with DNS asked afresh; `turn` chooses which of several addresses is tried first.
    pub(super) async fn connect(&self, turn: usize) -> Result<(TlsStream<TcpStream>, SocketAddr), TransportError> {
        let found = self.surroundings.resolver.resolve(&self.host, self.port).await;
        let mut addresses = found.map_err(|e| TransportError::Resolve(self.host.clone(), e))?;
        if addresses.is_empty() {
            return Err(TransportError::NoAddress(self.host.clone()));
        }
        let first = turn % addresses.len();
        addresses.rotate_left(first);
        let (tcp, address) = first_to_connect(alternating(addresses)).await?;
        let connect_error = |e| TransportError::Connect(address.to_string(), e);
        tcp.set_nodelay(true).map_err(connect_error)?;
        let tls = self.tls.connect(self.server_name.clone(), tcp).await;
        let tls = tls.map_err(|e| TransportError::Tls(self.authority.to_string(), e))?;
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(TransportError::NotHttp2(self.authority.to_string()));
        }
        Ok((tls, address))
    }
}

/// The addresses with the families by turns, beginning with that of the first, so that a network without one of the two
/// costs one attempt (RFC 8305, section 4).
fn alternating(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let begins_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == begins_with_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = VecDeque::new();
    loop {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            return all;
        }
    }
}

/// Tries one address after another, the next as soon as one fails or lets itself be waited for.
async fn first_to_connect(mut addresses: VecDeque<SocketAddr>) -> Result<(TcpStream, SocketAddr), TransportError> {
    let mut attempts = FuturesUnordered::new();
    let mut last = TransportError::NoAddress(String::new());
    loop {
        attempts.extend(addresses.pop_front().map(connect_to));
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            },
            () = sleep(NEXT_ADDRESS_AFTER), if !addresses.is_empty() => {}
            else => return Err(last),
        }
    }
}

async fn connect_to(address: SocketAddr) -> Result<(TcpStream, SocketAddr), TransportError> {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    Ok((connected.map_err(|error| TransportError::Connect(address.to_string(), error))?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let (six, four) = (["[::1]:1", "[::2]:1", "[::3]:1"].map(address), ["127.0.0.1:1"].map(address));
        let all = alternating([six.as_slice(), &four].concat());
        assert_eq!(all, [six[0], four[0], six[1], six[2]]);
        assert_eq!(
            alternating([four.as_slice(), &six].concat()).range(..2).copied().collect::<Vec<_>>(),
            [four[0], six[0]]
        );
        assert!(alternating(Vec::new()).is_empty());
    }
}
