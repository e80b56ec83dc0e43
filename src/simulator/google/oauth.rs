//! The OAuth 2.0 token endpoint for service accounts: a signed assertion goes in, an access token comes out.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>, RFC 7523.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::AccessTokens;
use crate::domain::Timestamp;
use crate::simulator::Shared;
use crate::simulator::body::{Body, Gist};
use crate::simulator::exchange::{Answer, Incoming, Judged};
use crate::simulator::jwt::Jwt;
use crate::simulator::log::Provider;

/// The words of this endpoint with their statuses.
pub(in crate::simulator) const REASONS: [(&str, u16); 4] =
    [("invalid_grant", 400), ("unauthorized_client", 401), ("rate_limit_exceeded", 429), ("internal_failure", 500)];
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];
const MAX_LIFE: Duration = Duration::from_hours(1);
/// How far ahead the client's clock may be; Google names no number.
const MAX_AHEAD: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    #[serde(default)]
    scope: String,
    iat: u64,
    exp: u64,
}

/// Google's `error` and `error_description`.
struct Refusal(&'static str, &'static str);

const fn invalid_grant(why: &'static str) -> Refusal {
    Refusal("invalid_grant", why)
}

pub(super) fn judge(shared: &Shared, request: &Incoming) -> Judged {
    let mut form = read_form(&request.body);
    let answer = match check(shared, request, &form) {
        Ok(()) => {
            let token = shared.access_tokens.issue(&shared.clock);
            let said =
                json!({"access_token": token, "expires_in": AccessTokens::LIFE.as_secs(), "token_type": "Bearer"});
            super::json(200, None, &said)
        }
        Err(Refusal(error, why)) => refusal(400, error, why),
    };
    if let Some(assertion) = form.get_mut("assertion") {
        "…".clone_into(assertion);
    }
    let body = Body::of_value(json!(form));
    Judged { provider: Provider::OAuth, answer, target: None, gist: Gist::default(), app: None, body }
}

pub(super) fn refusal(status: u16, error: &str, why: &str) -> Answer {
    super::json(status, Some(error.to_owned()), &json!({"error": error, "error_description": why}))
}

fn check(shared: &Shared, request: &Incoming, form: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if request.method != Method::POST {
        return Err(Refusal("invalid_request", "the method must be POST"));
    }
    let content_type = request.headers.get("content-type").map(http::HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/x-www-form-urlencoded") {
        return Err(Refusal("invalid_request", "the body must be a form"));
    }
    if form.get("grant_type").map(String::as_str) != Some(GRANT_TYPE) {
        return Err(Refusal("unsupported_grant_type", "the grant type must be jwt-bearer"));
    }
    let assertion = form.get("assertion").ok_or(Refusal("invalid_request", "the assertion is missing"))?;
    let jwt = Jwt::<Claims>::parse(assertion).ok_or(invalid_grant("the assertion is no JWT with all claims"))?;
    let claims = &jwt.claims;
    if claims.iss != shared.keys.client_email {
        return Err(invalid_grant("the issuer is no account of this project"));
    }
    if !jwt.is_rs256_of(&shared.keys.service_account.public_der) {
        return Err(invalid_grant("the signature is not of the account's key"));
    }
    if claims.aud != shared.keys.token_uri {
        return Err(invalid_grant("the audience is not this endpoint"));
    }
    check_times(claims, request.at)?;
    if !claims.scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
        return Err(Refusal("invalid_scope", "no scope of FCM is asked for"));
    }
    Ok(())
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), Refusal> {
    let at = |seconds: u64| Timestamp::from_millis(seconds.saturating_mul(1000));
    let (issued, end) = (at(claims.iat), at(claims.exp));
    if issued.since(now) > MAX_AHEAD {
        Err(invalid_grant("the assertion is of the future"))
    } else if end <= now {
        Err(invalid_grant("the assertion has expired"))
    } else if end <= issued || end.since(issued) > MAX_LIFE {
        Err(invalid_grant("the assertion must live for at most an hour"))
    } else {
        Ok(())
    }
}

/// `application/x-www-form-urlencoded`, the last of equal names.
fn read_form(body: &[u8]) -> BTreeMap<String, String> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let read = |pair: &[u8]| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let mut half = || unescape(halves.next().unwrap_or_default());
        (half(), half())
    };
    pairs.map(read).collect()
}

fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match data_encoding::HEXLOWER_PERMISSIVE.decode(&[*high, *low]) {
                Ok(byte) => {
                    bytes.extend(byte);
                    rest = after;
                }
                Err(_) => bytes.push(b'%'),
            },
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_unescaped() {
        let form = read_form(b"grant_type=urn%3Aietf&a=1+2%2b3&empty=&odd=100%&bare");
        let read: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [("a", "1 2+3"), ("bare", ""), ("empty", ""), ("grant_type", "urn:ietf"), ("odd", "100%")];
        assert_eq!(read, expected);
    }
}
