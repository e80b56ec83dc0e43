//! Access tokens from Google's token endpoint: for an assertion that a service account has signed, or for the refresh
//! token of a user.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::identity::Granted;
use super::oauth::{FETCH_TIMEOUT, OAuthError, SCOPE};
use crate::clock::Clock;
use crate::crypto::{Rs256Key, SignError};
use crate::push::endpoint::Endpoint;
use crate::push::pool::{Opening, Pool};

const ASSERTION: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
const ASSERTION_VALID_FOR: Duration = Duration::from_hours(1);

/// What is handed in.
pub(super) enum Form {
    Assertion {
        key: Box<Rs256Key>,
        key_id: Option<String>,
        client_email: String,
    },
    /// Encoded already.
    Refresh(Bytes),
}

/// A token endpoint, and what is handed in there.
pub(super) struct Grant {
    form: Form,
    /// In full; it is also the assertion's audience.
    token_uri: String,
    path: PathAndQuery,
    pool: Pool,
    clock: Clock,
}

impl Form {
    /// That of a user.
    pub(super) fn refresh(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        let mut form = "grant_type=refresh_token".to_owned();
        for (name, value) in
            [("client_id", client_id), ("client_secret", client_secret), ("refresh_token", refresh_token)]
        {
            form.push('&');
            form.push_str(name);
            form.push('=');
            escape(value, &mut form);
        }
        Self::Refresh(form.into())
    }
}

impl Grant {
    /// Nothing is asked for before a token is wanted; `name` is for logs and states.
    pub(super) fn new(form: Form, token_uri: String, endpoint: Endpoint, name: &str, clock: Clock) -> Self {
        let path = token_uri.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().cloned());
        let pool =
            Pool::start(format!("{name} oauth"), endpoint, 1, Opening::OnDemand, clock.clone(), Arc::new(|_| ()));
        Self { form, token_uri, path: path.unwrap_or_else(|| PathAndQuery::from_static("/")), pool, clock }
    }

    /// Asks for a token.
    pub(super) async fn fetch(&self) -> Result<Granted, OAuthError> {
        let form = self.form()?;
        let answer = self.pool.send(|| self.request(), form, Instant::now() + FETCH_TIMEOUT).await?;
        let status = answer.status.as_u16();
        if status != 200 {
            let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
            return Err(OAuthError::Refused { status, error: refusal.error });
        }
        Granted::read(&answer.body).ok_or(OAuthError::Answer)
    }

    /// Who asks, for people.
    pub(super) fn in_words(&self) -> String {
        match &self.form {
            Form::Assertion { client_email, .. } => format!("service account {client_email}"),
            Form::Refresh(_) => "a user's credentials".to_owned(),
        }
    }

    fn form(&self) -> Result<Bytes, SignError> {
        let (key, key_id, client_email) = match &self.form {
            Form::Refresh(form) => return Ok(form.clone()),
            Form::Assertion { key, key_id, client_email } => (key, key_id, client_email),
        };
        let now = self.clock.now();
        let header = key_id.as_ref().map_or_else(|| json!({"typ": "JWT"}), |id| json!({"typ": "JWT", "kid": id}));
        let claims = json!({
            "iss": client_email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now.as_secs(),
            "exp": (now + ASSERTION_VALID_FOR).as_secs(),
        });
        Ok(format!("{ASSERTION}{}", key.sign_jwt(&header, &claims)?).into())
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.pool.endpoint().uri(self.path.clone());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        request
    }
}

/// The word for why there is no token.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
}

/// Writes a value as forms have it.
fn escape(value: &str, out: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_hands_in_is_escaped() {
        let Form::Refresh(form) = Form::refresh("id.apps", "a&b", "1//x+y=") else { panic!("a refresh form") };
        let expected = "grant_type=refresh_token&client_id=id.apps&client_secret=a%26b&refresh_token=1%2F%2Fx%2By%3D";
        assert_eq!(form, expected);
    }
}
