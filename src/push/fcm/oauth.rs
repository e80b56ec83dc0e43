//! The access token by which Google knows us: got in the background before it is needed, renewed before it expires.
//!
//! One task alone asks for it, so that there is never more than one request for many pushes. Who is asked, and how, is up to
//! `identity`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::identity::{Identity, Kind};
use super::metadata::MetadataServer;
use crate::clock::Clock;
use crate::crypto::SignError;
use crate::domain::Timestamp;
use crate::push::backoff::Backoff;
use crate::push::error::{TransportError, chain};
use crate::push::pool::Waiting;

pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const RENEW_BEFORE: Duration = Duration::from_mins(5);
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A token refused sooner than this after one was replaced for being refused is not the token's fault.
const BETWEEN_REFUSALS: Duration = Duration::from_secs(30);

/// A token that Google gave.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    /// The value of the `authorization` header.
    pub authorization: HeaderValue,
    /// The project of the identity.
    pub project: Option<Arc<str>>,
    number: u64,
    expires_at: Timestamp,
    renew_at: Timestamp,
}

/// Why there is no token.
#[derive(Debug, Error)]
pub(super) enum OAuthError {
    #[error("cannot reach the token endpoint")]
    Transport(#[from] TransportError),
    #[error("cannot sign for the token endpoint")]
    Sign(#[from] SignError),
    #[error("the token endpoint answered {status} {error}")]
    Refused { status: u16, error: String },
    #[error("the token endpoint's answer is not understood")]
    Answer,
    #[error("cannot reach the metadata server, and there is no key file")]
    Metadata(#[source] reqwest::Error),
    #[error("what answers in place of the metadata server is none")]
    NotMetadata,
}

/// The tokens of one service account. The task that gets them ends when it is dropped.
pub(super) struct AccessTokens {
    shared: Arc<Shared>,
    renewal: AbortHandle,
}

struct Shared {
    identity: Identity,
    clock: Clock,
    known: watch::Sender<Known>,
    /// How many pushes wait for a token.
    waiting: watch::Sender<usize>,
    /// The number of the last token that FCM refused.
    refused: watch::Sender<u64>,
    last_refusal: Mutex<Option<(u64, Instant)>>,
}

#[derive(Debug, Default)]
struct Known {
    token: Option<AccessToken>,
    /// Of the last request, if it failed.
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    text: String,
    /// Whether Google understood and said no.
    refused: bool,
}

impl AccessTokens {
    /// Begins to get the first token.
    pub(super) fn start(identity: Identity, clock: Clock) -> Self {
        let shared = Arc::new(Shared {
            identity,
            clock,
            known: watch::Sender::default(),
            waiting: watch::Sender::new(0),
            refused: watch::Sender::new(0),
            last_refusal: Mutex::new(None),
        });
        let renewal = tokio::spawn(shared.clone().renew()).abort_handle();
        Self { shared, renewal }
    }

    /// The token to use now; waits for one until the deadline.
    pub(super) async fn current(&self, deadline: Instant) -> Result<AccessToken, TransportError> {
        self.newer_than(0, deadline).await
    }

    /// Another token than the one that FCM refused; `None` if that would be no better.
    pub(super) async fn after(
        &self,
        refused: &AccessToken,
        deadline: Instant,
    ) -> Option<Result<AccessToken, TransportError>> {
        if !self.shared.worth_renewing(refused.number) {
            return None;
        }
        self.shared.refused.send_modify(|number| *number = refused.number.max(*number));
        Some(self.newer_than(refused.number, deadline).await)
    }

    /// Whose they are, for people.
    pub(super) fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Why the last request for a token failed; none once one did not.
    pub(super) fn last_error(&self) -> Option<String> {
        self.shared.last_failure()
    }

    /// When the token that was got last expires.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        self.shared.known.borrow().token.as_ref().map(|token| token.expires_at)
    }

    async fn newer_than(&self, number: u64, deadline: Instant) -> Result<AccessToken, TransportError> {
        if let Some(ready) = self.shared.ready(number) {
            return ready;
        }
        let mut known = self.shared.known.subscribe();
        let _waiting = Waiting::begin(&self.shared.waiting);
        let wait = async {
            loop {
                if let Some(ready) = self.shared.ready(number) {
                    return ready;
                }
                let _ = known.changed().await;
            }
        };
        timeout_at(deadline, wait).await.unwrap_or_else(|_| Err(TransportError::NotConnected(self.why_not())))
    }

    /// Whether there is a token to use.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.shared.ready(0), Some(Ok(_)))
    }

    /// Waits until there is one.
    pub(super) async fn come(&self) {
        let mut known = self.shared.known.subscribe();
        while !self.is_there() {
            let _ = known.changed().await;
        }
    }

    /// Why there is none.
    pub(super) fn why_not(&self) -> String {
        self.last_error().unwrap_or_else(|| "no access token yet".to_owned())
    }
}

impl Drop for AccessTokens {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Shared {
    /// Gets a token, again and again, each before the last one expires or when it was refused.
    async fn renew(self: Arc<Self>) {
        let clock = &self.clock;
        let mut refused = self.refused.subscribe();
        let mut waiting = self.waiting.subscribe();
        let mut backoff = Backoff::default();
        for number in 1.. {
            match self.fetch(number).await {
                Ok(token) => {
                    backoff.succeeded();
                    let renew_at = token.renew_at;
                    self.known.send_replace(Known { token: Some(token), failure: None });
                    tokio::select! {
                        () = clock.sleep_until(renew_at) => {}
                        _ = refused.wait_for(|refused| *refused >= number) => {}
                    }
                }
                Err(error) => {
                    let refused = matches!(error, OAuthError::Refused { status: 400 | 401 | 403, .. });
                    let text = chain(&error);
                    if self.last_failure().as_ref() == Some(&text) {
                        tracing::debug!(error = text, "still no access token for FCM");
                    } else {
                        tracing::warn!(error = text, "no access token for FCM; will try again");
                    }
                    self.known.send_modify(|known| known.failure = Some(Failure { text, refused }));
                    backoff.wait(clock, waiting.wait_for(|pushes| *pushes > 0)).await;
                }
            }
        }
    }

