//! Calls of LiveKit's server API: Twirp, in JSON, over the HTTP client that the rest of the gateway uses.
//!
//! One way for every service (`rooms`, and whoever calls Egress): each call has its own short-lived token with just the grants that it
//! needs, and ends within the time that it was given. Nothing is retried here, that is for the tasks. Why this is not `livekit-api`'s
//! client is in docs/decisions/0012-livekit-api.md. Sources: <https://twitchtv.github.io/twirp/docs/spec_v7.html> and
//! <https://docs.livekit.io/reference/server/server-apis/>.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use livekit_api::access_token::{Claims, VideoGrants};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, header};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::storage::Keys;
use crate::clock::Clock;
use crate::config::LiveKit;
use crate::crypto::{Hs256Key, SignError};
use crate::domain::Timestamp;
use crate::live::Live;
use crate::telemetry::Metrics;

/// How long the token of a call can be used: LiveKit allows for a minute of skew beyond it.
const TOKEN_LASTS_SECS: u64 = 60;
/// The most bytes of an answer; the list of ten thousand rooms has about ten million.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// An answer that takes a millisecond or more to read.
const LONG_ANSWER_BYTES: usize = 256 * 1024;
/// The most characters of an error that are kept.
const MAX_MESSAGE: usize = 200;
/// How long a connection that is not used is kept.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Calls methods of LiveKit's services. Clones share connections and health.
#[derive(Clone)]
pub struct Twirp(Arc<Inner>);

struct Inner {
    client: Client,
    api_url: String,
    key: Live<Key>,
    clock: Clock,
    metrics: Arc<Metrics>,
    health: Mutex<Health>,
    /// What LiveKit was given and may repeat.
    keys: OnceLock<Keys>,
}

/// What calls are signed with.
struct Key {
    name: String,
    signing: Hs256Key,
}

impl Key {
    fn of(config: &LiveKit) -> Self {
        let signing = Hs256Key::new(config.api_secret.reveal().as_bytes(), "JWT");
        Self { name: config.api_key.clone(), signing }
    }
}

/// Why there cannot be a client.
#[derive(Debug, Error)]
pub enum SetUpError {
    /// TLS cannot be set up.
    #[error("TLS for LiveKit's API cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("the HTTP client for LiveKit's API cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// Why a call of LiveKit brought nothing.
#[derive(Debug, Error)]
pub enum ApiError {
    /// Its token cannot be signed.
    #[error("a token for LiveKit's API could not be signed")]
    Token(#[from] SignError),
    /// The server cannot be reached, or the connection broke.
    #[error("LiveKit cannot be reached: {}", innermost(.0))]
    Unreachable(#[from] reqwest::Error),
    /// There was no answer in time.
    #[error("LiveKit did not answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// The server answered with an error.
    #[error("LiveKit answered {status} {code}: {message}")]
    Answered {
        /// The HTTP status.
        status: u16,
        /// Twirp's code, such as `not_found`; empty if it was no Twirp error.
        code: String,
        /// What it says, shortened.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("LiveKit's answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The answer is larger than anything that was asked for.
    #[error("LiveKit's answer has more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// What an error means to who called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// There is no such room, participant or egress.
    NotFound,
    /// LiveKit cannot do it now: worth another try.
    Unavailable,
    /// LiveKit will not do it: the request or the key is wrong.
    Refused,
}

impl ApiError {
    /// What it means.
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Answered { code, .. } if code == "not_found" => Meaning::NotFound,
            // A proxy's page, or a server that is overloaded or restarts. Twirp's words for lost time come with 408.
            Self::Answered { status: 408 | 429 | 500..=599, .. } | Self::Unreachable(_) | Self::TooSlow(_) => {
                Meaning::Unavailable
            }
            Self::Answered { .. } | Self::Token(_) | Self::Unreadable(_) | Self::TooLarge => Meaning::Refused,
        }
    }

    /// Whether there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.meaning() == Meaning::NotFound
    }

    /// The word for it in metrics.
    const fn outcome(meaning: Meaning) -> &'static str {
        match meaning {
            Meaning::NotFound => "not_found",
            Meaning::Unavailable => "unavailable",
            Meaning::Refused => "refused",
        }
    }
}

/// What was last heard of LiveKit's API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// When it last did what it was asked.
    pub answered_at: Option<Timestamp>,
    /// Since when it has not, and why.
    pub problem: Option<(Timestamp, String)>,
}

