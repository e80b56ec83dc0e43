//! The token by which Apple knows us: one per key, shared by every connection, renewed neither too late nor too often.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use serde_json::json;

use crate::clock::Clock;
use crate::crypto::{Es256Key, SignError};
use crate::domain::Timestamp;

/// Apple refuses tokens older than this,
const GOOD_FOR: Duration = Duration::from_hours(1);
/// so they are renewed after this time.
const RENEW_AFTER: Duration = Duration::from_mins(50);
/// Apple punishes renewals more frequent than this.
const KEEP_FOR: Duration = Duration::from_mins(20);
/// A token from further in the future than this was made before the clock was set back.
const AHEAD: Duration = Duration::from_mins(5);

/// A key of a team, and the token that it signed last.
pub(in crate::push) struct ProviderToken {
    key: Es256Key,
    team_id: String,
    key_id: String,
    clock: Clock,
    issued: Mutex<Option<Issued>>,
}

/// A signed token.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    /// The value of the `authorization` header.
    pub authorization: HeaderValue,
    at: Timestamp,
}

impl ProviderToken {
    /// The tokens of this key.
    pub(in crate::push) fn new(key: Es256Key, team_id: String, key_id: String, clock: Clock) -> Self {
        Self { key, team_id, key_id, clock, issued: Mutex::new(None) }
    }

    /// The token to use now.
    pub(super) fn current(&self) -> Result<Issued, SignError> {
        let now = self.clock.now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match &*issued {
            Some(token) if now.since(token.at) < RENEW_AFTER && token.at.since(now) < AHEAD => Ok(token.clone()),
            _ => Ok(issued.insert(self.sign(now)?).clone()),
        }
    }

    /// When the token that was signed last expires.
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.as_ref().map(|issued| issued.at + GOOD_FOR)
    }

    /// Another token than the one that Apple refused as expired, if one may be had yet.
    pub(super) fn after(&self, refused: &Issued) -> Result<Option<Issued>, SignError> {
        let now = self.clock.now();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        match &*issued {
            Some(token) if token.at != refused.at => Ok(Some(token.clone())),
            Some(token) if now.since(token.at) < KEEP_FOR => Ok(None),
            _ => Ok(Some(issued.insert(self.sign(now)?).clone())),
        }
    }

    /// Makes a new token, if the last one is old enough; whoever asks next gets it.
    pub(super) fn renew_early(&self) {
        // One that cannot be signed now is an error where it is needed.
        let _ = self.current().and_then(|current| self.after(&current));
    }

    fn sign(&self, now: Timestamp) -> Result<Issued, SignError> {
        let claims = json!({"iss": self.team_id, "iat": now.as_secs()});
        let token = self.key.sign_jwt(&json!({"kid": self.key_id}), &claims)?;
        let mut authorization = HeaderValue::try_from(format!("bearer {token}")).map_err(|_| SignError::Signature)?;
        authorization.set_sensitive(true);
        Ok(Issued { authorization, at: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider_token() -> (ProviderToken, Clock) {
        let clock = Clock::system();
        let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let key = Es256Key::from_pem(&pem).expect("a key on P-256");
        (ProviderToken::new(key, "TEAM123456".to_owned(), "ABC123DEFG".to_owned(), clock.clone()), clock)
    }

    #[test]
    fn one_token_serves_for_fifty_minutes() {
        let (token, clock) = provider_token();
        let first = token.current().expect("signed");
        clock.advance(Duration::from_mins(49));
        assert_eq!(token.current().expect("signed").authorization, first.authorization);
        clock.advance(Duration::from_mins(1));
        assert_ne!(token.current().expect("signed").authorization, first.authorization);
    }

    #[test]
    fn a_refused_token_is_renewed_only_after_twenty_minutes() {
        let (token, clock) = provider_token();
        let first = token.current().expect("signed");
        assert!(token.after(&first).expect("signed").is_none());
        clock.advance(Duration::from_mins(21));
        let second = token.after(&first).expect("signed").expect("a new one");
        assert_ne!(second.authorization, first.authorization);
        let shared = token.after(&first).expect("signed").expect("the new one");
        assert_eq!(shared.authorization, second.authorization);
    }

    #[test]
    fn a_clock_set_back_does_not_leave_a_token_from_the_future() {
        let (token, clock) = provider_token();
        let first = token.current().expect("signed");
        clock.correct_by_ms(-3_600_000);
        assert_ne!(token.current().expect("signed").authorization, first.authorization);
    }

    #[test]
    fn a_token_is_renewed_early_where_it_may_be() {
        let (token, clock) = provider_token();
        let first = token.current().expect("signed");
        token.renew_early();
        assert_eq!(token.current().expect("signed").authorization, first.authorization);
        clock.advance(Duration::from_mins(21));
        token.renew_early();
        assert_ne!(token.current().expect("signed").authorization, first.authorization);
    }

    #[test]
    fn no_token_is_printed() {
        let (token, _) = provider_token();
        let issued = token.current().expect("signed");
        assert!(!format!("{issued:?}").contains("bearer"));
    }
}