    fn last_failure(&self) -> Option<String> {
        self.known.borrow().failure.as_ref().map(|failure| failure.text.clone())
    }

    /// A token after this one that is good now, or the word that there will be none.
    fn ready(&self, number: u64) -> Option<Result<AccessToken, TransportError>> {
        let now = self.clock.now();
        let known = self.known.borrow();
        let usable = known.token.as_ref().filter(|token| token.number > number && token.expires_at > now);
        let refused = known.failure.as_ref().filter(|failure| failure.refused);
        match (usable, refused) {
            (Some(token), _) => Some(Ok(token.clone())),
            (None, Some(failure)) => Some(Err(TransportError::CredentialRefused(failure.text.clone()))),
            (None, None) => None,
        }
    }

    /// Whether this refused token is replaced already, is being replaced, or may be.
    fn worth_renewing(&self, number: u64) -> bool {
        let mut last = self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((refused, _)) if number <= refused => true,
            Some((_, at)) if at.elapsed() < BETWEEN_REFUSALS => false,
            _ => {
                *last = Some((number, Instant::now()));
                true
            }
        }
    }

    async fn fetch(&self, number: u64) -> Result<AccessToken, OAuthError> {
        let asked_at = self.clock.now();
        let granted = match &self.identity.kind {
            Kind::Grant(grant) => grant.fetch().await?,
            Kind::Metadata(server) => server.fetch().await?,
        };
        let project = match (&self.identity.project, &self.identity.kind) {
            (Some(project), _) => Some(project.as_str().into()),
            (None, Kind::Metadata(server)) => Some(self.project_of(server).await?),
            (None, Kind::Grant(_)) => None,
        };
        let authorization = HeaderValue::try_from(format!("Bearer {}", granted.access_token));
        let mut authorization = authorization.map_err(|_| OAuthError::Answer)?;
        authorization.set_sensitive(true);
        let lifetime = Duration::from_secs(granted.expires_in);
        // A token that lives less than ten minutes is renewed halfway: the metadata server gives out the same one until five
        // minutes before its end.
        let renew_after = lifetime.saturating_sub(RENEW_BEFORE).max(lifetime / 2).max(Duration::from_secs(1));
        let (expires_at, renew_at) = (asked_at + lifetime, asked_at + renew_after);
        Ok(AccessToken { authorization, project, number, expires_at, renew_at })
    }

    /// The machine's project, which does not change.
    async fn project_of(&self, server: &MetadataServer) -> Result<Arc<str>, OAuthError> {
        let known = self.known.borrow().token.as_ref().and_then(|token| token.project.clone());
        match known {
            Some(project) => Ok(project),
            None => Ok(server.project().await?.into()),
        }
    }
}
