//! What a handler takes from a request: who asks, the JSON body, ids in the path, the query.
//!
//! Everything comes from outside and is checked here: size, type, shape and unknown fields; a bad one names the field. What
//! a field's value must be is in the field's own type.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::App;
use super::auth::{Caller, UserIdentity};
use super::problem::Problem;
use crate::domain::{CallId, DeviceId};
use crate::engine::Asker;

/// Who asks, proved by the `Authorization` header.
pub struct Authenticated(pub Caller);

impl FromRequestParts<App> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let header = header.map(|value| value.to_str().unwrap_or_default());
        Ok(Self(app.auth.authenticate(header).await?))
    }
}

impl Authenticated {
    /// The user; nobody else may do this.
    pub fn user(self) -> Result<UserIdentity, Problem> {
        match self.0 {
            Caller::User(user) => Ok(user),
            Caller::Device(_) | Caller::Service => Err(Problem::forbidden("users-only", "only a user may do this")),
        }
    }

    /// The app's backend; nobody else may do this.
    pub fn service(self) -> Result<(), Problem> {
        match self.0 {
            Caller::Service => Ok(()),
            Caller::User(_) | Caller::Device(_) => {
                Err(Problem::forbidden("services-only", "only the app's backend may do this"))
            }
        }
    }

    /// Who asks about a call. A user's device is the one that they name; a ticket names its own, for its own call.
    pub fn asker(self, call: CallId, device: Option<DeviceId>) -> Result<Asker, Problem> {
        match self.0 {
            Caller::User(user) => Ok(Asker::User(user.id, device)),
            Caller::Device(ticket) if ticket.call != call => {
                Err(Problem::forbidden("wrong-call", "the ticket is for another call"))
            }
            Caller::Device(ticket) if device.as_ref().is_some_and(|device| *device != ticket.device) => {
                Err(Problem::forbidden("wrong-device", "the ticket is for another device"))
            }
            Caller::Device(ticket) => Ok(Asker::Ticket(ticket.user, ticket.device)),
            Caller::Service => Ok(Asker::Service),
        }
    }

    /// As [`asker`](Self::asker), for what only a device does: a user must name theirs.
    pub fn device_asker(self, call: CallId, device: Option<DeviceId>) -> Result<Asker, Problem> {
        match self.asker(call, device)? {
            Asker::User(_, None) => Err(Problem::field("/device_id", "is needed with a user's token")),
            asker => Ok(asker),
        }
    }
}

/// A JSON body and the bytes that it came as. An empty body is `{}`.
pub struct Body<T> {
    /// The body.
    pub value: T,
    /// Its bytes.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let most = app.limits.body_bytes;
        let body = Limited::new(request.into_body(), most).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let detail = format!("a body has at most {most} bytes");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
            } else {
                bad_json("the body did not arrive whole")
            }
        })?;
        let bytes = body.to_bytes();
        if bytes.is_empty() {
            return Ok(Self { value: parse(b"{}")?, bytes });
        }
        if !is_json {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let detail = "the content type must be application/json";
            return Err(Problem::new(status, "unsupported-media-type", "The body is no JSON", detail));
        }
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn bad_json(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-json", "The body is no JSON", detail)
}

/// Reads JSON. What is JSON but not what it should be is an error of a field, with a pointer to it.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        // A null or a number in an enum's place is called a syntax error, too.
        let is_json = inner.is_data() || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if is_json { field_problem(&pointer, &inner) } else { bad_json(inner.to_string()) }
    })?;
    json.end().map_err(|error| bad_json(error.to_string()))?;
    Ok(value)
}

fn field_problem(pointer: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // The position in the text means little to who built the body from a structure.
    let text = text.split(" at line ").next().unwrap_or(&text);
    let named = |start: &str| text.strip_prefix(start).and_then(|rest| rest.split('`').next());
    match named("missing field `").or_else(|| named("unknown field `")) {
        Some(field) if !pointer.ends_with(&format!("/{field}")) => {
            Problem::field(format!("{pointer}/{}", escape(field)), text)
        }
        _ => Problem::field(pointer, text),
    }
}

/// The path as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", escape(key))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A call's id in the path.
pub struct CallPath(pub CallId);

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        CallId::parse(&text).map(Self).map_err(|error| bad_path("call id", &error))
    }
}

/// Another id in the path.
pub struct IdPath<T>(pub T);

impl<S: Send + Sync, T: TryFrom<String, Error = crate::domain::ids::IdError>> FromRequestParts<S> for IdPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        T::try_from(text).map(Self).map_err(|error| bad_path("id", &error))
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text).map_err(|rejection: PathRejection| bad_path("path", &rejection.body_text()))
}

fn bad_path(what: &str, why: &dyn std::fmt::Display) -> Problem {
    let detail = format!("the {what} in the path {why}");
    Problem::new(StatusCode::BAD_REQUEST, "invalid-path", "The path is not as it must be", detail)
}

/// The query, every parameter of which must be known.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            let detail = rejection.body_text();
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "The query is not as it must be", detail)
        })
    }
}

/// Nothing: `{}`, or no body at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyBody {}

/// Checks a text that people will see.
pub fn check_text(pointer: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    match text {
        Some("") => Err(Problem::field(pointer, "must not be empty")),
        Some(text) if text.len() > most => Err(Problem::field(pointer, format!("must be at most {most} bytes long"))),
        Some(text) if text.chars().any(char::is_control) => {
            Err(Problem::field(pointer, "must have no control characters"))
        }
        _ => Ok(()),
    }
}
