//! Key pairs for tests, made when they are wanted.

use std::sync::OnceLock;

use data_encoding::{BASE64_MIME, BASE64URL_NOPAD};
use jsonwebtoken::EncodingKey;
use rcgen::{KeyPair, PublicKeyData};
use ring::signature::{RsaKeyPair, RsaPublicKeyComponents};

/// An RSA key of 2048 bits, in the forms in which people have one.
pub(crate) struct RsaKeys {
    pub(crate) private_pem: String,
    /// `RSA PUBLIC KEY`, PKCS#1.
    pub(crate) public_pkcs1: String,
    /// `PUBLIC KEY`, SPKI.
    pub(crate) public_spki: String,
    /// As a JWK has it.
    pub(crate) n: String,
    pub(crate) e: String,
}

/// The one RSA key of this test run, since making one takes a while.
pub(crate) fn rsa() -> &'static RsaKeys {
    static KEYS: OnceLock<RsaKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let private_pem = crate::simulator::rsa_private_pem();
        let private = EncodingKey::from_rsa_pem(private_pem.as_bytes()).expect("PEM");
        let pair = RsaKeyPair::from_der(private.inner()).expect("a key pair");
        let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
        // What stands before a PKCS#1 key of 270 bytes in SPKI (RFC 5280, section 4.1.2.7; RFC 8017, A.1).
        let before =
            b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03\x82\x01\x0f\x00";
        RsaKeys {
            public_pkcs1: pem("RSA PUBLIC KEY", pair.public().as_ref()),
            public_spki: pem("PUBLIC KEY", &[before, pair.public().as_ref()].concat()),
            n: BASE64URL_NOPAD.encode(&public.n),
            e: BASE64URL_NOPAD.encode(&public.e),
            private_pem,
        }
    })
}

/// A new key on P-256.
pub(crate) fn ec() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// The `x` and `y` of a key on P-256, as a JWK has them.
pub(crate) fn ec_coordinates(key: &KeyPair) -> (String, String) {
    let point = key.der_bytes();
    (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]))
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}-----END {tag}-----\n", BASE64_MIME.encode(der))
}
