//! A client of the gateway's API.

use reqwest::{Client, Method};
use serde_json::Value;

/// A client that keeps its connections.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// The body as JSON; null if it is none.
    pub json: Value,
}

impl Reply {
    /// The body of an answer that must have this status.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Checks that it is a problem with this status and code, and gives its body.
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.json["status"], status);
        self.json
    }
}

impl Http {
    pub fn new(base: String) -> Self {
        Self { client: plain_client(), base }
    }

    /// The same over HTTP/2.
    pub fn http2(&self) -> Self {
        let builder = Client::builder().no_proxy().tls_backend_preconfigured(no_tls()).http2_prior_knowledge();
        Self { client: builder.build().expect("a client"), base: self.base.clone() }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request that the caller finishes.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn send(request: reqwest::RequestBuilder) -> Reply {
        Self::try_send(request).await.expect("an answer")
    }

    /// Sends a request that may meet a gateway that is gone.
    pub async fn try_send(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, text, json })
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.json(Method::POST, path, token, body).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, token: &str, body: Value) -> Reply {
        self.json(Method::PUT, path, token, body).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Reply {
        Self::send(self.request(Method::GET, path).bearer_auth(token)).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Reply {
        Self::send(self.request(Method::DELETE, path).bearer_auth(token)).await
    }

    /// As [`post`](Self::post), where the gateway may be gone.
    pub async fn try_post(&self, path: &str, token: &str, body: &Value) -> reqwest::Result<Reply> {
        Self::try_send(self.with_json(Method::POST, path, token, body)).await
    }

    async fn json(&self, method: Method, path: &str, token: &str, body: Value) -> Reply {
        Self::send(self.with_json(method, path, token, &body)).await
    }

    fn with_json(&self, method: Method, path: &str, token: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.request(method, path).bearer_auth(token).header("content-type", "application/json");
        request.body(body.to_string())
    }
}

/// A client for whatever is on loopback.
pub fn plain_client() -> Client {
    Client::builder().no_proxy().tls_backend_preconfigured(no_tls()).build().expect("a client")
}

/// The gateway speaks plain HTTP on loopback; reqwest wants to know a TLS anyway.
fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
