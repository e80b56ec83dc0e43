//! hyper's HTTP/2 client and nothing else: the same headers, a body that was made once.

use std::fs;
use std::sync::Arc;

use bellwire::clock::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::Failure;
use crate::stage::{APP, Stage, token};

const CONNECTIONS: u32 = 2;

pub struct Bare {
    senders: Vec<SendRequest<Full<Bytes>>>,
    url: String,
    authorization: String,
    body: Bytes,
    clock: Clock,
}

impl Bare {
    pub async fn start(stage: &Stage) -> Result<Self, Failure> {
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            senders.push(connect(stage).await?);
        }
        let clock = Clock::system();
        let now = clock.now().as_millis();
        // What Bellwire's payload has.
        let body = json!({
            "aps": {}, "type": "ring", "call_id": clock.call_id(), "caller_id": "alice", "caller_name": "Alice Liddell",
            "caller_avatar": "https://example.com/alice.png", "video": true, "created_at": now, "expires_at": now,
            "server_time": now, "ticket": "t".repeat(260), "url": "https://calls.example.com",
        });
        let (url, authorization) = (stage.url.clone(), stage.authorization()?);
        Ok(Self { senders, url, authorization, body: body.to_string().into(), clock })
    }

    /// Sends so many requests, so many at a time.
    pub async fn round(&self, pushes: u32, concurrency: u32) -> Result<(), Failure> {
        let mut workers = JoinSet::new();
        for worker in 0..concurrency {
            let mut sender = self.senders[(worker % CONNECTIONS) as usize].clone();
            let (url, authorization) = (self.url.clone(), self.authorization.clone());
            let (body, clock) = (self.body.clone(), self.clock.clone());
            workers.spawn(async move {
                for _ in (worker..pushes).step_by(concurrency as usize) {
                    let request = Request::post(format!("{url}/3/device/{}", token(worker)))
                        .header("authorization", &authorization)
                        .header("content-type", "application/json")
                        .header("apns-push-type", "voip")
                        .header("apns-priority", "10")
                        .header("apns-topic", format!("{APP}.voip"))
                        .header("apns-expiration", clock.now().as_secs() + 10)
                        .header("apns-id", clock.uuid().to_string())
                        .body(Full::new(body.clone()))?;
                    sender.ready().await?;
                    let answer = sender.send_request(request).await?;
                    let status = answer.status();
                    let body = answer.into_body().collect().await?.to_bytes();
                    if status != 200 {
                        return Err(Failure::from(format!("{status} {}", String::from_utf8_lossy(&body))));
                    }
                }
                Ok(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok(())
    }
}

async fn connect(stage: &Stage) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&fs::read(stage.file("ca.pem"))?)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let address: std::net::SocketAddr = stage.url.trim_start_matches("https://").parse()?;
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let tls = TlsConnector::from(Arc::new(tls)).connect(ServerName::from(address.ip()), tcp).await?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tls)).await?;
    tokio::spawn(async move {
        // How it ends, its requests tell.
        let _ = connection.await;
    });
    Ok(sender)
}
