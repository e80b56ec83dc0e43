//! A signed token in the compact form, `header.claims.signature` (RFC 7515), taken apart and verified.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use thiserror::Error;

use super::VerifyingKey;
use super::once::NoNameTwice;

/// It is not a compact token, or asks for an algorithm or extension that nobody here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("is not a JWT that can be read")]
pub struct Malformed;

/// Why a key does not vouch for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// The token is for another algorithm than the key's.
    #[error("the algorithm is not the key's")]
    Algorithm,
    /// The signature is not this key's.
    #[error("the signature is wrong")]
    Signature,
}

/// What is read of a token's header.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// The algorithm that it claims; a key's own is what counts.
    pub alg: Algorithm,
    /// Which key of its issuer signed it.
    pub kid: Option<String>,
    /// What kind of token it is.
    pub typ: Option<String>,
    cty: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A token taken apart. Nothing in it is to be believed before [`verify`](Self::verify) has said so.
pub struct Compact<'a> {
    header: Header,
    signed: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; the claims are not looked at yet.
    pub fn read(token: &'a str) -> Result<Self, Malformed> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Malformed)?;
        let header: Header = json(header)?;
        // RFC 7515, section 4.1.11: who does not know a critical extension must refuse.
        if header.crit.is_some() {
            return Err(Malformed);
        }
        // RFC 7519, section 5.2: what it holds is a token itself, and nobody here nests them.
        if header.cty.as_ref().is_some_and(|cty| cty.eq_ignore_ascii_case("JWT")) {
            return Err(Malformed);
        }
        Ok(Self { header, signed, claims, signature })
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads its claims, verified or not.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        json(self.claims)
    }

    /// Verifies the signature with `key` and the algorithm of `key`.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), Refused> {
        if self.header.alg != key.algorithm {
            return Err(Refused::Algorithm);
        }
        match jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.key, key.algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refused::Signature),
        }
    }
}

fn json<T: DeserializeOwned>(part: &str) -> Result<T, Malformed> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Malformed)?;
    // RFC 7515, section 4, and RFC 7519, section 4: of two of a name, readers may choose either, and so disagree on what was signed.
    serde_json::from_slice::<NoNameTwice>(&bytes).map_err(|_| Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Malformed)
}