impl Twirp {
    /// A client of the server in the configuration; nothing is sent yet.
    pub fn new(config: &LiveKit, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, SetUpError> {
        Ok(Self(Arc::new(Inner {
            client: client()?,
            api_url: config.api_url.clone(),
            key: Live::new(Key::of(config)),
            clock,
            metrics,
            health: Mutex::default(),
            keys: OnceLock::new(),
        })))
    }

    /// Signs calls with another key from now on.
    pub fn set_key(&self, config: &LiveKit) {
        self.0.key.set(Key::of(config));
    }

    /// From now on these keys are left out of what LiveKit says.
    pub(super) fn hide(&self, keys: Keys) {
        // Whoever came first gave the same: there is one storage.
        let _ = self.0.keys.set(keys);
    }

    /// Calls `livekit.<service>/<method>` with this body and a token that has these grants and no others; the answer must be there
    /// `within` this time.
    pub async fn call<T: DeserializeOwned + Send + 'static>(
        &self,
        service: &str,
        method: &'static str,
        grants: VideoGrants,
        body: &(impl Serialize + Sync),
        within: Duration,
    ) -> Result<T, ApiError> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(within, self.ask(service, method, grants, body)).await;
        let answer = answer.unwrap_or(Err(ApiError::TooSlow(within)));
        let outcome = answer.as_ref().map_or_else(|error| ApiError::outcome(error.meaning()), |_| "ok");
        self.0.metrics.livekit_called(method, outcome, begun.elapsed());
        self.note(answer.as_ref().err());
        answer
    }

    /// What was last heard of the server.
    pub fn health(&self) -> Health {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        service: &str,
        method: &str,
        grants: VideoGrants,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ApiError> {
        let inner = &self.0;
        let request = inner.client.post(format!("{}/twirp/livekit.{service}/{method}", inner.api_url));
        let request = request.header(header::CONTENT_TYPE, "application/json").bearer_auth(self.token(grants)?);
        let response = request.body(serde_json::to_vec(body)?).send().await?;
        let status = response.status().as_u16();
        let bytes = collect(response).await?;
        if status == 200 { read(bytes).await } else { Err(answered(status, &bytes, inner.keys.get())) }
    }

    fn token(&self, grants: VideoGrants) -> Result<String, ApiError> {
        let now = self.0.clock.now().as_secs();
        let seconds = |seconds: u64| usize::try_from(seconds).unwrap_or(usize::MAX);
        let key = self.0.key.now();
        let claims = Claims {
            iss: key.name.clone(),
            nbf: seconds(now),
            exp: seconds(now + TOKEN_LASTS_SECS),
            video: grants,
            ..Claims::default()
        };
        Ok(key.signing.sign_jwt(&claims)?)
    }

    fn note(&self, error: Option<&ApiError>) {
        let now = self.0.clock.now();
        let mut health = self.0.health.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) if !error.is_not_found() => {
                let since = health.problem.take().map_or(now, |(since, _)| since);
                health.problem = Some((since, error.to_string()));
            }
            _ => *health = Health { answered_at: Some(now), problem: None },
        }
    }
}

async fn collect(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await? {
        if bytes.len() + part.len() > MAX_ANSWER_BYTES {
            return Err(ApiError::TooLarge);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// What an answer says; a long one is read beside those who are served here.
async fn read<T: DeserializeOwned + Send + 'static>(bytes: Vec<u8>) -> Result<T, ApiError> {
    if bytes.len() < LONG_ANSWER_BYTES {
        return Ok(serde_json::from_slice(&bytes)?);
    }
    let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes)).await;
    // What was broken off is as good as an answer that ends too early.
    Ok(read.unwrap_or_else(|_| serde_json::from_slice(&[]))?)
}

/// What an answer with another status than 200 says. Where it is no Twirp error its words are not kept: to a token that it refuses LiveKit
/// answers with that token.
fn answered(status: u16, body: &[u8], keys: Option<&Keys>) -> ApiError {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |key: &str| {
        let text = error[key].as_str().unwrap_or_default();
        // Before it is shortened: half a key would not be known.
        let text = keys.map_or_else(|| text.to_owned(), |keys| keys.masked(text));
        text.chars().filter(|char| !char.is_control()).take(MAX_MESSAGE).collect()
    };
    ApiError::Answered { status, code: word("code"), message: word("msg") }
}

/// The cause of a failed request, which reqwest leaves out of its own words.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Follows no redirect, which would take the token elsewhere.
pub(super) fn client() -> Result<Client, SetUpError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none());
    Ok(client.pool_idle_timeout(IDLE_FOR).tcp_nodelay(true).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, body: &str) -> Meaning {
        answered(status, body.as_bytes(), None).meaning()
    }

    #[test]
    fn errors_are_told_apart_by_code_and_status() {
        assert_eq!(meaning(404, r#"{"code":"not_found","msg":"requested room does not exist"}"#), Meaning::NotFound);
        // A path that is not there is no room that is not there.
        assert_eq!(meaning(404, "404 page not found"), Meaning::Refused);
        assert_eq!(meaning(404, r#"{"code":"bad_route","msg":"no handler"}"#), Meaning::Refused);
        assert_eq!(meaning(401, r#"{"code":"unauthenticated","msg":"invalid token"}"#), Meaning::Refused);
        assert_eq!(meaning(400, r#"{"code":"invalid_argument","msg":"x","meta":{}}"#), Meaning::Refused);
        assert_eq!(meaning(302, ""), Meaning::Refused);
        assert_eq!(meaning(503, r#"{"code":"unavailable","msg":"no node"}"#), Meaning::Unavailable);
        assert_eq!(meaning(502, "<html>Bad Gateway</html>"), Meaning::Unavailable);
        assert_eq!(meaning(429, r#"{"code":"resource_exhausted","msg":"slow down"}"#), Meaning::Unavailable);
        assert_eq!(meaning(408, r#"{"code":"deadline_exceeded"}"#), Meaning::Unavailable);
        assert_eq!(ApiError::TooSlow(Duration::from_secs(1)).meaning(), Meaning::Unavailable);
    }

    #[test]
    fn what_an_error_says_is_shortened_and_of_one_line() {
        let long = format!(r#"{{"code":"internal","msg":"a\nb{}"}}"#, "x".repeat(1000));
        let text = answered(500, long.as_bytes(), None).to_string();
        assert!(text.len() < MAX_MESSAGE + 50 && !text.contains('\n') && text.contains("ab"), "{text}");
    }
}
