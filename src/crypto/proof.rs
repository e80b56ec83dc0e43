//! Proofs that a phone got a push: what it was sent, and nobody else, it says back.
//!
//! Nothing is stored of one: it is a time and the HMAC-SHA256 of that time with whom and what it is for.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

use crate::domain::{DeviceId, PushToken, Timestamp, UserId};

/// What the keys are derived for, so that a proof is no signature of anything else under the same secrets.
const PURPOSE: &[u8] = b"bellwire device proof 1";
const TIME_BYTES: usize = 8;

/// What a proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who registers.
    pub user: &'a UserId,
    /// Which device of theirs.
    pub device: &'a DeviceId,
    /// The token that the proof is pushed to.
    pub token: &'a PushToken,
}

/// Makes and checks proofs.
#[derive(Clone)]
pub struct Proofs(Vec<hmac::Key>);

impl Proofs {
    /// Takes secrets, of which the first makes and each checks.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let derived = |secret| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), PURPOSE);
        Self(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, derived(secret).as_ref())).collect())
    }

    /// The proof of a claim that is good until then: 54 letters, digits, `-` and `_`; nothing without a secret.
    pub fn make(&self, claim: Claim<'_>, until: Timestamp) -> Option<String> {
        let time = until.as_millis().to_be_bytes();
        let tag = hmac::sign(self.0.first()?, &signed(claim, time));
        Some(BASE64URL_NOPAD.encode(&[&time, tag.as_ref()].concat()))
    }

    /// Whether a text is a proof of this claim that is good at `now`.
    pub fn check(&self, proof: &str, claim: Claim<'_>, now: Timestamp) -> bool {
        let Ok(bytes) = BASE64URL_NOPAD.decode(proof.as_bytes()) else { return false };
        let Some((time, tag)) = bytes.split_first_chunk::<TIME_BYTES>() else { return false };
        let is_genuine = |key: &hmac::Key| hmac::verify(key, &signed(claim, *time), tag).is_ok();
        now < Timestamp::from_millis(u64::from_be_bytes(*time)) && self.0.iter().any(is_genuine)
    }
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proofs({} secrets)", self.0.len())
    }
}

/// Each part behind its length, so that no two claims read alike.
fn signed(claim: Claim<'_>, time: [u8; TIME_BYTES]) -> Vec<u8> {
    let parts = [claim.user.as_str(), claim.device.as_str(), claim.token.as_str()];
    let mut signed = time.to_vec();
    for part in parts {
        signed.extend((part.len() as u64).to_be_bytes());
        signed.extend(part.as_bytes());
    }
    signed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_712_345_678_000);

    fn parts(user: &str, device: &str, token: &str) -> (UserId, DeviceId, PushToken) {
        let token = PushToken::new(token).expect("a token");
        (UserId::new(user).expect("a user"), DeviceId::new(device).expect("a device"), token)
    }

    fn check(
        proofs: &Proofs,
        proof: &str,
        (user, device, token): &(UserId, DeviceId, PushToken),
        now: Timestamp,
    ) -> bool {
        proofs.check(proof, Claim { user, device, token }, now)
    }

    #[test]
    fn a_proof_is_good_for_its_claim_and_time_alone() {
        let proofs = Proofs::new([b"one".as_slice()]);
        let mine = parts("bob", "phone", "token");
        let claim = Claim { user: &mine.0, device: &mine.1, token: &mine.2 };
        let proof = proofs.make(claim, NOW + Duration::from_mins(5)).expect("a proof");
        assert_eq!(proof.len(), 54);
        assert!(check(&proofs, &proof, &mine, NOW + Duration::from_millis(299_999)));
        assert!(!check(&proofs, &proof, &mine, NOW + Duration::from_mins(5)), "its time is over");
        for other in [parts("eve", "phone", "token"), parts("bob", "pad", "token"), parts("bob", "phone", "other")] {
            assert!(!check(&proofs, &proof, &other, NOW), "{:?}", other.0);
        }
        // The same letters, cut elsewhere.
        assert!(!check(&proofs, &proof, &parts("bobphone", "t", "oken"), NOW));
    }

    #[test]
    fn what_was_changed_or_made_up_is_no_proof() {
        let proofs = Proofs::new([b"one".as_slice()]);
        let mine = parts("bob", "phone", "token");
        let claim = Claim { user: &mine.0, device: &mine.1, token: &mine.2 };
        let proof = proofs.make(claim, NOW + Duration::from_mins(5)).expect("a proof");
        for place in 0..proof.len() {
            let mut changed = proof.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            assert!(changed == proof || !check(&proofs, &changed, &mine, NOW), "{place}");
        }
        for text in ["", "A", "AAAAAAAAAAA", &proof[..53], &format!("{proof}A"), &format!("{proof}=")] {
            assert!(!check(&proofs, text, &mine, NOW), "{text}");
        }
        assert_eq!(Proofs::new([]).make(claim, NOW), None);
    }

    #[test]
    fn a_former_secret_checks_and_a_strange_one_does_not() {
        let mine = parts("bob", "phone", "token");
        let claim = Claim { user: &mine.0, device: &mine.1, token: &mine.2 };
        let old = Proofs::new([b"old".as_slice()]).make(claim, NOW + Duration::from_mins(5)).expect("a proof");
        assert!(check(&Proofs::new([b"new".as_slice(), b"old"]), &old, &mine, NOW));
        assert!(!check(&Proofs::new([b"new".as_slice()]), &old, &mine, NOW));
        assert!(!format!("{:?}", Proofs::new([b"old".as_slice()])).contains("old"));
    }
}
