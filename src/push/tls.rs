//! Whom to trust: the machine's own roots, and per section one more from a file.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::PushError;
use super::sections::Text;

/// The machine's trust roots, loaded once.
pub(super) struct Roots {
    native: RootCertStore,
    problem: Option<String>,
}

impl Roots {
    /// Loads the machine's trust roots; that there are none is no error before one is needed.
    pub(super) fn load() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut native = RootCertStore::empty();
        native.add_parsable_certificates(found.certs);
        Self { native, problem: found.errors.first().map(ToString::to_string) }
    }

    /// The TLS settings of a section; `key` is the full name of its `ca_file`.
    pub(super) fn client(&self, key: &str, ca_file: Option<&Text<'_>>) -> Result<Arc<ClientConfig>, PushError> {
        let mut roots = self.native.clone();
        if let Some(Text { path, contents, .. }) = ca_file {
            let not_certificates = || PushError::Certificates { key: key.to_owned(), path: (*path).to_owned() };
            let certificates = CertificateDer::pem_slice_iter(contents.as_bytes()).collect::<Result<Vec<_>, _>>();
            let (added, ignored) = roots.add_parsable_certificates(certificates.map_err(|_| not_certificates())?);
            if added == 0 || ignored > 0 {
                return Err(not_certificates());
            }
        }
        if roots.is_empty() {
            let problem = self.problem.clone().unwrap_or_else(|| "none found".to_owned());
            return Err(PushError::NoRoots { key: key.to_owned(), problem });
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(PushError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}
