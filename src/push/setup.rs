//! What the sections have in common, and what outlives a section that is made anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::Uri;
use ring::digest::{SHA256, digest};

use super::PushError;
use super::apns::{ProviderToken, Strikes};
use super::endpoint::Endpoint;
use super::sections::{Files, Text};
use super::surroundings::Surroundings;
use super::tls::Roots;
use crate::clock::Clock;
use crate::config::push::Privacy;
use crate::crypto::Es256Key;

/// What every section needs.
pub(super) struct Setup {
    roots: Roots,
    pub clock: Clock,
    pub privacy: Privacy,
    pub surroundings: Surroundings,
    /// Which users had bad tokens.
    pub strikes: Strikes,
    provider_tokens: Mutex<HashMap<KeyOfTeam, Weak<ProviderToken>>>,
}

/// Team, key id and the digest of the key itself.
type KeyOfTeam = (String, String, Vec<u8>);

impl Setup {
    pub(super) fn new(surroundings: Surroundings, clock: Clock, privacy: Privacy) -> Self {
        Self {
            roots: Roots::load(),
            strikes: Strikes::default(),
            clock,
            privacy,
            surroundings,
            provider_tokens: Mutex::default(),
        }
    }

    /// The endpoint of a section, trusting its `ca_file` too; `key` is the configuration key of the URL.
    pub(super) fn endpoint(&self, key: &str, url: &str, files: &Files) -> Result<Endpoint, PushError> {
        let tls = self.roots.client(&files.key("ca_file"), files.get("ca_file")?.as_ref())?;
        let uri: Uri = url.parse().map_err(|_| PushError::Value { key: key.to_owned(), problem: "must be a URL" })?;
        Endpoint::new(key, &uri, tls, self.surroundings.clone())
    }

    /// The provider token of a key: one and the same for all that use the key, so that it is renewed no more often than Apple allows,
    /// however many sections there are and however often they are made anew.
    pub(super) fn provider_token(&self, team: &str, key_id: &str, pem: &Text) -> Result<Arc<ProviderToken>, PushError> {
        let key = Es256Key::from_pem(pem.contents).map_err(|source| PushError::Key {
            key: pem.key.clone(),
            path: pem.path.to_owned(),
            source,
        })?;
        let of = (team.to_owned(), key_id.to_owned(), digest(&SHA256, pem.contents.as_bytes()).as_ref().to_vec());
        let mut known = self.provider_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = known.get(&of).and_then(Weak::upgrade) {
            return Ok(token);
        }
        known.retain(|_, token| token.strong_count() > 0);
        let token = ProviderToken::new(key, of.0.clone(), of.1.clone(), self.clock.clone());
        let token = Arc::new(token);
        known.insert(of, Arc::downgrade(&token));
        Ok(token)
    }
}
