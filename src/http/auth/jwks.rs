//! An issuer's public keys by URL (RFC 7517): fetched when needed, kept, and fetched again when they change.
//!
//! A token decides at most *that* the keys are fetched, and that no more often than [`FLOOR`]; never from where.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tracing::warn;

use super::{AuthConfigError, AuthError};
use crate::clock::Clock;
use crate::config::auth::Asymmetric;
use crate::crypto::VerifyingKey;
use crate::domain::Timestamp;

/// How long fetched keys are taken as they are.
const FRESH: Duration = Duration::from_mins(10);
/// How long they are taken at all: while the provider is down. A key that was withdrawn is good no longer than this, whoever keeps the
/// gateway from hearing of it.
const STALE: Duration = Duration::from_hours(24);
/// The least time between two fetches, whatever tokens come.
const FLOOR: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 100;
const MAX_KID_BYTES: usize = 256;

/// The keys of one URL that are for one algorithm. Clones share them.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Inner>);

struct Inner {
    url: Url,
    algorithm: Asymmetric,
    client: Client,
    clock: Clock,
    keys: watch::Sender<Arc<KeySet>>,
    /// Held while a fetch is under way, so that there is one at a time.
    last: Arc<Mutex<Last>>,
}

#[derive(Default)]
struct KeySet {
    keys: Vec<(Option<String>, VerifyingKey)>,
    fetched_at: Option<Timestamp>,
}

/// The last fetch.
#[derive(Clone, Copy, Default)]
struct Last {
    at: Option<Timestamp>,
    failed: bool,
}

#[derive(Debug, Error)]
enum FetchError {
    #[error("the request failed")]
    Http(#[from] reqwest::Error),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is longer than {MAX_BYTES} bytes or has more than {MAX_KEYS} keys")]
    TooMuch,
    #[error("the answer is not a JWK set")]
    NotJwks(#[from] serde_json::Error),
}

impl Jwks {
    /// Prepares to fetch keys from `url`; nothing is fetched yet.
    pub(super) fn new(url: &str, algorithm: Asymmetric, clock: Clock) -> Result<Self, AuthConfigError> {
        let url = Url::parse(url).map_err(|_| AuthConfigError::JwksUrl(url.to_owned()))?;
        let (keys, _) = watch::channel(Arc::default());
        let last = Arc::default();
        Ok(Self(Arc::new(Inner { url, algorithm, client: client()?, clock, keys, last })))
    }

    /// Whether they are of this URL, for this algorithm.
    pub(super) fn is_of(&self, url: &str, algorithm: Asymmetric) -> bool {
        self.0.algorithm == algorithm && Url::parse(url).is_ok_and(|url| url == self.0.url)
    }

    /// The algorithm that all of the keys are for.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.0.algorithm {
            Asymmetric::Rs256 => Algorithm::RS256,
            Asymmetric::Es256 => Algorithm::ES256,
        }
    }

