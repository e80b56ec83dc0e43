//! Apple's side of APNs: which pushes it takes, and how it refuses the others.
//!
//! The rules are those of
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>, the reasons
//! those of <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>.
//! Apple does not say in which order it checks; here it is path, headers, provider token, payload, device.

mod header;
mod key;
mod payload;
mod provider_token;
mod reason;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde_json::json;

pub(super) use key::{Key, Keys};
pub(super) use provider_token::ProviderToken;
pub(super) use reason::REASONS;

use super::body::{Body, Gist};
use super::connection::Peer;
use super::exchange::{Answer, Incoming, Judged};
use super::log::Provider;
use super::rule::Canned;
use crate::domain::{Environment, Timestamp};
use reason::Reason;

/// Why a push is refused, and for 410 since when its token has been invalid.
struct Refusal(Reason, Option<Timestamp>);

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self(reason, None)
    }
}

/// Checks a request as one of Apple's hosts does.
pub(super) fn judge(peer: &Peer, environment: Environment, request: &Incoming) -> Judged {
    let target = request.path.strip_prefix("/3/device/").filter(|token| !token.is_empty());
    let gist = Gist::read(&request.body);
    let mut answer = match check(peer, environment, request, target, gist.is_some()) {
        Ok(()) => Answer { status: StatusCode::OK, reason: None, headers: HeaderMap::new(), body: Bytes::new() },
        Err(Refusal(reason, since)) => refusal(reason.status(), Some(reason.as_str()), since),
    };
    answer.headers.insert("apns-id", id(peer, request));
    if environment == Environment::Sandbox {
        answer.headers.insert("apns-unique-id", unique(peer));
    }
    let provider = match environment {
        Environment::Production => Provider::Apns,
        Environment::Sandbox => Provider::ApnsSandbox,
    };
    Judged {
        provider,
        answer,
        target: target.map(str::to_owned),
        gist: gist.unwrap_or_default(),
        app: header::app(&request.headers).map(str::to_owned),
        body: Body::of_json(request.body.clone()),
    }
}

/// The answer that a rule prescribes.
pub(super) fn prescribed(canned: Canned, now: Timestamp) -> Answer {
    let since = (canned.status == 410).then(|| canned.since.unwrap_or(now));
    refusal(canned.status, canned.reason, since)
}

fn check(
    peer: &Peer,
    environment: Environment,
    request: &Incoming,
    target: Option<&str>,
    is_object: bool,
) -> Result<(), Refusal> {
    let is_known = target.is_some() || matches!(request.path.as_str(), "/3/device" | "/3/device/");
    if !is_known || request.query.is_some() {
        return Err(Reason::BadPath.into());
    }
    if request.method != Method::POST {
        return Err(Reason::MethodNotAllowed.into());
    }
    let token = target.ok_or(Reason::MissingDeviceToken)?;
    let push_type = header::check(&request.headers)?;
    let authorization = request.headers.get("authorization");
    peer.provider_token.check(authorization, &peer.shared.apns_keys, environment, request.at)?;
    payload::check(push_type, &request.body, is_object)?;
    // Hexadecimal of whole bytes; how many is Apple's to change.
    if !token.len().is_multiple_of(2) || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Reason::BadDeviceToken.into());
    }
    let known = peer.shared.devices.find(token);
    if known.environment.is_some_and(|its| its != environment) {
        return Err(Reason::BadDeviceToken.into());
    }
    known.unregistered.map_or(Ok(()), |since| Err(Refusal(Reason::Unregistered, Some(since))))
}

fn refusal(status: u16, reason: Option<&str>, since: Option<Timestamp>) -> Answer {
    let mut said = json!({ "reason": reason });
    if let Some(since) = since {
        said["timestamp"] = since.as_millis().into();
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        reason: reason.map(str::to_owned),
        headers: HeaderMap::new(),
        body: reason.map_or_else(Bytes::new, |_| Bytes::from(said.to_string())),
    }
}

/// The request's own id, or one that Apple gives it.
fn id(peer: &Peer, request: &Incoming) -> HeaderValue {
    let given = request.headers.get("apns-id").filter(|id| header::is_id(id.as_bytes()));
    given.cloned().unwrap_or_else(|| unique(peer))
}

fn unique(peer: &Peer) -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = peer.shared.clock.uuid().hyphenated().encode_upper(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
