//! Encryption of what is stored: AES-256-GCM under a key of its own for each thing, made of one key of the operator's.
//!
//! A key for each thing has two uses. What is sealed for one thing cannot be opened as another's, wherever it is copied to; and random
//! nonces are safe for as many seals as there ever are, since each key sees few (NIST SP 800-38D, section 8.3, allows 2^32). What is sealed,
//! and what it is of, is its owner's business.

use data_encoding::{BASE64, HEXLOWER};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};

/// How long a key is, in bytes.
pub const KEY_BYTES: usize = 32;
/// What an id of a key is of, so that it says nothing else of the key.
const ID: &[u8] = b"bellwire key id";
/// How much of that is the id, in bytes.
const ID_BYTES: usize = 4;

/// A key of the operator's. It prints as its id.
pub struct SealingKey {
    id: String,
    key: hmac::Key,
}

impl SealingKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let key = hmac::Key::new(HMAC_SHA256, bytes);
        let id = HEXLOWER.encode(&hmac::sign(&key, ID).as_ref()[..ID_BYTES]);
        Self { id, key }
    }

    /// Eight hex digits that name the key and do not give it away.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plain` for the thing that `of` names. The nonce, 12 random bytes, comes first in the answer, which is base64.
    pub fn seal(&self, of: &[&str], nonce: [u8; NONCE_LEN], mut plain: Vec<u8>) -> Option<String> {
        let key = self.key_of(of)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut plain).ok()?;
        Some(BASE64.encode(&[nonce.as_slice(), &plain].concat()))
    }

    /// What was sealed for the thing that `of` names; nothing if it was sealed for another, by another key, or was changed.
    pub fn open(&self, of: &[&str], sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = BASE64.decode(sealed.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let plain = self.key_of(of)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), sealed).ok()?;
        Some(plain.to_vec())
    }

    /// The key of a thing. Each part of its name comes after its length, so that no two names are alike.
    fn key_of(&self, of: &[&str]) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in of {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?))
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SealingKey").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; NONCE_LEN] = [7; NONCE_LEN];

    fn sealed(key: &SealingKey, of: &[&str]) -> String {
        key.seal(of, NONCE, b"the plain text".to_vec()).expect("sealed")
    }

    #[test]
    fn what_is_sealed_is_opened_as_what_it_is_of_alone() {
        let key = SealingKey::new(&[1; KEY_BYTES]);
        let text = sealed(&key, &["device", "ann", "phone"]);
        assert_eq!(key.open(&["device", "ann", "phone"], &text).as_deref(), Some(b"the plain text".as_slice()));
        for other in [&["device", "bob", "phone"], &["device", "annp", "hone"], &["other", "ann", "phone"]] {
            assert_eq!(key.open(other, &text), None, "{other:?}");
        }
        assert_eq!(SealingKey::new(&[2; KEY_BYTES]).open(&["device", "ann", "phone"], &text), None);
        assert!(!BASE64.decode(text.as_bytes()).expect("base64").windows(5).any(|bytes| bytes == b"plain"));
    }

    #[test]
    fn what_was_changed_or_cut_off_is_not_opened() {
        let key = SealingKey::new(&[1; KEY_BYTES]);
        let bytes = BASE64.decode(sealed(&key, &["a"]).as_bytes()).expect("base64");
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(key.open(&["a"], &BASE64.encode(&changed)), None, "byte {place}");
            assert_eq!(key.open(&["a"], &BASE64.encode(&bytes[..place])), None, "the first {place}");
        }
        assert_eq!(key.open(&["a"], "no base64!"), None);
    }

    #[test]
    fn a_key_has_an_id_and_does_not_print_itself() {
        let keys = [SealingKey::new(&[1; KEY_BYTES]), SealingKey::new(&[2; KEY_BYTES])];
        assert_ne!(keys[0].id(), keys[1].id());
        assert_eq!(format!("{:?}", keys[0]), format!("SealingKey({:?})", keys[0].id()));
    }

    /// Another derivation would hide what is stored.
    #[test]
    fn what_was_sealed_once_is_opened_for_good() {
        let key = SealingKey::new(&[1; KEY_BYTES]);
        assert_eq!(
            (key.id(), sealed(&key, &["device", "ann", "phone"]).as_str()),
            ("4a8b3f6d", "BwcHBwcHBwcHBwcHiu3EbnpBTy9gqXSb5DjXHTxNcyfmwPNxXciNMvv4")
        );
    }
}
