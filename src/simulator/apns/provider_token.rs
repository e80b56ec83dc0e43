//! The provider token that a connection sends with its pushes: by which key, how old, and how often it changes.
//!
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>

use std::sync::Mutex;
use std::time::Duration;

use http::HeaderValue;

use super::key::{Keys, Verified};
use super::reason::Reason;
use crate::domain::{Environment, Timestamp};
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
    current: Option<Current>,
    /// Until when the connection is refused for having changed its token too soon.
    refused_until: Option<Timestamp>,
}

struct Current {
    authorization: HeaderValue,
    verified: Verified,
}

impl ProviderToken {
    /// Whether a good one has come on this connection.
    pub(in crate::simulator) fn is_known(&self) -> bool {
        lock(&self.0).current.is_some()
    }

    /// Checks the authorization of a push.
    pub(super) fn check(
        &self,
        given: Option<&HeaderValue>,
        keys: &Keys,
        environment: Environment,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let given = given.ok_or(Reason::MissingProviderToken)?;
        let mut state = lock(&self.0);
        if state.refused_until.is_some_and(|until| now < until) {
            return Err(Reason::TooManyProviderTokenUpdates);
        }
        if let Some(current) = state.current.as_ref().filter(|current| current.authorization == given) {
            keys.check(&current.verified.key, environment, now)?;
            return check_age(current.verified.issued, now);
        }
        let verified = keys.verify(given)?;
        keys.check(&verified.key, environment, now)?;
        check_age(verified.issued, now)?;
        if let Some(current) = &state.current {
            // A connection is for the keys that it began with.
            if current.verified.key != verified.key {
                return Err(Reason::UnrelatedKeyIdInToken);
            }
            let changeable = current.verified.issued + MIN_BETWEEN_UPDATES;
            if verified.issued < changeable {
                state.refused_until = Some(changeable);
                return Err(Reason::TooManyProviderTokenUpdates);
            }
        }
        state.current = Some(Current { authorization: given.clone(), verified });
        Ok(())
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
