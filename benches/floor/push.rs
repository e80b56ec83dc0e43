//! Apple and Google on the bare `h2` crate: two connections to each, credentials made once, answers read.

use std::env::var;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::crypto::{Es256Key, Rs256Key};
use bellwire::domain::Timestamp;
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{Request, StatusCode, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Failure;

const CONNECTIONS: usize = 2;
const FORM: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";

/// What a phone that rings is told.
#[derive(Serialize)]
pub struct Ring<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub call_id: &'a str,
    pub caller_id: &'a str,
    pub caller_name: &'a str,
    pub video: bool,
    pub created_at: u64,
    pub expires_at: u64,
    pub ticket: String,
    pub url: &'a str,
    pub metadata: &'a RawValue,
}

#[derive(Serialize)]
struct Notification<'a> {
    aps: Nothing,
    #[serde(flatten)]
    ring: &'a Ring<'a>,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    private_key_id: String,
    project_id: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

pub struct Providers {
    apple: Host,
    google: Host,
    topic: String,
    /// Where Google takes messages.
    messages: String,
}

/// A host and what it is shown.
struct Host {
    senders: Vec<SendRequest<Bytes>>,
    next: AtomicUsize,
    url: String,
    authorization: String,
}

impl Providers {
    pub async fn connect(clock: &Clock) -> Result<Self, Failure> {
        let tls = tls()?;
        let key = Es256Key::from_pem(&std::fs::read_to_string(var("APNS_KEY_FILE")?)?)?;
        let claims = json!({"iss": var("APNS_TEAM_ID")?, "iat": clock.now().as_secs()});
        let token = key.sign_jwt(&json!({"kid": var("APNS_KEY_ID")?}), &claims)?;
        let mut apple = Host::connect(&tls, &var("APNS_ENDPOINT")?).await?;
        apple.authorization = format!("bearer {token}");
        let account: Account = serde_json::from_slice(&std::fs::read(var("FCM_SERVICE_ACCOUNT_FILE")?)?)?;
        let mut google = Host::connect(&tls, &var("FCM_ENDPOINT")?).await?;
        google.authorization = format!("Bearer {}", access_token(&tls, &account, clock).await?);
        let messages = format!("{}/v1/projects/{}/messages:send", google.url, account.project_id);
        Ok(Self { apple, google, topic: format!("{}.voip", var("APP")?), messages })
    }

    /// Whether Apple took it.
    pub async fn apns(&self, token: &str, ring: &Ring<'_>, now: Timestamp) -> Result<bool, Failure> {
        let request = Request::post(format!("{}/3/device/{token}", self.apple.url))
            .header("authorization", &self.apple.authorization)
            .header("content-type", "application/json")
            .header("apns-push-type", "voip")
            .header("apns-priority", "10")
            .header("apns-topic", &self.topic)
            .header("apns-expiration", (now + Duration::from_secs(10)).as_secs())
            .header("apns-id", ring.call_id)
            .body(())?;
        let body = serde_json::to_vec(&Notification { aps: Nothing {}, ring })?;
        let (status, _) = self.apple.send(request, body.into()).await?;
        Ok(status == StatusCode::OK)
    }

    /// Whether Google took it.
    pub async fn fcm(&self, token: &str, ring: &Ring<'_>) -> Result<bool, Failure> {
        let request = Request::post(&self.messages)
            .header("authorization", &self.google.authorization)
            .header("content-type", "application/json")
            .body(())?;
        let text = |number: u64| number.to_string();
        let data = json!({
            "type": ring.kind, "call_id": ring.call_id, "caller_id": ring.caller_id, "caller_name": ring.caller_name,
            "video": "true", "created_at": text(ring.created_at), "expires_at": text(ring.expires_at),
            "ticket": ring.ticket, "url": ring.url, "metadata": ring.metadata.get(),
        });
        let android = json!({"priority": "HIGH", "ttl": "45s", "collapse_key": ring.call_id});
        let body = json!({"message": {"token": token, "data": data, "android": android}}).to_string();
        let (status, _) = self.google.send(request, body.into()).await?;
        Ok(status == StatusCode::OK)
    }
}

impl Host {
    async fn connect(tls: &TlsConnector, url: &str) -> Result<Self, Failure> {
        let uri: Uri = url.parse()?;
        let (name, port) = (uri.host().ok_or("no host")?, uri.port_u16().unwrap_or(443));
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect((name, port)).await?;
            stream.set_nodelay(true)?;
            let stream = tls.connect(ServerName::try_from(name.to_owned())?, stream).await?;
            let (sender, connection) = handshake(stream).await?;
            tokio::spawn(connection);
            senders.push(sender.ready().await?);
        }
        Ok(Self { senders, next: AtomicUsize::new(0), url: url.to_owned(), authorization: String::new() })
    }

    async fn send(&self, request: Request<()>, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        let mut sender = self.senders[number].clone().ready().await?;
        let (answer, mut stream) = sender.send_request(request, false)?;
        stream.send_data(body, true)?;
        let (parts, mut body) = answer.await?.into_parts();
        let mut all = Vec::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            all.extend_from_slice(&part);
        }
        Ok((parts.status, all.into()))
    }
}

async fn access_token(tls: &TlsConnector, account: &Account, clock: &Clock) -> Result<String, Failure> {
    let now = clock.now();
    let claims = json!({
        "iss": account.client_email, "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": account.token_uri, "iat": now.as_secs(), "exp": (now + Duration::from_hours(1)).as_secs(),
    });
    let header = json!({"typ": "JWT", "kid": account.private_key_id});
    let assertion = Rs256Key::from_pem(&account.private_key)?.sign_jwt(&header, &claims)?;
    let form = Request::post(&account.token_uri).header("content-type", "application/x-www-form-urlencoded").body(())?;
    let host = Host::connect(tls, &account.token_uri).await?;
    let (_, answer) = host.send(form, format!("{FORM}{assertion}").into()).await?;
    Ok(serde_json::from_slice::<Granted>(&answer)?.access_token)
}

fn tls() -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(var("CA_FILE")?)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config).into())
}
