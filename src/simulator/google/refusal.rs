//! How FCM says no: HTTP status, RPC status, and in the details either FCM's own code or the fields at fault, or both.
//!
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>,
//! <https://firebase.google.com/docs/cloud-messaging/error-codes>

use serde_json::{Value, json};

use crate::simulator::exchange::Answer;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// One kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    /// FCM's word for it.
    name: &'static str,
    http: u16,
    /// Google's general word for it.
    status: &'static str,
    /// Whether FCM's word stands in the details; errors found before FCM has read the message have none.
    is_detailed: bool,
}

const fn code(name: &'static str, http: u16, status: &'static str, is_detailed: bool) -> Code {
    Code { name, http, status, is_detailed }
}

pub(super) const MALFORMED: Code = code("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT", false);
pub(super) const INVALID_ARGUMENT: Code = code("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT", true);
pub(super) const UNAUTHENTICATED: Code = code("UNAUTHENTICATED", 401, "UNAUTHENTICATED", false);
pub(super) const PERMISSION_DENIED: Code = code("PERMISSION_DENIED", 403, "PERMISSION_DENIED", false);
pub(super) const NOT_FOUND: Code = code("NOT_FOUND", 404, "NOT_FOUND", false);
pub(super) const UNREGISTERED: Code = code("UNREGISTERED", 404, "NOT_FOUND", true);

/// What a rule may prescribe; of each status the most telling first.
const PRESCRIBABLE: [Code; 9] = [
    INVALID_ARGUMENT,
    UNAUTHENTICATED,
    code("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED", true),
    PERMISSION_DENIED,
    code("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED", true),
    UNREGISTERED,
    code("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED", true),
    code("INTERNAL", 500, "INTERNAL", true),
    code("UNAVAILABLE", 503, "UNAVAILABLE", true),
];

/// A refusal with its text and the fields at fault.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    message: String,
    violations: Vec<Violation>,
}

/// A field at fault.
#[derive(Debug)]
pub(super) struct Violation {
    /// Its path, as in `message.data[0].value`.
    pub(super) field: String,
    pub(super) description: String,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new() }
    }

    /// A refusal for the sake of fields; the text is all of theirs.
    pub(super) fn of_fields(code: Code, violations: Vec<Violation>) -> Self {
        let texts: Vec<&str> = violations.iter().map(|violation| violation.description.as_str()).collect();
        Self { code, message: texts.join("\n"), violations }
    }

    /// The text by which clients tell a bad token from a bad message, which have the same code.
    pub(super) fn bad_token() -> Self {
        Self::new(INVALID_ARGUMENT, "The registration token is not a valid FCM registration token")
    }

    pub(super) fn answer(&self) -> Answer {
        let Code { name, http, status, is_detailed } = self.code;
        let mut error = json!({"code": http, "message": self.message, "status": status});
        let mut details = Vec::new();
        if is_detailed {
            details.push(json!({"@type": FCM_ERROR, "errorCode": name}));
        }
        if !self.violations.is_empty() {
            let field = |of: &Violation| json!({"field": of.field, "description": of.description});
            let fields: Vec<Value> = self.violations.iter().map(field).collect();
            details.push(json!({"@type": BAD_REQUEST, "fieldViolations": fields}));
        }
        if !details.is_empty() {
            error["details"] = details.into();
        }
        super::json(http, Some(name.to_owned()), &json!({ "error": error }))
    }
}

/// FCM's words with their statuses, as rules name them.
pub(in crate::simulator) fn fcm_reasons() -> Vec<(&'static str, u16)> {
    PRESCRIBABLE.iter().map(|code| (code.name, code.http)).collect()
}

/// The answer that a rule prescribes.
pub(super) fn prescribed(name: &str) -> Answer {
    if name == INVALID_ARGUMENT.name {
        return Refusal::bad_token().answer();
    }
    let code = PRESCRIBABLE.into_iter().find(|code| code.name == name).unwrap_or(UNREGISTERED);
    Refusal::new(code, "the simulator was told to say so").answer()
}
