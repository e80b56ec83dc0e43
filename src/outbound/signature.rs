//! Signatures of Standard Webhooks, version 1: HMAC-SHA256 of `<id>.<timestamp>.<body>`
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;

use data_encoding::BASE64;
use ring::hmac;

use crate::config::webhooks::SigningSecret;

/// The keys of an endpoint, each of which signs, so that the receiver may change over from one to another at its leisure.
pub(super) struct Keys(Vec<hmac::Key>);

impl Keys {
    pub(super) fn new(secrets: &[SigningSecret]) -> Self {
        Self(secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal())).collect())
    }

    /// The header's value.
    pub(super) fn sign(&self, id: impl fmt::Display, seconds: u64, body: &str) -> String {
        let signed = format!("{id}.{seconds}.{body}");
        let signatures = self.0.iter().map(|key| BASE64.encode(hmac::sign(key, signed.as_bytes()).as_ref()));
        signatures.map(|signature| format!("v1,{signature}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_reference() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let keys = Keys::new(std::slice::from_ref(&secret));
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(keys.sign(id, 1_614_265_330, body), signature);
        let other = SigningSecret::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").expect("a secret");
        let both = Keys::new(&[other, secret]).sign(id, 1_614_265_330, body);
        assert!(both.split(' ').count() == 2 && both.ends_with(signature), "{both}");
    }
}
