//! Where a provider is, and how to get a TLS connection to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PushError;
use super::error::TransportError;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// The host of a provider, with the trust that its section gives it.
pub(super) struct Endpoint {
    authority: Authority,
    host: String,
    port: u16,
    server_name: ServerName<'static>,
    tls: TlsConnector,
}

impl Endpoint {
    /// Reads `https://host[:port]`, the value of the configuration key `key`; a path is left to the caller.
    pub(super) fn new(key: &str, uri: &Uri, tls: Arc<ClientConfig>) -> Result<Self, PushError> {
        let fault = |problem| PushError::Value { key: key.to_owned(), problem };
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(fault("must begin with https://"));
        }
        let authority = uri.authority().ok_or_else(|| fault("must name a host"))?.clone();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(host.clone()).map_err(|_| fault("must name a valid host"))?;
        let port = authority.port_u16().unwrap_or(443);
        Ok(Self { authority, host, port, server_name, tls: tls.into() })
    }

    /// The URI of a path here.
    pub(super) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Connects, with DNS asked afresh; `turn` chooses which of several addresses is tried first.
    pub(super) async fn connect(&self, turn: usize) -> Result<(TlsStream<TcpStream>, SocketAddr), TransportError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut addresses: Vec<_> = found.map_err(|e| TransportError::Resolve(self.host.clone(), e))?.collect();
        if addresses.is_empty() {
            return Err(TransportError::NoAddress(self.host.clone()));
        }
        let first = turn % addresses.len();
        addresses.rotate_left(first);
        let (tcp, address) = first_to_connect(&addresses).await?;
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

async fn first_to_connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), TransportError> {
    let mut last = TransportError::NoAddress(String::new());
    for &address in addresses {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(tcp) => return Ok((tcp, address)),
            Err(error) => last = TransportError::Connect(address.to_string(), error),
        }
    }
    Err(last)
}
