//! The demo's own client of the gateway: requests with JSON, and the event stream (SSE).

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response};
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::time::timeout;

use crate::cli::{CliError, with_causes};

/// How long anything may take that should happen at once.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// A client of one gateway.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

/// An answer, read to its end.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The body as JSON; null if it is none.
    pub(super) body: Value,
}

impl Reply {
    /// The body of an answer that must have this status.
    pub(super) fn expect(self, status: u16) -> Result<Value, String> {
        if self.status == status {
            return Ok(self.body);
        }
        Err(format!("expected {status}, found {} {}", self.status, self.body["code"].as_str().unwrap_or_default()))
    }
}

impl Client {
    /// A client of the gateway at `base`, which speaks plain HTTP.
    pub(super) fn new(base: String) -> Result<Self, CliError> {
        let failed = |error: &dyn std::error::Error| CliError::Failed(with_causes(error));
        // Required by reqwest and not used: the gateway leaves TLS to the proxy in front of it.
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build();
        Ok(Self { http: client.map_err(|error| failed(&error))?, base })
    }

    /// Sends a request, with a JSON body if there is one.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Reply, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token).timeout(SOON);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| with_causes(&error))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| with_causes(&error))?;
        Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or_default() })
    }

    /// Opens the event stream.
    pub(super) async fn events(&self, token: &str) -> Result<Events, String> {
        let request = self.http.get(format!("{}/v1/events", self.base)).bearer_auth(token);
        let response = request.header("accept", "text/event-stream").send().await;
        let response = response.map_err(|error| with_causes(&error))?;
        match response.status().as_u16() {
            200 => Ok(Events { response, buffer: Vec::new() }),
            status => Err(format!("expected 200, found {status}")),
        }
    }
}

/// An open event stream.
pub(super) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// The next message's data, which must come `within` a time.
    pub(super) async fn next(&mut self, within: Duration) -> Result<Value, String> {
        match timeout(within, self.read()).await {
            Ok(result) => result,
            Err(_) => Err(format!("nothing came on the event stream within {} s", within.as_secs())),
        }
    }

    async fn read(&mut self) -> Result<Value, String> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let message = String::from_utf8_lossy(&message);
                if let Some(data) = message.lines().find_map(|line| line.strip_prefix("data:")) {
                    return serde_json::from_str(data).map_err(|error| format!("an event is no JSON: {error}"));
                }
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Err("the event stream ended".to_owned()),
                Err(error) => return Err(with_causes(&error)),
            }
        }
    }
}
