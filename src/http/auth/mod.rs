//! Who asks: a user with a token of the app's identity provider, a device with a ticket, the app's backend.
//!
//! The token's issuer chooses the keys that it is tried with, and each key has one algorithm. What a caller
//! may do is for the routes and `engine` to say.

mod claims;
mod error;
mod jwks;
mod profile;
mod service;
mod users;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

pub use error::AuthError;
pub(super) use profile::avatar_of_service;

use self::claims::Claims;
use self::jwks::Jwks;
use self::service::ServiceKeys;
use self::users::Users;
use crate::clock::Clock;
use crate::config::auth::Auth;
use crate::crypto::{self, AlreadyInstalled, Compact, KeyError};
use crate::domain::{AppId, Timestamp, UserId};
use crate::ticket::{self, Ticket, Tickets};

/// A token that is longer is not looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Who has proved to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A user, on any device.
    User(UserIdentity),
    /// A device that was pushed a ticket, for one call.
    Device(Ticket),
    /// The app's backend.
    Service,
}

/// What a user's token says of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// The id, with its issuer's prefix.
    pub id: UserId,
    /// The display name, fit to be shown.
    pub name: Option<String>,
    /// The avatar's URL, from a listed host.
    pub avatar: Option<String>,
    /// The apps for which the user may register devices; empty: all.
    pub apps: Arc<[AppId]>,
    /// Until when the token is believed, the leeway included.
    pub expires_at: Timestamp,
}

/// Why an [`Authenticator`] cannot be made of a configuration.
#[derive(Debug, Error)]
pub enum AuthConfigError {
    /// `jsonwebtoken` has another provider.
    #[error("tokens cannot be verified")]
    Crypto(#[from] AlreadyInstalled),
    /// A key's file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key's file holds no key that can be used.
    #[error("{} is not a key for its algorithm", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A JWKS URL is none.
    #[error("{0:?} is not a URL")]
    JwksUrl(String),
    /// TLS for fetching keys cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client for fetching keys cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Tells who a token's bearer is.
pub struct Authenticator {
    users: HashMap<String, Vec<Users>>,
    service_keys: ServiceKeys,
    tickets: Tickets,
    clock: Clock,
}

impl Authenticator {
    /// Reads all keys; those of a JWKS URL are fetched later.
    pub fn new(config: &Auth, tickets: Tickets, clock: Clock) -> Result<Self, AuthConfigError> {
        Self::knowing(&[], config, tickets, clock)
    }

    /// One by another configuration, with the keys that were fetched already.
    pub fn renewed(&self, config: &Auth, tickets: Tickets) -> Result<Self, AuthConfigError> {
        let fetched: Vec<&Jwks> = self.users.values().flatten().filter_map(Users::jwks).collect();
        Self::knowing(&fetched, config, tickets, self.clock.clone())
    }

    fn knowing(fetched: &[&Jwks], config: &Auth, tickets: Tickets, clock: Clock) -> Result<Self, AuthConfigError> {
        crypto::install()?;
        let mut users: HashMap<String, Vec<Users>> = HashMap::new();
        for one in &config.users {
            let of_issuer = users.entry(one.issuer.clone()).or_default();
            of_issuer.push(Users::new(one, config.leeway, &clock, fetched)?);
        }
        Ok(Self { users, service_keys: ServiceKeys::new(&config.service_keys), tickets, clock })
    }

    /// Fetches the keys of all JWKS URLs, so that the first call need not wait for it.
    pub async fn prefetch(&self) {
        for jwks in self.users.values().flatten().filter_map(Users::jwks) {
            jwks.prefetch().await;
        }
    }

    /// Whether each issuer's keys can be had, for `bellwire check`.
    pub async fn probe(&self) -> Vec<(String, Result<String, String>)> {
        self.prefetch().await;
        let all = self.users.iter().flat_map(|(issuer, users)| users.iter().map(move |one| (issuer, one)));
        all.map(|(issuer, users)| (issuer.clone(), users.keys_at_hand())).collect()
    }

    /// Whether this token is a service key or a ticket that is good: what the gateway tells by itself, with one hash, whoever asks.
    pub fn knows(&self, token: &str) -> bool {
        if token.len() > MAX_TOKEN_BYTES {
            return false;
        }
        if service::is_service_key(token) {
            return self.service_keys.check(token).is_ok();
        }
        self.tickets.check(token, self.clock.now()).is_ok()
    }

    /// Tells who has this token.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        if service::is_service_key(token) {
            return self.service_keys.check(token).map(|()| Caller::Service);
        }
        let token = Compact::read(token)?;
        if token.header().typ.as_deref() == Some(ticket::TYP) {
            return Ok(Caller::Device(self.tickets.check_read(&token, self.clock.now())?));
        }
        self.identify(&token).await.map(Caller::User)
    }

    async fn identify(&self, token: &Compact<'_>) -> Result<UserIdentity, AuthError> {
        let claims: Claims = token.claims()?;
        let of_issuer = claims.text("iss").and_then(|issuer| self.users.get(issuer)).ok_or(AuthError::UnknownIssuer)?;
        let mut refusal = AuthError::WrongAlgorithm;
        for users in of_issuer.iter().filter(|users| users.algorithm() == token.header().alg) {
            match users.identify(token, &claims, self.clock.now()).await {
                Ok(user) => return Ok(user),
                Err(error) => refusal = refusal.or(error),
            }
        }
        Err(refusal)
    }
}

/// The token in an `Authorization` header (RFC 6750, section 2.1).
pub fn bearer(authorization: Option<&str>) -> Result<&str, AuthError> {
    let (scheme, token) = authorization.and_then(|value| value.split_once(' ')).ok_or(AuthError::Missing)?;
    if scheme.eq_ignore_ascii_case("Bearer") { Ok(token.trim()) } else { Err(AuthError::Missing) }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("issuers", &self.users.keys()).finish_non_exhaustive()
    }
}
