//! Errors as `application/problem+json` (RFC 9457), each with a stable `code`.
//!
//! One match turns whatever went wrong into status, code and title; details name fields and states, never a
//! secret, and a 500 says nothing of the inside (its cause goes to the log).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::AuthError;
use crate::domain::{EndReason, RefusalReason};
use crate::engine::EngineError;

/// Where the codes are explained.
const ERRORS_PAGE: &str = "https://bellwire.dev/errors/";

/// An error as the client sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A URI of the kind of problem: the code behind a fixed prefix.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The stable code.
    code: &'static str,
    /// What is wrong in this case.
    detail: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// How the call ended, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    end_reason: Option<EndReason>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// A field at fault.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it stands in the body: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem with nothing but its code and detail.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{ERRORS_PAGE}{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            end_reason: None,
            retry_after: None,
        }
    }

    /// A field of the body is not as it must be.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), detail: detail.into() };
        let detail = format!("{}: {}", error.pointer, error.detail);
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "invalid-field", "A field is not as it must be", detail);
        problem.errors.push(error);
        problem
    }

    /// Whoever asks may not do this.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "This is not allowed", detail)
    }

    /// The gateway cannot serve the request now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again in a moment", detail);
        problem.retry_after(1)
    }

    /// Something that should not happen; the cause goes to the log and not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "internal", "The gateway failed", "the operator finds the cause in the log")
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn ended(mut self, reason: EndReason) -> Self {
        self.end_reason = Some(reason);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1: a 401 names the scheme.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::KeysUnavailable => Self::unavailable(error.to_string()),
            error => {
                let code = error.code();
                Self::new(StatusCode::UNAUTHORIZED, code, "The token is not accepted", error.to_string())
            }
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        let conflict = |code, title| Self::new(StatusCode::CONFLICT, code, title, detail.clone());
        match error {
            EngineError::NotFound => Self::new(StatusCode::NOT_FOUND, "call-not-found", "No such call", detail),
            EngineError::UnknownDevice => {
                Self::new(StatusCode::NOT_FOUND, "device-not-found", "No such device", detail)
            }
            EngineError::Refused(refusal, _) => match refusal.why {
                RefusalReason::AnsweredElsewhere => conflict("answered-elsewhere", "Another device has answered"),
                RefusalReason::Ended(reason) => conflict("call-ended", "The call has ended").ended(reason),
                RefusalReason::NotALeg => conflict("device-not-rung", "The device takes no part in the call"),
                RefusalReason::Declined => conflict("declined-before", "The device has declined before"),
                RefusalReason::NotAParty => Self::forbidden("not-a-party", detail),
            },
            EngineError::NotAllowed(why) => Self::forbidden("not-allowed", why),
            EngineError::CallerBusy(_) => conflict("caller-busy", "The caller is on a call already"),
            EngineError::KeyReused => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "idempotency-key-reused", "The key was used with another request", detail)
            }
            EngineError::Banned => Self::forbidden("banned", detail),
            EngineError::Store(error) if error.is_passing() => {
                tracing::warn!(%error, "a request met a store that is not available");
                Self::unavailable("the store is not available")
            }
            EngineError::Store(error) => Self::internal(&error),
        }
    }
}
