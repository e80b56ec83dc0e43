//! The users of one issuer and key: verifies their tokens and says who they are.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::claims::Claims;
use super::jwks::Jwks;
use super::{AuthConfigError, AuthError, UserIdentity, profile};
use crate::clock::Clock;
use crate::config::auth::{Asymmetric, UserKey, Users as Config};
use crate::crypto::{Compact, VerifyingKey};
use crate::domain::ids::IdError;
use crate::domain::{AppId, Timestamp, UserId};

/// One `[[auth.users]]`, its key at hand.
pub(super) struct Users {
    config: Config,
    apps: Arc<[AppId]>,
    key: Key,
    leeway: Duration,
}

enum Key {
    Fixed(VerifyingKey),
    Fetched(Jwks),
}

impl Users {
    /// Reads the key, or prepares to fetch it where it is none of those that are fetched already.
    pub(super) fn new(
        config: &Config,
        leeway: Duration,
        clock: &Clock,
        fetched: &[&Jwks],
    ) -> Result<Self, AuthConfigError> {
        let key = match &config.key {
            UserKey::Secret(secret) => Key::Fixed(VerifyingKey::hs256(secret.reveal().as_bytes())),
            UserKey::PublicKeyFile(algorithm, path) => {
                let pem =
                    fs::read_to_string(path).map_err(|source| AuthConfigError::File { path: path.clone(), source })?;
                let key = match algorithm {
                    Asymmetric::Rs256 => VerifyingKey::rs256_pem(&pem),
                    Asymmetric::Es256 => VerifyingKey::es256_pem(&pem),
                };
                Key::Fixed(key.map_err(|source| AuthConfigError::Key { path: path.clone(), source })?)
            }
            UserKey::Jwks(algorithm, url) => match fetched.iter().find(|jwks| jwks.is_of(url, *algorithm)) {
                Some(&jwks) => Key::Fetched(jwks.clone()),
                None => Key::Fetched(Jwks::new(url, *algorithm, clock.clone())?),
            },
        };
        Ok(Self { config: config.clone(), apps: config.apps.as_slice().into(), key, leeway })
    }

    /// The one algorithm of these users' tokens.
    pub(super) fn algorithm(&self) -> Algorithm {
        match &self.key {
            Key::Fixed(key) => key.algorithm(),
            Key::Fetched(jwks) => jwks.algorithm(),
        }
    }

    /// The keys that must be fetched, if it is those.
    pub(super) fn jwks(&self) -> Option<&Jwks> {
        match &self.key {
            Key::Fixed(_) => None,
            Key::Fetched(jwks) => Some(jwks),
        }
    }

    /// What there is to verify with, in words.
    pub(super) fn keys_at_hand(&self) -> Result<String, String> {
        let algorithm = self.algorithm();
        match &self.key {
            Key::Fixed(_) => Ok(format!("{algorithm:?}")),
            Key::Fetched(jwks) => match jwks.count() {
                0 => Err(format!("no {algorithm:?} key could be fetched from its JWKS URL")),
                count => Ok(format!("{algorithm:?}, {count} keys fetched")),
            },
        }
    }

    /// Verifies a token of this issuer, whose claims are `claims`, and says who its user is.
    pub(super) async fn identify(
        &self,
        token: &Compact<'_>,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<UserIdentity, AuthError> {
        match &self.key {
            Key::Fixed(key) => token.verify(key)?,
            Key::Fetched(jwks) => token.verify(&jwks.key(token.header().kid.as_deref()).await?)?,
        }
        let expires_at = claims.check_times(now, self.leeway)?;
        if let Some(audience) = &self.config.audience {
            claims.check_audience(audience)?;
        }
        for (path, expected) in &self.config.required_claims {
            claims.check_required(path, expected)?;
        }
        Ok(UserIdentity {
            id: self.user_id(claims)?,
            name: self.config.name_claim.as_ref().and_then(|path| profile::display_name(claims.text(path)?)),
            avatar: self
                .config
                .avatar_claim
                .as_ref()
                .and_then(|path| profile::avatar(claims.text(path)?, &self.config.avatar_hosts)),
            apps: self.apps.clone(),
            expires_at,
        })
    }

    fn user_id(&self, claims: &Claims) -> Result<UserId, AuthError> {
        let id = claims.id(&self.config.user_claim)?;
        if id.is_empty() {
            return Err(AuthError::BadUserId(IdError::Empty));
        }
        UserId::new(format!("{}{id}", self.config.user_prefix)).map_err(AuthError::BadUserId)
    }
}
