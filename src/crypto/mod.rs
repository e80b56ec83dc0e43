//! Signatures of tokens: HS256, RS256 and ES256 by ring, and nothing else; and encryption of what is stored (`sealing`).
//!
//! `jsonwebtoken` asks one provider per process for its cryptography; [`install`] makes that ours. Who is
//! believed, and which claims must be there, is for `ticket`, `livekit` and `http::auth` to say.

mod compact;
mod once;
pub mod proof;
mod provider;
mod sealing;
mod signing;
mod verifying;

#[cfg(test)]
pub(crate) mod test_keys;
#[cfg(test)]
mod tests;

pub use compact::{Compact, Header, Malformed, Refused};
pub use provider::{AlreadyInstalled, install};
pub use sealing::{KEY_BYTES, SealingKey};
pub use signing::{Es256Key, Hs256Key, Rs256Key, SignError};
pub use verifying::VerifyingKey;

use ring::digest::{SHA256, digest};
use ring::error::KeyRejected;
use thiserror::Error;
use uuid::{Builder, Uuid};

/// The UUID (version 8) that a name always has: the beginning of its SHA-256.
pub fn uuid_of(name: &str) -> Uuid {
    let digest = digest(&SHA256, name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Why a key cannot be used. It never shows the key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It is not PEM with a public key.
    #[error("is not a public key in PEM (BEGIN PUBLIC KEY or BEGIN RSA PUBLIC KEY)")]
    NotPublic,
    /// It is PEM of another kind of key, or damaged.
    #[error("is damaged, or a key of another kind")]
    Unreadable(#[source] jsonwebtoken::errors::Error),
    /// It is an RSA key of a size that is not accepted.
    #[error("is not an RSA key of 2048 to 8192 bits")]
    RsaSize,
    /// It is not a point of the curve P-256.
    #[error("is not a key on the curve P-256")]
    NotP256,
    /// It is a private key that ring does not take.
    #[error("is not a private key that can sign: {0}")]
    Rejected(KeyRejected),
}
