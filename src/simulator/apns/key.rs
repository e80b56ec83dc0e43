//! The keys for provider tokens that Apple knows of: which there are, for which of its hosts, and from when until when.
//!
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::HeaderValue;
use serde::Deserialize;

use super::reason::Reason;
use crate::domain::{Environment, Timestamp};
use crate::simulator::jwt::Jwt;
use crate::simulator::lock;

/// More than any test has at once; after so many all are verified anew.
const MAX_VERIFIED: usize = 1000;

/// A key, and when and where it is good.
#[derive(Clone)]
pub(in crate::simulator) struct Key {
    pub(in crate::simulator) id: String,
    /// Its point, uncompressed.
    pub(in crate::simulator) public: Vec<u8>,
    /// The only host where it is good; both if none.
    pub(in crate::simulator) environment: Option<Environment>,
    pub(in crate::simulator) from: Option<Timestamp>,
    pub(in crate::simulator) until: Option<Timestamp>,
}

/// The keys of the one team, and the tokens that were found to be signed by them.
pub(in crate::simulator) struct Keys {
    team: String,
    first: Key,
    known: Mutex<Vec<Key>>,
    verified: Mutex<HashMap<HeaderValue, Verified>>,
}

/// Who signed a token, and when it was issued.
#[derive(Clone)]
pub(super) struct Verified {
    pub(super) key: Arc<str>,
    pub(super) issued: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

impl Keys {
    pub(in crate::simulator) fn new(team: String, first: Key) -> Self {
        Self { team, known: Mutex::new(vec![first.clone()]), first, verified: Mutex::default() }
    }

    /// Back to the one key of the start.
    pub(in crate::simulator) fn reset(&self) {
        *lock(&self.known) = vec![self.first.clone()];
        lock(&self.verified).clear();
    }

    pub(in crate::simulator) fn all(&self) -> Vec<Key> {
        lock(&self.known).clone()
    }

    /// Adds a key, or puts it in the place of the one of that name.
    pub(in crate::simulator) fn put(&self, key: Key) {
        let mut keys = lock(&self.known);
        keys.retain(|known| known.id != key.id);
        keys.push(key);
        lock(&self.verified).clear();
    }

    /// Says from when until when a key is good; false if there is none of that name.
    pub(in crate::simulator) fn limit(&self, id: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        let mut keys = lock(&self.known);
        let key = keys.iter_mut().find(|key| key.id == id);
        key.map(|key| (key.from, key.until) = (from, until)).is_some()
    }

    /// Whether a key is good at one of Apple's hosts now.
    pub(super) fn check(&self, id: &str, environment: Environment, now: Timestamp) -> Result<(), Reason> {
        let keys = lock(&self.known);
        let key = keys.iter().find(|key| key.id == id).ok_or(Reason::InvalidProviderToken)?;
        if key.from.is_some_and(|from| now < from) || key.until.is_some_and(|until| until <= now) {
            Err(Reason::InvalidProviderToken)
        } else if key.environment.is_some_and(|its| its != environment) {
            Err(Reason::BadEnvironmentKeyIdInToken)
        } else {
            Ok(())
        }
    }

    /// Who signed this authorization, if it is of this team and by one of its keys; each is verified once.
    pub(super) fn verify(&self, authorization: &HeaderValue) -> Result<Verified, Reason> {
        if let Some(verified) = lock(&self.verified).get(authorization) {
            return Ok(verified.clone());
        }
        let verified = self.verify_anew(authorization)?;
        let mut known = lock(&self.verified);
        if known.len() >= MAX_VERIFIED {
            known.clear();
        }
        known.insert(authorization.clone(), verified.clone());
        Ok(verified)
    }

    fn verify_anew(&self, authorization: &HeaderValue) -> Result<Verified, Reason> {
        let text = authorization.to_str().ok().and_then(|text| text.split_once(' '));
        let (scheme, token) = text.ok_or(Reason::MissingProviderToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Reason::MissingProviderToken);
        }
        let jwt = Jwt::<Claims>::parse(token).ok_or(Reason::InvalidProviderToken)?;
        let keys = lock(&self.known);
        let key = keys.iter().find(|key| jwt.header.kid.as_ref() == Some(&key.id));
        let key = key.filter(|key| jwt.claims.iss == self.team && jwt.is_es256_of(&key.public));
        let key = Arc::from(key.ok_or(Reason::InvalidProviderToken)?.id.as_str());
        Ok(Verified { key, issued: Timestamp::from_millis(jwt.claims.iat.saturating_mul(1000)) })
    }
}
