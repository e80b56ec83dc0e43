//! What a user's token says, and the rules that it must keep.
//!
//! Registered claims are those of RFC 7519, section 4.1. Whether the token is genuine is for `users` to say.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::AuthError;
use crate::domain::Timestamp;

/// The claims of one token, parsed once.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// The claim at `path`: the one of this very name, else the dots lead into objects. So
    /// `https://app.example/name` is found as well as `user_metadata.name`.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path).or_else(|| {
            let (first, rest) = path.split_once('.')?;
            rest.split('.').try_fold(self.0.get(first)?, |value, name| value.get(name))
        })
    }

    /// The text at `path`, if it is one.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str()
    }

    /// Checks `exp`, which must be there, and `nbf` and `iat`, which may be; says until when the token is believed.
    pub(super) fn check_times(&self, now: Timestamp, leeway: Duration) -> Result<Timestamp, AuthError> {
        let expires = self.time("exp")?.ok_or_else(|| AuthError::MissingClaim("exp".to_owned()))? + leeway;
        if now >= expires {
            return Err(AuthError::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|time| time > now + leeway) {
                return Err(AuthError::NotYetValid);
            }
        }
        Ok(expires)
    }

    /// Checks that `aud` is `audience`, or a list with it.
    pub(super) fn check_audience(&self, audience: &str) -> Result<(), AuthError> {
        let there = match self.0.get("aud") {
            None => return Err(AuthError::MissingClaim("aud".to_owned())),
            Some(Value::Array(all)) => all.iter().any(|one| one == audience),
            Some(one) => one == audience,
        };
        if there { Ok(()) } else { Err(AuthError::WrongAudience) }
    }

    /// Checks that the claim at `path` is `expected`; numbers and booleans count by how JSON writes them.
    pub(super) fn check_required(&self, path: &str, expected: &str) -> Result<(), AuthError> {
        let same = match self.get(path) {
            None | Some(Value::Null) => return Err(AuthError::MissingClaim(path.to_owned())),
            Some(Value::String(text)) => text == expected,
            Some(Value::Number(number)) => number.to_string() == expected,
            Some(Value::Bool(truth)) => truth.to_string() == expected,
            Some(Value::Array(_) | Value::Object(_)) => false,
        };
        if same { Ok(()) } else { Err(AuthError::WrongClaim(path.to_owned())) }
    }

    /// The text or whole number at `path`.
    pub(super) fn id(&self, path: &str) -> Result<String, AuthError> {
        match self.get(path) {
            None | Some(Value::Null) => Err(AuthError::MissingClaim(path.to_owned())),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
            Some(_) => Err(AuthError::WrongClaim(path.to_owned())),
        }
    }

    /// A `NumericDate`: seconds since 1970, with or without a fraction.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, AuthError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let since_epoch = match value.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        let since_epoch = since_epoch.ok_or_else(|| AuthError::WrongClaim(name.to_owned()))?;
        Ok(Some(Timestamp::from_millis(0) + since_epoch))
    }
}
