//! The simulator, asked over real TLS and HTTP/2 by a client of a few lines.

mod apns;
mod bad_day;
mod control;
mod fault;
mod google;
mod session;

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Options, Simulator};
use crate::clock::Clock;
use crate::domain::Environment;

const DEVICE: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

/// A simulator, the clock that it goes by, and the rules that it starts with.
async fn start(rules: &[&str]) -> (Simulator, Clock) {
    let clock = Clock::system();
    let mut options = Options::new(clock.clone());
    options.rules = rules.iter().map(|rule| rule.parse().expect(rule)).collect();
    (Simulator::start(options).await.expect("it starts"), clock)
}

/// A connection to one of the simulator's hosts.
struct Client {
    url: String,
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A request that tests spoil before it is sent.
struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Client {
    async fn to(simulator: &Simulator, url: String) -> Self {
        let stream = handshake(simulator, &url, &[b"h2"]).await.expect("TLS");
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        Self { url, requests, connection: tokio::spawn(connection) }
    }

    async fn to_apns(simulator: &Simulator) -> Self {
        Self::to(simulator, simulator.apns_url(Environment::Production)).await
    }

    async fn to_google(simulator: &Simulator) -> Self {
        Self::to(simulator, simulator.fcm_url()).await
    }

    async fn ask(&self, ask: Ask) -> Result<Reply, h2::Error> {
        let mut request = Request::new(());
        *request.method_mut() = ask.method;
        *request.uri_mut() = format!("{}{}", self.url, ask.path).parse().expect("a URI");
        *request.headers_mut() = ask.headers;
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut body) = requests.send_request(request, false)?;
        body.send_data(ask.body, true)?;
        let (head, mut stream) = response.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.data().await {
            bytes.extend_from_slice(&chunk?);
        }
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Asks what must be answered.
    async fn get(&self, ask: Ask) -> Reply {
        self.ask(ask).await.expect("an answer")
    }
}

async fn handshake(simulator: &Simulator, url: &str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(simulator.credentials().ca_pem.as_bytes()).expect("a certificate");
    roots.add(ca).expect("an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let address = url.trim_start_matches("https://");
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

impl Ask {
    /// A VoIP push that Apple takes.
    fn voip(simulator: &Simulator, clock: &Clock) -> Self {
        let mut ask = Self::post(format!("/3/device/{DEVICE}"), json!({"type": "ring"}).to_string());
        ask.set("authorization", &format!("bearer {}", provider_token(simulator, clock.now().as_secs())));
        ask.set("apns-push-type", "voip");
        ask.set("apns-topic", "com.example.phone.voip");
        ask.set("apns-priority", "10");
        ask.set("apns-expiration", "0");
        ask.set("apns-id", "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
        ask
    }

    /// A message that FCM takes.
    fn fcm(simulator: &Simulator, access_token: &str, message: &Value) -> Self {
        let project = &simulator.credentials().fcm_project_id;
        let body = json!({ "message": message }).to_string();
        let mut ask = Self::post(format!("/v1/projects/{project}/messages:send"), body);
        ask.set("authorization", &format!("Bearer {access_token}"));
        ask.set("content-type", "application/json");
        ask
    }

    /// A request for an access token.
    fn oauth(assertion: &str) -> Self {
        let body = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let mut ask = Self::post("/token".to_owned(), body);
        ask.set("content-type", "application/x-www-form-urlencoded");
        ask
    }

    fn post(path: String, body: String) -> Self {
        Self { method: Method::POST, path, headers: HeaderMap::new(), body: body.into() }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, value.parse().expect("a header"));
    }
}

fn provider_token(simulator: &Simulator, issued: u64) -> String {
    let credentials = simulator.credentials();
    let header = json!({"alg": "ES256", "kid": credentials.apns_key_id});
    es256(&header, &json!({"iss": credentials.apns_team_id, "iat": issued}), &credentials.apns_key_pem)
}

/// The claims of a good assertion.
fn claims(simulator: &Simulator, clock: &Clock) -> Value {
    let account: Value = serde_json::from_str(&simulator.credentials().service_account_json).expect("JSON");
    let now = clock.now().as_secs();
    json!({
        "iss": account["client_email"],
        "aud": account["token_uri"],
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "iat": now,
        "exp": now + 3600,
    })
}

fn assertion(simulator: &Simulator, claims: &Value) -> String {
    let account: Value = serde_json::from_str(&simulator.credentials().service_account_json).expect("JSON");
    let key = RsaKeyPair::from_pkcs8(&der(account["private_key"].as_str().expect("a key"))).expect("a key");
    let signed = unsigned(&json!({"alg": "RS256", "typ": "JWT"}), claims);
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

async fn access_token(client: &Client, simulator: &Simulator, clock: &Clock) -> String {
    let reply = client.get(Ask::oauth(&assertion(simulator, &claims(simulator, clock)))).await;
    reply.body["access_token"].as_str().expect("an access token").to_owned()
}

fn es256(header: &Value, claims: &Value, key_pem: &str) -> String {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der(key_pem), &random).expect("a key");
    let signed = unsigned(header, claims);
    let signature = key.sign(&random, signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    BASE64.decode(lines.as_bytes()).expect("base64")
}
