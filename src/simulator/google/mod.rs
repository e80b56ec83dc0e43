//! Google's side: FCM v1 and the OAuth token endpoint that lets clients in to it, on one host.

mod fcm;
mod message;
mod oauth;
mod refusal;
mod schema;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

pub(super) use oauth::REASONS as OAUTH_REASONS;
pub(super) use refusal::fcm_reasons;

use super::exchange::{Answer, Incoming, Judged};
use super::log::Provider;
use super::rule::Canned;
use super::{Shared, lock};
use crate::clock::Clock;
use crate::domain::Timestamp;

/// Checks a request as Google does.
pub(super) fn judge(shared: &Shared, request: &Incoming) -> Judged {
    if request.path == "/token" { oauth::judge(shared, request) } else { fcm::judge(shared, request) }
}

/// The answer that a rule prescribes.
pub(super) fn prescribed(provider: Provider, canned: Canned) -> Answer {
    match (canned.reason, provider) {
        (Some(reason), Provider::OAuth) => oauth::refusal(canned.status, reason, "the simulator was told to say so"),
        (Some(reason), _) => refusal::prescribed(reason),
        (None, _) => {
            Answer { body: Bytes::new(), ..json(canned.status, Some(canned.status.to_string()), &Value::Null) }
        }
    }
}

fn json(status: u16, reason: Option<String>, body: &Value) -> Answer {
    let content_type = HeaderValue::from_static("application/json; charset=UTF-8");
    Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        reason,
        headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
        body: Bytes::from(body.to_string()),
    }
}

/// The access tokens that were given out, and when each ends.
#[derive(Default)]
pub(super) struct AccessTokens(Mutex<HashMap<String, Timestamp>>);

impl AccessTokens {
    /// Google's are a little less than an hour.
    const LIFE: Duration = Duration::from_secs(3599);

    fn issue(&self, clock: &Clock) -> String {
        let mut random = [0; 32];
        clock.random(&mut random);
        let token = format!("simulated.{}", BASE64URL_NOPAD.encode(&random));
        let now = clock.now();
        let mut tokens = lock(&self.0);
        tokens.retain(|_, end| now < *end);
        tokens.insert(token.clone(), now + Self::LIFE);
        token
    }

    /// Ends all that were given out.
    pub(super) fn revoke(&self) {
        lock(&self.0).clear();
    }

    fn is_valid(&self, token: &str, now: Timestamp) -> bool {
        lock(&self.0).get(token).is_some_and(|end| now < *end)
    }
}
