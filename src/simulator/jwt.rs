//! Reads and verifies signed JWTs (RFC 7515, RFC 7519) as a provider does: one key, one algorithm, no choice.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The JOSE header, as far as providers read it.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
}

/// A JWT that is well formed and not yet verified.
pub(super) struct Jwt<'a, C> {
    pub(super) header: Header,
    pub(super) claims: C,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a, C: DeserializeOwned> Jwt<'a, C> {
    /// Takes a compact JWT apart; `None` if it is not one, or its claims are not of the shape asked for.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self { header: json(header)?, claims: json(claims)?, signed, signature: decode(signature)? })
    }

    /// Whether it says `ES256` and is signed by this P-256 key (its point, uncompressed).
    pub(super) fn is_es256_of(&self, key: &[u8]) -> bool {
        self.header.alg == "ES256" && self.is_signed(&ECDSA_P256_SHA256_FIXED, key)
    }

    /// Whether it says `RS256` and is signed by this RSA key (PKCS#1 in DER).
    pub(super) fn is_rs256_of(&self, key: &[u8]) -> bool {
        self.header.alg == "RS256" && self.is_signed(&RSA_PKCS1_2048_8192_SHA256, key)
    }

    fn is_signed(&self, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm, key).verify(self.signed.as_bytes(), &self.signature).is_ok()
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&decode(part)?).ok()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}
