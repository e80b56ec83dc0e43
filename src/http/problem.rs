//! Errors as `application/problem+json` (RFC 9457), each with a stable `code`.
//!
//! Here whatever went wrong gets its code; the table in `code` gives status and title. Details name fields and states, never a
//! secret, and a 500 says nothing of the inside (its cause goes to the log).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::AuthError;
use super::code::Code;
use super::rate_limit;
use crate::domain::{DeviceId, EndReason, Limited, RefusalReason, StopReason};
use crate::engine::{EngineError, StoreError};

/// What the `type` of every problem begins with. It is a name and not an address: `.invalid` is nobody's domain and never will be
/// (RFC 2606), and a gateway that was moved still says the same.
const TYPE_PREFIX: &str = "https://bellwire.invalid/errors/";

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
    #[schema(value_type = String)]
    code: Code,
    /// What is wrong in this case.
    detail: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// How the call ended, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    end_reason: Option<EndReason>,
    /// Why the device need not ring any more, in the word of a `cancel` push, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    stop_reason: Option<StopReason>,
    #[serde(skip)]
    pub(super) retry_after: Option<u32>,
    /// Which limit refused, where one did.
    #[serde(skip)]
    pub(super) limited: Option<Box<Limited>>,
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
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            end_reason: None,
            stop_reason: None,
            retry_after: None,
            limited: None,
        }
    }

    /// A field of the body is not as it must be.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let error = FieldError { pointer: pointer.into(), detail: detail.into() };
        let detail = format!("{}: {}", error.pointer, error.detail);
        let mut problem = Self::new(Code::InvalidField, detail);
        problem.errors.push(error);
        problem
    }

    /// The gateway cannot serve the request now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, detail).retry_after(1)
    }

    /// Something that should not happen; the cause goes to the log and not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Code::Internal, "the operator finds the cause in the log")
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What a device hears whose request came too late: also why its ring is over.
    pub fn of_device(error: EngineError, device: Option<&DeviceId>) -> Self {
        let stop_reason = match (&error, device) {
            (EngineError::Refused(_, call), Some(device)) => call.stop_reason(device),
            _ => None,
        };
        Self { stop_reason, ..error.into() }
    }

    fn ended(mut self, reason: EndReason) -> Self {
        self.end_reason = Some(reason);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let (code, status) = (self.code, self.code.status());
        let (retry_after, limited) = (self.retry_after, self.limited.take());
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(code);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(limited) = limited {
            rate_limit::tell(headers, &limited);
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110, section 11.6.1: a 401 names the scheme.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For whoever counts refusals.
        response.extensions_mut().insert(code);
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let problem = Self::new(error.code(), error.to_string());
        if error == AuthError::KeysUnavailable { problem.retry_after(1) } else { problem }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error {
            EngineError::NotFound => Self::new(Code::CallNotFound, detail),
            EngineError::UnknownDevice => Self::new(Code::DeviceNotFound, detail),
            EngineError::Refused(refusal, _) => match refusal.why {
                RefusalReason::AnsweredElsewhere => Self::new(Code::AnsweredElsewhere, detail),
                RefusalReason::Ended(reason) => Self::new(Code::CallEnded, detail).ended(reason),
                RefusalReason::NotALeg => Self::new(Code::DeviceNotRung, detail),
                RefusalReason::Declined => Self::new(Code::DeclinedBefore, detail),
                RefusalReason::NotAnswered => Self::new(Code::CallNotAnswered, detail),
                RefusalReason::NotAParty => Self::new(Code::NotAParty, detail),
            },
            EngineError::NoRecording => Self::new(Code::RecordingNotFound, detail),
            EngineError::RecordingOver => Self::new(Code::RecordingOver, detail),
            EngineError::RecordingNotAllowed(why) => Self::new(Code::RecordingNotAllowed, why),
            EngineError::NotAllowed(why) => Self::new(Code::NotAllowed, why),
            EngineError::TokenHeld => Self::new(Code::TokenHeld, detail),
            EngineError::ProofRefused => Self::field("/proof", detail),
            EngineError::CallRefused(_) => Self::new(Code::NotAllowed, detail),
            EngineError::PolicyUnavailable => Self::new(Code::PolicyUnavailable, detail).retry_after(1),
            EngineError::TooManyInvites => Self::new(Code::TooManyInvites, detail).retry_after(1),
            EngineError::CallerBusy(_) => Self::new(Code::CallerBusy, detail),
            EngineError::KeyReused => Self::new(Code::IdempotencyKeyReused, detail),
            EngineError::TooManyReaders => Self::new(Code::TooManyStreams, detail).retry_after(5),
            EngineError::Banned => Self::new(Code::Banned, detail),
            EngineError::Limited(limited) => limited.into(),
            EngineError::Store(StoreError::TooMany) => Self::new(Code::TooManyContacts, detail),
            EngineError::Store(error) if error.is_passing() => {
                tracing::warn!(%error, "a request met a store that is not available");
                Self::unavailable("the store is not available")
            }
            EngineError::Store(error) => Self::internal(&error),
        }
    }
}
