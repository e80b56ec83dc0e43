//! The provider token that a connection sends with its pushes: whose it is, how old, and how often it changes.
//!
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>

use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;

use super::reason::Reason;
use crate::domain::Timestamp;
use crate::simulator::credentials::Keys;
use crate::simulator::jwt::Jwt;
use crate::simulator::lock;

/// An older one is refused.
const MAX_AGE: Duration = Duration::from_hours(1);
/// A connection that changes its token sooner than this is refused until the time is over.
const MIN_BETWEEN_UPDATES: Duration = Duration::from_mins(20);
/// How far ahead the client's clock may be; Apple names no number.
const MAX_AHEAD: Duration = Duration::from_mins(1);

/// The token of one connection, verified once and then only compared.
#[derive(Default)]
pub(in crate::simulator) struct ProviderToken(Mutex<State>);

#[derive(Default)]
struct State {
    current: Option<Verified>,
    /// Until when the connection is refused for having changed its token too soon.
    refused_until: Option<Timestamp>,
}

struct Verified {
    authorization: HeaderValue,
    issued: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: u64,
}

impl ProviderToken {
    /// Checks the authorization of a push.
    pub(super) fn check(&self, given: Option<&HeaderValue>, keys: &Keys, now: Timestamp) -> Result<(), Reason> {
        let given = given.ok_or(Reason::MissingProviderToken)?;
        let mut state = lock(&self.0);
        if state.refused_until.is_some_and(|until| now < until) {
            return Err(Reason::TooManyProviderTokenUpdates);
        }
        if let Some(current) = state.current.as_ref().filter(|current| current.authorization == given) {
            return check_age(current.issued, now);
        }
        let issued = verify(given, keys)?;
        check_age(issued, now)?;
        if let Some(current) = &state.current {
            let changeable = current.issued + MIN_BETWEEN_UPDATES;
            if issued < changeable {
                state.refused_until = Some(changeable);
                return Err(Reason::TooManyProviderTokenUpdates);
            }
        }
        state.current = Some(Verified { authorization: given.clone(), issued });
        Ok(())
    }
}

/// When the token was issued, if it is of this team and signed by this key.
fn verify(given: &HeaderValue, keys: &Keys) -> Result<Timestamp, Reason> {
    let (scheme, token) =
        given.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Reason::MissingProviderToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::MissingProviderToken);
    }
    let jwt = Jwt::<Claims>::parse(token).ok_or(Reason::InvalidProviderToken)?;
    let is_ours = jwt.claims.iss == keys.credentials.apns_team_id
        && jwt.header.kid.as_ref() == Some(&keys.credentials.apns_key_id)
        && jwt.is_es256_of(&keys.apns_public);
    if is_ours {
        Ok(Timestamp::from_millis(jwt.claims.iat.saturating_mul(1000)))
    } else {
        Err(Reason::InvalidProviderToken)
    }
}

fn check_age(issued: Timestamp, now: Timestamp) -> Result<(), Reason> {
    if now.since(issued) > MAX_AGE {
        Err(Reason::ExpiredProviderToken)
    } else if issued.since(now) > MAX_AHEAD {
        Err(Reason::InvalidProviderToken)
    } else {
        Ok(())
    }
}
