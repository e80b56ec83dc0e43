//! The simulator's certificate authority and its server certificate, made at each start.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;

use super::SimulatorError;

/// What HTTP/2 is called in the TLS handshake (RFC 9113, 3.2).
pub(super) const H2: &[u8] = b"h2";

pub(super) struct Tls {
    /// The authority's certificate, for clients to trust.
    pub(super) ca_pem: String,
    pub(super) server: ServerConfig,
}

/// Makes an authority and a certificate for these names and addresses.
pub(super) fn make(names: Vec<String>) -> Result<Tls, SimulatorError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Bellwire simulator");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    server.alpn_protocols = vec![H2.to_vec()];
    Ok(Tls { ca_pem: authority.pem(), server })
}