    /// The key `kid`, or the only key for a token that names none; fetches when it must.
    ///
    /// A key that was once fetched is good for [`STALE`] while the provider is down. While somebody fetches because the keys
    /// are old, others go on with the old ones.
    pub(super) async fn key(&self, kid: Option<&str>) -> Result<VerifyingKey, AuthError> {
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(AuthError::Malformed);
        }
        let known = self.find(kid).filter(|_| self.are_younger_than(STALE));
        let last = match &known {
            Some(key) if self.are_younger_than(FRESH) => return Ok(key.clone()),
            Some(_) => self.0.last.clone().try_lock_owned().ok(),
            None => Some(self.0.last.clone().lock_owned().await),
        };
        let Some(last) = last else { return known.ok_or(AuthError::UnknownKey) };
        let last = self.refetch(last).await;
        let found = self.find(kid).filter(|_| self.are_younger_than(STALE));
        found.ok_or(if last.failed { AuthError::KeysUnavailable } else { AuthError::UnknownKey })
    }

    /// Fetches the keys before the first token needs them.
    pub(super) async fn prefetch(&self) {
        let last = self.0.last.clone().lock_owned().await;
        self.refetch(last).await;
    }

    /// How many keys there are to verify with.
    pub(super) fn count(&self) -> usize {
        self.0.keys.borrow().keys.len()
    }

    fn find(&self, kid: Option<&str>) -> Option<VerifyingKey> {
        let set = self.0.keys.borrow();
        match (kid, set.keys.as_slice()) {
            (None, [(_, only)]) => Some(only.clone()),
            (None, _) => None,
            (Some(kid), keys) => keys.iter().find(|(name, _)| name.as_deref() == Some(kid)).map(|(_, key)| key.clone()),
        }
    }

    fn are_younger_than(&self, age: Duration) -> bool {
        let fetched_at = self.0.keys.borrow().fetched_at;
        fetched_at.is_some_and(|at| self.0.clock.now().since(at) < age)
    }

    /// Fetches unless that was done a moment ago, and says how the last fetch went.
    async fn refetch(&self, mut last: OwnedMutexGuard<Last>) -> Last {
        let now = self.0.clock.now();
        if last.at.is_some_and(|at| now.since(at) < FLOOR) {
            return *last;
        }
        let inner = Arc::clone(&self.0);
        // A task of its own: it ends also when the request that began it is given up.
        let fetching = tokio::spawn(async move {
            *last = Last { at: Some(now), failed: true };
            last.failed = !inner.fetch_and_keep(now).await;
            *last
        });
        fetching.await.unwrap_or(Last { at: Some(now), failed: true })
    }
}

impl Inner {
    async fn fetch_and_keep(&self, now: Timestamp) -> bool {
        match self.fetch().await {
            Ok(keys) => {
                if keys.is_empty() {
                    warn!(url = %self.url, algorithm = ?self.algorithm, "an issuer has no key of its algorithm");
                }
                self.keys.send_replace(Arc::new(KeySet { keys, fetched_at: Some(now) }));
                true
            }
            Err(error) => {
                warn!(url = %self.url, error = &error as &dyn std::error::Error, "could not fetch an issuer's keys");
                false
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<(Option<String>, VerifyingKey)>, FetchError> {
        let mut response = self.client.get(self.url.clone()).send().await?;
        if response.status() != 200 {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooMuch);
            }
            body.extend_from_slice(&chunk);
        }
        read(&body, self.algorithm)
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that sign with `algorithm`; all others, also those of kinds to come, are passed over.
fn read(body: &[u8], algorithm: Asymmetric) -> Result<Vec<(Option<String>, VerifyingKey)>, FetchError> {
    let document: Document = serde_json::from_slice(body)?;
    if document.keys.len() > MAX_KEYS {
        return Err(FetchError::TooMuch);
    }
    let keys = document.keys.into_iter().filter_map(|key| usable(serde_json::from_value(key).ok()?, algorithm));
    Ok(keys.collect())
}

fn usable(jwk: Jwk, algorithm: Asymmetric) -> Option<(Option<String>, VerifyingKey)> {
    let (alg, key) = match (algorithm, jwk.kty.as_str()) {
        (Asymmetric::Rs256, "RSA") => ("RS256", VerifyingKey::rs256_jwk(&jwk.n?, &jwk.e?)),
        (Asymmetric::Es256, "EC") if jwk.crv? == "P-256" => ("ES256", VerifyingKey::es256_jwk(&jwk.x?, &jwk.y?)),
        _ => return None,
    };
    let for_signatures = jwk.r#use.is_none_or(|purpose| purpose == "sig");
    let for_algorithm = jwk.alg.is_none_or(|named| named == alg);
    let named_shortly = jwk.kid.as_ref().is_none_or(|kid| kid.len() <= MAX_KID_BYTES);
    (for_signatures && for_algorithm && named_shortly).then_some((jwk.kid, key.ok()?))
}

fn client() -> Result<Client, AuthConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(AuthConfigError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("bellwire/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(AuthConfigError::Client)
}
