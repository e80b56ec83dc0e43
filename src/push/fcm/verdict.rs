//! What each answer of FCM means; the table with its reasons stands in docs/PUSH.md, and a test walks it.
//!
//! Sources: <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode> and
//! <https://firebase.google.com/docs/cloud-messaging/error-codes>. The HTTP status alone is ambiguous; the code that
//! counts is in the error's details.

use std::time::Duration;

use serde::Deserialize;

use crate::push::report::{Action, Standing};

/// What Google asks for where a 429 names no time.
const QUOTA_PAUSE: Duration = Duration::from_mins(1);
const BAD_TOKEN: &str = "not a valid FCM registration token";

#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Failure,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    status: String,
    message: String,
    details: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: Option<String>,
    field_violations: Vec<FieldViolation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FieldViolation {
    field: String,
}

/// An answer that is not 200.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// FCM's code, or else that of Google's APIs.
    pub code: String,
    /// Whether it is about the token and nothing else.
    names_token: bool,
}

impl Refusal {
    /// Reads a body; an unreadable one has an empty code.
    pub(super) fn read(body: &[u8]) -> Self {
        let error = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
        let mut fields = error.details.iter().flat_map(|detail| &detail.field_violations).peekable();
        // The message is Google's text about the whole request, so a named field has more to say.
        let names_token = match fields.peek() {
            Some(_) => fields.all(|violation| matches!(violation.field.as_str(), "message.token" | "message.fid")),
            None => error.message.contains(BAD_TOKEN),
        };
        let code = error.details.iter().find_map(|detail| detail.error_code.clone());
        Self { code: code.unwrap_or(error.status), names_token }
    }
}

/// Whether Google would take another message.
pub(super) fn standing(status: u16, refusal: &Refusal) -> Standing {
    match (status, refusal.code.as_str()) {
        (500..=599, _) => Standing::Fails,
        // About one token.
        (401, "THIRD_PARTY_AUTH_ERROR") | (403, "SENDER_ID_MISMATCH") | (404, "UNREGISTERED") => Standing::Serves,
        (401 | 403 | 404, _) => Standing::RefusesUs,
        _ => Standing::Serves,
    }
}

/// Google's table, whole.
pub(super) fn action(status: u16, refusal: &Refusal, retry_after: Option<Duration>) -> Action {
    match (status, refusal.code.as_str()) {
        (200..=299, _) => Action::Accepted,
        (404, "UNREGISTERED") => Action::DropToken { since: None },
        (400, "INVALID_ARGUMENT") if refusal.names_token => Action::DropToken { since: None },
        // The credential of another platform's push behind FCM; a new OAuth token is no help.
        (401, "THIRD_PARTY_AUTH_ERROR") => Action::OurFault,
        (401, _) | (403, "PERMISSION_DENIED") => Action::RefreshCredential,
        (429, _) => Action::Retry { after: Some(retry_after.unwrap_or(QUOTA_PAUSE)), fresh: false },
        // 500 INTERNAL, 503 UNAVAILABLE.
        (500..=599, _) => Action::Retry { after: retry_after, fresh: true },
        // 400 INVALID_ARGUMENT about the payload; 404 without FCM's code (no such project); 403 SENDER_ID_MISMATCH, by
        // which all tokens would look dead if the wrong project were configured; and what Google thinks of next.
        (400..=499, _) => Action::OurFault,
        _ => Action::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, names_token: bool) -> Refusal {
        Refusal { code: code.to_owned(), names_token }
    }

    #[test]
    fn every_answer_of_google_has_its_action() {
        let retry = Action::Retry { after: None, fresh: true };
        let drop = Action::DropToken { since: None };
        for (status, code, names_token, expected) in [
            (200, "", false, Action::Accepted),
            (400, "INVALID_ARGUMENT", true, drop),
            (400, "INVALID_ARGUMENT", false, Action::OurFault),
            (400, "UNSPECIFIED_ERROR", false, Action::OurFault),
            (401, "UNAUTHENTICATED", false, Action::RefreshCredential),
            (401, "THIRD_PARTY_AUTH_ERROR", false, Action::OurFault),
            (403, "PERMISSION_DENIED", false, Action::RefreshCredential),
            (403, "SENDER_ID_MISMATCH", false, Action::OurFault),
            (404, "UNREGISTERED", false, drop),
            (404, "NOT_FOUND", false, Action::OurFault),
            (429, "QUOTA_EXCEEDED", false, Action::Retry { after: Some(QUOTA_PAUSE), fresh: false }),
            (500, "INTERNAL", false, retry),
            (503, "UNAVAILABLE", false, retry),
            (502, "", false, retry),
            (418, "NEVER_HEARD_OF", false, Action::OurFault),
            (302, "", false, Action::GiveUp),
        ] {
            assert_eq!(action(status, &refusal(code, names_token), None), expected, "{status} {code}");
        }
    }

    #[test]
    fn retry_after_is_honoured() {
        let after = Some(Duration::from_secs(3));
        assert_eq!(action(429, &refusal("QUOTA_EXCEEDED", false), after), Action::Retry { after, fresh: false });
        assert_eq!(action(503, &refusal("UNAVAILABLE", false), after), Action::Retry { after, fresh: true });
    }

    #[test]
    fn the_code_of_fcm_counts_before_that_of_the_api() {
        let body = br#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND",
            "details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#;
        assert_eq!(Refusal::read(body).code, "UNREGISTERED");
        assert_eq!(Refusal::read(br#"{"error":{"status":"UNAVAILABLE"}}"#).code, "UNAVAILABLE");
        assert_eq!(Refusal::read(b"<html>").code, "");
    }

    #[test]
    fn a_bad_token_is_told_from_a_bad_payload() {
        let about = |message: &str, field: &str| {
            let violations = if field.is_empty() {
                String::new()
            } else {
                format!(r#",{{"fieldViolations":[{{"field":"{field}"}}]}}"#)
            };
            let details = format!(r#"[{{"errorCode":"INVALID_ARGUMENT"}}{violations}]"#);
            let body =
                format!(r#"{{"error":{{"status":"INVALID_ARGUMENT","message":"{message}","details":{details}}}}}"#);
            Refusal::read(body.as_bytes()).names_token
        };
        assert!(about("The registration token is not a valid FCM registration token", ""));
        assert!(about("Invalid value", "message.token"));
        assert!(!about("Invalid value at 'message.data[0].value'", "message.data[0].value"));
        assert!(!about("not a valid FCM registration token", "message.android.ttl"));
        assert!(!about("Invalid value", ""));
    }
}
