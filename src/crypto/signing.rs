//! Keys that are prepared once and sign many tokens: tickets and LiveKit's, APNs' provider tokens, Google's assertions.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::KeyError;

/// What the claims of most tokens fit in, as JSON.
const USUAL_CLAIMS: usize = 512;
/// What most tokens fit in.
const USUAL_TOKEN: usize = 1024;

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

/// A secret that signs tokens of one kind with HS256.
#[derive(Clone)]
pub struct Hs256Key {
    key: hmac::Key,
    /// The header as it stands in each token.
    header: String,
}

impl Hs256Key {
    /// Takes the secret, and the `typ` of the tokens.
    pub fn new(secret: &[u8], typ: &str) -> Self {
        let header = json!({"alg": "HS256", "typ": typ}).to_string();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), header: BASE64URL_NOPAD.encode(header.as_bytes()) }
    }

    /// Signs `claims`.
    pub fn sign_jwt(&self, claims: &impl Serialize) -> Result<String, SignError> {
        let message = message(&self.header, claims)?;
        let signature = hmac::sign(&self.key, message.as_bytes());
        Ok(joined(message, signature.as_ref()))
    }
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
        let message = message(&encoded("ES256", header)?, claims)?;
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
        let message = message(&encoded("RS256", header)?, claims)?;
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &self.random, message.as_bytes(), &mut signature)
            .map_err(|_| SignError::Signature)?;
        Ok(joined(message, &signature))
    }
}

impl fmt::Debug for Hs256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hs256Key(secret)")
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

fn encoded(algorithm: &str, header: &Value) -> Result<String, SignError> {
    let mut header = header.as_object().ok_or(SignError::Header)?.clone();
    header.insert("alg".to_owned(), algorithm.into());
    Ok(BASE64URL_NOPAD.encode(Value::Object(header).to_string().as_bytes()))
}

fn message(header: &str, claims: &impl Serialize) -> Result<String, SignError> {
    let mut json = Vec::with_capacity(USUAL_CLAIMS);
    serde_json::to_writer(&mut json, claims).map_err(SignError::Claims)?;
    let mut message = String::with_capacity(USUAL_TOKEN);
    message.push_str(header);
    message.push('.');
    BASE64URL_NOPAD.encode_append(&json, &mut message);
    Ok(message)
}

fn joined(mut message: String, signature: &[u8]) -> String {
    message.push('.');
    BASE64URL_NOPAD.encode_append(signature, &mut message);
    message
}
