//! Answers of the control port: JSON, and in a refusal each field at fault with what was expected of it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use crate::simulator::rule::RuleError;

pub(super) type Page = Full<Bytes>;

/// Why something is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    field: String,
    detail: String,
}

pub(super) fn refuse(status: StatusCode, field: &str, detail: impl Into<String>) -> Refusal {
    Refusal { status, field: field.to_owned(), detail: detail.into() }
}

/// The refusal of a field.
pub(super) fn bad(field: &str, detail: impl Into<String>) -> Refusal {
    refuse(StatusCode::BAD_REQUEST, field, detail)
}

pub(super) fn expected(field: &str, expected: &str, found: &str) -> Refusal {
    let found: String = found.chars().take(100).collect();
    bad(field, format!("expected {expected}, found `{found}`"))
}

impl From<RuleError> for Refusal {
    fn from(error: RuleError) -> Self {
        bad(error.field(), error.to_string())
    }
}

impl Refusal {
    pub(super) fn into_response(self) -> Response<Page> {
        reply(self.status, &json!({"errors": [{"field": self.field, "detail": self.detail}]}))
    }
}

pub(super) fn ok(said: &impl Serialize) -> Response<Page> {
    reply(StatusCode::OK, said)
}

/// Done, and there is nothing to say.
pub(super) fn done() -> Response<Page> {
    let mut response = Response::new(Page::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(super) fn reply(status: StatusCode, said: &impl Serialize) -> Response<Page> {
    let mut text = serde_json::to_vec(said).unwrap_or_default();
    text.push(b'\n');
    let mut response = Response::new(Page::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
