//! What a server with TLS and access control is given: a certificate, made at each start, and a user for the gateway.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// The user for the gateway.
pub const USER: &str = "bellwire";
/// Its password.
pub const PASSWORD: &str = "a-password-of-the-tests";
/// The user for the tests themselves, who may do anything; its password is the same.
pub(super) const ADMIN: &str = "admin";

/// What the gateway may do: its own keys and channels, nothing that touches others', and reading how the server is set up.
const RIGHTS: &str = "~bw:* &bw:* +@all -@admin -@dangerous +info +config|get";

/// Writes certificates for 127.0.0.1 into a folder, `ca.pem` among them.
pub(in crate::support) fn write_certificates(folder: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Bellwire tests");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).and_then(|params| params.signed_by(&key, &authority));
    let write = |name, text| std::fs::write(folder.join(name), text).expect("a file");
    write("ca.pem", authority.pem());
    write("certificate.pem", certificate.expect("a certificate").pem());
    write("key.pem", key.serialize_pem());
}

/// The lines of the configuration that switch both on, beside the port; the server stands in the folder of its data.
pub(super) fn settings() -> String {
    format!(
        "tls-cert-file ../certificate.pem\n\
         tls-key-file ../key.pem\n\
         tls-ca-cert-file ../ca.pem\n\
         tls-auth-clients no\n\
         user default off\n\
         user {ADMIN} on >{PASSWORD} ~* &* +@all\n\
         user {USER} on >{PASSWORD} {RIGHTS}\n"
    )
}
