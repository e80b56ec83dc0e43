//! Servers that do what the simulator cannot be told: say exactly these words, or send exactly these frames.

pub(super) mod host;
pub(super) mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A name that no resolver knows, in the certificate of every such server.
pub(super) const NAME: &str = "provider.test";

/// A listener on loopback; its connections end when it is dropped.
pub(super) struct Server {
    pub address: SocketAddr,
    pub(super) ca_pem: String,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Handles each connection, numbered from 1, by `handle`.
    pub(super) async fn start<F>(handle: impl Fn(u32, TlsStream<TcpStream>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), handle)
    }

    /// The same on a listener that is there already.
    pub(super) fn on<F>(
        listener: TcpListener,
        handle: impl Fn(u32, TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, ca_pem) = tls();
        let address = listener.local_addr().expect("an address");
        let handle = Arc::new(handle);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 1.. {
                let (tcp, _) = listener.accept().await.expect("a connection");
                tcp.set_nodelay(true).expect("a socket");
                let (acceptor, handle) = (acceptor.clone(), Arc::clone(&handle));
                connections.spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        handle(number, tls).await;
                    }
                });
            }
        });
        Self { address, ca_pem, accepting }
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Writes the certificate to trust beside another file, and says where.
    pub(super) fn ca_file(&self, beside: &Path) -> PathBuf {
        let path = beside.with_file_name(format!("ca-{}.pem", self.address.port()));
        std::fs::write(&path, &self.ca_pem).expect("written");
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn tls() -> (TlsAcceptor, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1", "localhost", NAME].map(str::to_owned);
    let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signed");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    (Arc::new(config).into(), authority.pem())
}
