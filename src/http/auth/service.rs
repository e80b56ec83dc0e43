//! Keys of the app's backend, known by their hash alone.

use ring::digest::{SHA256, digest};
use ring::hmac;

use super::AuthError;

/// The hashes of all keys that are good.
pub(super) struct ServiceKeys(Vec<[u8; 32]>);

impl ServiceKeys {
    pub(super) fn new(hashes: &[[u8; 32]]) -> Self {
        Self(hashes.to_vec())
    }

    /// Checks a whole key, `bw_sk_` included, against each hash, in the same time whichever it is.
    pub(super) fn check(&self, key: &str) -> Result<(), AuthError> {
        let hash = digest(&SHA256, key.as_bytes());
        let known = self.0.iter().fold(false, |known, good| known | same(hash.as_ref(), good));
        if known { Ok(()) } else { Err(AuthError::BadServiceKey) }
    }
}

/// Whether a token is meant as a service key.
pub(super) fn is_service_key(token: &str) -> bool {
    token.starts_with("bw_sk_")
}

/// Compares as ring does, in constant time; what it compares are the MACs of nothing by either hash.
fn same(a: &[u8], b: &[u8; 32]) -> bool {
    let mac = |key: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&mac(b), b"", hmac::sign(&mac(a), b"").as_ref()).is_ok()
}
