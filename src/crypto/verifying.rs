//! Keys that verify, each with its one algorithm.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::KeyError;

/// Sizes of an RSA modulus that ring verifies with, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Length of a P-256 point, uncompressed: 4, x, y.
const P256_POINT_BYTES: usize = 65;

/// A key and the one algorithm that it is used with, whatever a token says.
#[derive(Clone)]
pub struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl VerifyingKey {
    /// The one algorithm that it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A shared secret for HS256.
    pub fn hs256(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// An RSA public key in PEM for RS256: `PUBLIC KEY` (SPKI) or `RSA PUBLIC KEY` (PKCS#1).
    pub fn rs256_pem(pem: &str) -> Result<Self, KeyError> {
        expect_public(pem)?;
        let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(KeyError::Unreadable)?;
        // The DER holds little beside the modulus, so its length tells keys that are too short.
        if key.as_bytes().len() < *RSA_BYTES.start() {
            return Err(KeyError::RsaSize);
        }
        Ok(Self { algorithm: Algorithm::RS256, key })
    }

    /// A public key on P-256 in PEM for ES256: `PUBLIC KEY` (SPKI).
    pub fn es256_pem(pem: &str) -> Result<Self, KeyError> {
        expect_public(pem)?;
        let key = DecodingKey::from_ec_pem(pem.as_bytes()).map_err(KeyError::Unreadable)?;
        if key.as_bytes().len() != P256_POINT_BYTES {
            return Err(KeyError::NotP256);
        }
        Ok(Self { algorithm: Algorithm::ES256, key })
    }

    /// An RSA public key for RS256 by the `n` and `e` of a JWK (RFC 7518, section 6.3.1).
    pub fn rs256_jwk(n: &str, e: &str) -> Result<Self, KeyError> {
        let (n, e) = (coordinate(n).ok_or(KeyError::RsaSize)?, coordinate(e).ok_or(KeyError::RsaSize)?);
        // Some providers write a leading zero, which ring refuses.
        let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
        if !RSA_BYTES.contains(&n.len()) {
            return Err(KeyError::RsaSize);
        }
        Ok(Self { algorithm: Algorithm::RS256, key: DecodingKey::from_rsa_raw_components(n, &e) })
    }

    /// A public key on P-256 for ES256 by the `x` and `y` of a JWK (RFC 7518, section 6.2.1).
    pub fn es256_jwk(x: &str, y: &str) -> Result<Self, KeyError> {
        let (x, y) = (coordinate(x).ok_or(KeyError::NotP256)?, coordinate(y).ok_or(KeyError::NotP256)?);
        if x.len() != 32 || y.len() != 32 {
            return Err(KeyError::NotP256);
        }
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        Ok(Self { algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(&point) })
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?})", self.algorithm)
    }
}

fn coordinate(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// `jsonwebtoken` would take a private key or a certificate here, and then verify nothing with it.
fn expect_public(pem: &str) -> Result<(), KeyError> {
    let public = ["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"];
    if public.iter().any(|begin| pem.contains(begin)) { Ok(()) } else { Err(KeyError::NotPublic) }
}
