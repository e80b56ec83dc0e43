//! The invite: from a request that is checked field by field to a call that rings.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::auth::{Caller, avatar_of_service};
use super::calls::{CallAnswer, mint, view};
use super::code::Code;
use super::extract::{Authenticated, Body, EmptyBody, Params, check_text, only_header, whole_number};
use super::problem::Problem;
use crate::domain::{DeviceId, Media, Party, Unknown, UserId};
use crate::engine::{Asker, InviteRequest, Key, joins};

/// How long a ring may be asked for, in seconds.
const RING_SECONDS: std::ops::RangeInclusive<u64> = 5..=120;
/// The most bytes of metadata, as compact JSON.
const METADATA_BYTES: usize = 2048;
/// How deep metadata may be nested: it stands inside calls, pages and events, which parsers must still be able to read.
const METADATA_DEPTH: usize = 32;
/// The header that makes an invite safe to repeat.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The most bytes of an idempotency key.
const KEY_BYTES: usize = 255;

/// An invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteBody {
    /// Who is called.
    #[schema(value_type = String)]
    callee: UserId,
    /// `audio` or `video`.
    #[schema(value_type = String)]
    media: Media,
    /// How long to ring, 5 to 120 seconds.
    #[serde(default, deserialize_with = "whole_number")]
    ring_seconds: Option<u64>,
    /// The calling device, which joins the call if the callee is calling at the same moment.
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
    /// The app's own data, at most 2 KiB.
    metadata: Option<Value>,
    /// Who calls; for services, and only for them.
    caller: Option<CallerBody>,
    /// The one device of the callee to push to; for services only. It makes the call a test.
    #[schema(value_type = Option<String>)]
    callee_device: Option<DeviceId>,
    /// Whether it only tries whether phones ring, so that no missed call follows; for services only.
    test: Option<bool>,
}

/// The caller that a service names.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerBody {
    /// The user.
    #[schema(value_type = String)]
    id: UserId,
    /// The display name.
    name: Option<String>,
    /// The avatar's https URL.
    avatar: Option<String>,
}

/// Invite: start a call.
#[utoipa::path(post, path = "/v1/calls", tag = "calls", request_body = InviteBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key gives the same call")),
    responses((status = 201, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn invite(
    State(app): State<App>,
    who: Authenticated,
    headers: HeaderMap,
    _: Params<EmptyBody>,
    Body { value: body, bytes }: Body<InviteBody>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers, &bytes)?;
    let caller = caller_of(&who.0, body.caller)?;
    if who.0 != Caller::Service {
        for (pointer, is_there) in [("/callee_device", body.callee_device.is_some()), ("/test", body.test.is_some())] {
            if is_there {
                return Err(Problem::field(pointer, "is for services only"));
            }
        }
    }
    if caller.id == body.callee {
        return Err(Problem::field("/callee", "must not be the caller"));
    }
    check_metadata(body.metadata.as_ref())?;
    let ring = match body.ring_seconds {
        Some(seconds) if !RING_SECONDS.contains(&seconds) => {
            return Err(Problem::field("/ring_seconds", "must be from 5 to 120"));
        }
        seconds => seconds.map(Duration::from_secs),
    };
    let user = caller.id.clone();
    let device = body.device_id.clone();
    let request = InviteRequest {
        caller,
        caller_device: body.device_id,
        callee: body.callee,
        by_service: who.0 == Caller::Service,
        test: body.test == Some(true) || body.callee_device.is_some(),
        callee_device: body.callee_device,
        media: body.media,
        ring,
        metadata: body.metadata.map(Arc::new),
        key,
    };
    let call = app.engine.invite(request).await?;
    // Whose invite was replayed after the end gets no token.
    let joins = joins(&call, &Asker::User(user, device)).ok();
    let livekit = joins.map(|identity| mint(&app, &call, &identity)).transpose()?;
    let location = format!("/v1/calls/{}", call.id);
    let answer = Json(CallAnswer { call: view(&call, &who.0), livekit });
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Extension(call.id), answer).into_response())
}

fn caller_of(who: &Caller, named: Option<CallerBody>) -> Result<Party, Problem> {
    match (who, named) {
        (Caller::User(user), None) => Ok(Party {
            id: user.id.clone(),
            name: user.name.clone(),
            avatar: user.avatar.clone(),
            unknown: Unknown::default(),
        }),
        (Caller::User(_), Some(_)) => Err(Problem::field("/caller", "only a service names the caller")),
        (Caller::Device(_), _) => Err(Problem::new(Code::UsersOnly, "a ticket starts no calls")),
        (Caller::Service, None) => Err(Problem::field("/caller", "is needed from a service")),
        (Caller::Service, Some(caller)) => {
            check_text("/caller/name", caller.name.as_deref(), 128)?;
            check_text("/caller/avatar", caller.avatar.as_deref(), 512)?;
            let avatar = caller.avatar.map(|url| {
                let problem = || Problem::field("/caller/avatar", "must be an https URL, without a user in it");
                avatar_of_service(&url).ok_or_else(problem)
            });
            Ok(Party { id: caller.id, name: caller.name, avatar: avatar.transpose()?, unknown: Unknown::default() })
        }
    }
}

fn check_metadata(metadata: Option<&Value>) -> Result<(), Problem> {
    match metadata {
        Some(value) if depth(value) > METADATA_DEPTH => {
            Err(Problem::field("/metadata", format!("must be nested at most {METADATA_DEPTH} deep")))
        }
        Some(value) if value.to_string().len() > METADATA_BYTES => {
            Err(Problem::field("/metadata", format!("must be at most {METADATA_BYTES} bytes of JSON")))
        }
        _ => Ok(()),
    }
}

/// How deep a value is nested; it came through a parser that bounds it.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn idempotency_key(headers: &HeaderMap, body: &[u8]) -> Result<Option<Key>, Problem> {
    let Some(text) = only_header(headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    // HTTP/1.1 takes white space around a value off, HTTP/2 leaves it (RFC 9110, section 5.5).
    let text = text.trim_matches([' ', '\t']);
    if !(1..=KEY_BYTES).contains(&text.len()) || text.contains('\t') {
        let detail = format!("{IDEMPOTENCY_KEY} must have 1 to {KEY_BYTES} characters, none of them a tab");
        return Err(Problem::new(Code::InvalidHeader, detail));
    }
    Ok(Some(Key { key: text.to_owned(), body: HEXLOWER.encode(digest(&SHA256, body).as_ref()) }))
}
