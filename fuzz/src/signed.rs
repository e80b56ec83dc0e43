//! Compact JWTs whose header and claims are the input's and whose signature is right, and a check of signatures that shares no code with
//! Bellwire's.

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::Value;

use crate::told::is_token;

/// `header`, a new line and `claims`, encoded and signed.
pub fn compose(parts: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let newline = parts.iter().position(|byte| *byte == b'\n').unwrap_or(parts.len());
    let (header, claims) = (&parts[..newline], parts.get(newline + 1..).unwrap_or_default());
    let signed = format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims));
    let signature = BASE64URL_NOPAD.encode(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The HMAC-SHA256 under a secret.
pub fn hs256(secret: &str, signed: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed).as_ref().to_vec()
}

/// Whether a token says HS256 and is signed so under a secret.
pub fn is_hs256_of(secret: &str, token: &str) -> bool {
    is_signed(token, "HS256", |signed, signature| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, signed, signature).is_ok()
    })
}

/// Whether a token says this algorithm and `verify` takes its signature.
pub fn is_signed(token: &str, algorithm: &str, verify: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let Some((signed, signature)) = token.rsplit_once('.') else { return false };
    let header = signed.split('.').next().unwrap_or_default();
    let Ok(header) = BASE64URL_NOPAD.decode(header.as_bytes()) else { return false };
    let Ok(header) = serde_json::from_slice::<Value>(&header) else { return false };
    let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else { return false };
    header["alg"] == algorithm && verify(signed.as_bytes(), &signature)
}

/// The token with one bit of header, claims or signature changed, in three ways that depend on its length alone.
pub fn bent(token: &str) -> impl Iterator<Item = String> {
    let parts: Vec<Vec<u8>> =
        token.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap_or_default()).collect();
    (0..parts.len()).filter_map(move |index| {
        let mut parts = parts.clone();
        let place = parts[index].len().checked_sub(1)? / 2;
        parts[index][place] ^= 1;
        let parts: Vec<String> = parts.iter().map(|part| BASE64URL_NOPAD.encode(part)).collect();
        Some(parts.join("."))
    })
}

/// Fails if an error repeats the claims or the signature of a token.
pub fn is_not_told(token: &str, error: &str) {
    for part in token.split('.').skip(1).filter(|part| is_token(part)) {
        assert!(!error.contains(part), "a token is told in {error:?}");
    }
}
