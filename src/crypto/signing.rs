//! Private keys that are parsed once and sign many tokens (an APNs provider token, Google's assertion).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use super::KeyError;

/// Why a token could not be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The header is not a JSON object.
    #[error("the header of a token must be a JSON object")]
    Header,
    /// The claims cannot be written as JSON.
    #[error("the claims cannot be written as JSON")]
    Claims(#[source] serde_json::Error),
    /// The signature could not be made.
    #[error("the signature could not be made")]
    Signature,
}

/// A private key on P-256 that signs with ES256.
pub struct Es256Key {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Es256Key {
    /// Reads PKCS#8 in PEM, as Apple's `.p8` files are; the public key must be in it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ec_pem(pem.as_bytes()).map_err(KeyError::Unreadable)?;
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.inner(), &random)
            .map_err(KeyError::Rejected)?;
        Ok(Self { pair, random })
    }

    /// Signs `claims` under `header`, to which it adds the `alg`.
    pub fn sign_jwt(&self, header: &Value, claims: &impl Serialize) -> Result<String, SignError> {
        let message = message("ES256", header, claims)?;
        let signature = self.pair.sign(&self.random, message.as_bytes()).map_err(|_| SignError::Signature)?;
        Ok(joined(message, signature.as_ref()))
    }
}

/// An RSA private key that signs with RS256.
pub struct Rs256Key {
    pair: RsaKeyPair,
    random: SystemRandom,
}

impl Rs256Key {
    /// Reads PKCS#8 or PKCS#1 in PEM, as Google's service accounts have it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(KeyError::Unreadable)?;
        let pair = RsaKeyPair::from_der(key.inner()).map_err(KeyError::Rejected)?;
        Ok(Self { pair, random: SystemRandom::new() })
    }

    /// Signs `claims` under `header`, to which it adds the `alg`; about a millisecond of work.
    pub fn sign_jwt(&self, header: &Value, claims: &impl Serialize) -> Result<String, SignError> {
        let message = message("RS256", header, claims)?;
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature)
            .map_err(|_| SignError::Signature)?;
        Ok(joined(message, &signature))
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Es256Key(secret)")
    }
}

impl fmt::Debug for Rs256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rs256Key(secret)")
    }
}

fn message(algorithm: &str, header: &Value, claims: &impl Serialize) -> Result<String, SignError> {
    let mut header = header.as_object().ok_or(SignError::Header)?.clone();
    header.insert("alg".to_owned(), algorithm.into());
    let mut message = BASE64URL_NOPAD.encode(Value::Object(header).to_string().as_bytes());
    message.push('.');
    BASE64URL_NOPAD.encode_append(&serde_json::to_vec(claims).map_err(SignError::Claims)?, &mut message);
    Ok(message)
}

fn joined(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    BASE64URL_NOPAD.encode_append(signature, &mut message);
    message
}
