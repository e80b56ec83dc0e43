//! What a handler takes from a request: who asks, the JSON body, ids in the path, the query.
//!
//! Everything comes from outside and is checked here: size, type, shape and unknown fields; a bad one names the field. What
//! a field's value must be is in the field's own type.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use utoipa::ToSchema;

use super::App;
use super::auth::{Caller, UserIdentity};
use super::bearer;
use super::code::Code;
use super::measure::Noted;
use super::problem::Problem;
use crate::domain::ids::{IdError, turns_text};
use crate::domain::{CallId, DeviceId};
use crate::engine::Asker;

/// Who asks, proved by the request's token.
pub struct Authenticated(pub Caller);

impl FromRequestParts<App> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = app.auth.now().authenticate(bearer::token(parts.uri.path(), &parts.headers)?).await?;
        Noted::caller(&parts.extensions, &caller);
        app.load.take_user(&parts.extensions, &caller)?;
        Ok(Self(caller))
    }
}

impl Authenticated {
    /// The user; nobody else may do this.
    pub fn user(self) -> Result<UserIdentity, Problem> {
        match self.0 {
            Caller::User(user) => Ok(user),
            Caller::Device(_) | Caller::Service => Err(Problem::new(Code::UsersOnly, "only a user may do this")),
        }
    }

    /// The app's backend; nobody else may do this.
    pub fn service(self) -> Result<(), Problem> {
        match self.0 {
            Caller::Service => Ok(()),
            Caller::User(_) | Caller::Device(_) => {
                Err(Problem::new(Code::ServicesOnly, "only the app's backend may do this"))
            }
        }
    }

    /// Who asks about a call. A user's device is the one that they name; a ticket names its own, for its own call.
    pub fn asker(self, call: CallId, device: Option<DeviceId>) -> Result<Asker, Problem> {
        match self.0 {
            Caller::User(user) => Ok(Asker::User(user.id, device)),
            Caller::Device(ticket) if ticket.call != call => {
                Err(Problem::new(Code::WrongCall, "the ticket is for another call"))
            }
            Caller::Device(ticket) if device.as_ref().is_some_and(|device| *device != ticket.device) => {
                Err(Problem::new(Code::WrongDevice, "the ticket is for another device"))
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
        let limits = app.limits.now();
        let bytes = collect(request.into_body(), limits.body_bytes, limits.body_timeout).await?;
        if bytes.is_empty() {
            return Ok(Self { value: parse(b"{}")?, bytes });
        }
        if !is_json {
            return Err(Problem::new(Code::UnsupportedMediaType, "the content type must be application/json"));
        }
        Ok(Self { value: parse(&bytes)?, bytes })
    }
}

/// Takes a body of at most so many bytes.
pub(super) async fn collect(body: axum::body::Body, most: usize, within: Duration) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("a body has at most {most} bytes"));
    // A length that is announced need not be waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(bad_json("the body did not arrive whole")),
        Err(_) => Err(Problem::new(Code::BodyTooSlow, format!("a body arrives within {within:?}"))),
    }
}

/// A header that may come once, of visible ASCII; `None` if it does not come.
pub fn only_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let invalid = |what| Problem::new(Code::InvalidHeader, format!("{name} {what}"));
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("must come once"));
    }
    value.to_str().map(Some).map_err(|_| invalid("must be of visible ASCII characters"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn bad_json(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadJson, detail)
}

/// Reads JSON. What is JSON but not what it should be is an error of a field, with a pointer to it.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| bad_json("the body is not UTF-8"))?;
    // Serde would read an array as a struct too, field by field.
    let is_object = text.trim_ascii_start().starts_with('{');
    if is_object && let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    // What is wrong with it? First whether it is JSON at all: about an enum, say, serde_json tells bad JSON and a bad value apart by their words
    // alone.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| bad_json(error.to_string()))?;
    if !is_object {
        return Err(Problem::field("", "must be an object"));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| field_problem(&pointer(error.path()), error.inner()))
}

fn field_problem(pointer: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    // The position in the text means little to who built the body from a structure.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let named = ["missing", "unknown", "duplicate"].iter().find_map(|what| {
        let rest = text.strip_prefix(what)?.strip_prefix(" field `")?;
        rest.split('`').next()
    });
    match (named, text.rsplit_once(", expected ")) {
        (Some(field), _) if !pointer.ends_with(&format!("/{}", escape(field))) => {
            Problem::field(format!("{pointer}/{}", escape(field)), text)
        }
        (None, None) if error.is_syntax() && text.starts_with("expected") => {
            Problem::field(pointer, "is of another type")
        }
        (Some(_), _) | (None, None) => Problem::field(pointer, text),
        // What stands before may be a token that came in the wrong place, and answers are kept in logs of others.
        (None, Some((_, expected))) => Problem::field(pointer, format!("must be {}", plain(expected))),
    }
}

/// What Rust's words for a kind of value are in JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "u64" | "u32" | "usize" | "a JSON number" => "a whole number that is not negative",
        kind if kind.starts_with("struct ") => "an object",
        kind => kind,
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
        let call = CallId::parse(&text).map_err(|error| bad_path("call id", &error))?;
        Noted::call(&parts.extensions, call);
        Ok(Self(call))
    }
}

/// Another id in the path.
pub struct IdPath<T>(pub T);

impl<S: Send + Sync, T: FromStr<Err = IdError>> FromRequestParts<S> for IdPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_text(parts, state).await?;
        text.parse().map(Self).map_err(|error| bad_path("id", &error))
    }
}

/// Two ids of the same kind in the path.
pub struct PairPath<T>(pub T, pub T);

impl<S: Send + Sync, T: FromStr<Err = IdError>> FromRequestParts<S> for PairPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((one, other)) = path.map_err(|rejection| bad_path("path", &rejection.body_text()))?;
        let id = |text: String| text.parse().map_err(|error| bad_path("id", &error));
        Ok(Self(id(one)?, id(other)?))
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text).map_err(|rejection: PathRejection| bad_path("path", &rejection.body_text()))
}

fn bad_path(what: &str, why: &dyn std::fmt::Display) -> Problem {
    let detail = format!("the {what} in the path {why}");
    Problem::new(Code::InvalidPath, detail)
}

/// The query, every parameter of which must be known.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            let detail = rejection.body_text();
            Problem::new(Code::InvalidQuery, detail)
        })
    }
}

/// Nothing: `{}` or no body at all, and as a query none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyBody {}

/// Reads a whole number, which JSON may write as `9.0` too.
pub fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let whole = number.as_u64().or_else(|| {
        let text = number.to_string();
        text.strip_suffix(".0")?.parse().ok()
    });
    whole.map(Some).ok_or_else(|| D::Error::invalid_type(Unexpected::Other("another number"), &"u64"))
}

/// Checks a text that people will see, of at most so many characters.
pub fn check_text(pointer: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    match text {
        Some("") => Err(Problem::field(pointer, "must not be empty")),
        Some(text) if text.chars().count() > most => {
            Err(Problem::field(pointer, format!("must be at most {most} characters long")))
        }
        Some(text) if text.chars().any(|c| c.is_control() || turns_text(c)) => {
            Err(Problem::field(pointer, "must have no control characters and no marks that turn text"))
        }
        _ => Ok(()),
    }
}
