//! The metadata server, which machines of Google have beside them: it lends the identity of the machine's service account.
//!
//! Source: <https://cloud.google.com/compute/docs/access/authenticate-workloads>. It is asked over plain HTTP, on an address
//! that leads nowhere else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};

use super::identity::Granted;
use super::oauth::{OAuthError, SCOPE};

const HOST: &str = "metadata.google.internal";
const TIMEOUT: Duration = Duration::from_secs(3);
/// Both sides show that they mean it, so that no other server is taken for this one.
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");
const MAX_BYTES: usize = 16 * 1024;

/// The metadata server of this machine.
pub(super) struct MetadataServer {
    client: Client,
    base: Url,
}

impl MetadataServer {
    /// The usual one, or that of `GCE_METADATA_HOST`.
    pub(super) fn new(host: Option<String>) -> Result<Self, &'static str> {
        let host = host.unwrap_or_else(|| HOST.to_owned());
        let base = Url::parse(&format!("http://{host}/computeMetadata/v1/"));
        let base = base.map_err(|_| "is not set, and GCE_METADATA_HOST is not a host with a port")?;
        let client = client().ok_or("is not set, and no HTTP client for the metadata server can be made")?;
        Ok(Self { client, base })
    }

    /// Where it is.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or(HOST)
    }

    /// Asks for a token.
    pub(super) async fn fetch(&self) -> Result<Granted, OAuthError> {
        let path = format!("instance/service-accounts/default/token?scopes={SCOPE}");
        Granted::read(&self.get(&path).await?).ok_or(OAuthError::Answer)
    }

    /// The project that the machine is of.
    pub(super) async fn project(&self) -> Result<String, OAuthError> {
        let body = self.get("project/project-id").await?;
        let project = std::str::from_utf8(&body).map(str::trim).unwrap_or_default();
        if project.is_empty() { Err(OAuthError::Answer) } else { Ok(project.to_owned()) }
    }

    async fn get(&self, path: &str) -> Result<Bytes, OAuthError> {
        let url = self.base.join(path).map_err(|_| OAuthError::Answer)?;
        let mut answer = self.client.get(url).header(FLAVOR.0, FLAVOR.1).send().await.map_err(OAuthError::Metadata)?;
        if answer.headers().get(FLAVOR.0).is_none_or(|flavor| flavor != FLAVOR.1) {
            return Err(OAuthError::NotMetadata);
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(OAuthError::Metadata)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_BYTES {
                return Err(OAuthError::Answer);
            }
        }
        match answer.status().as_u16() {
            200 => Ok(body.into()),
            // What it says then may be a page of HTML.
            status => Err(OAuthError::Refused { status, error: "(metadata server)".to_owned() }),
        }
    }
}

/// A client that trusts no certificate, since it meets none.
fn client() -> Option<Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().redirect(Policy::none());
    client.timeout(TIMEOUT).build().ok()
}
