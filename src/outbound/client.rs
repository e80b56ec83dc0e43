//! The HTTP client for the app's own side: the machine's roots, no redirects.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// A client whose requests take at most `timeout`, the answer's body included.
pub fn client(timeout: Duration) -> Result<Client, ClientError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none()).timeout(timeout);
    client.user_agent(concat!("bellwire/", env!("CARGO_PKG_VERSION"))).build().map_err(ClientError::Client)
}
