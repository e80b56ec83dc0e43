//! Every code that an error can have, with its status and title, in one table.
//!
//! Clients tell errors apart by the code, so a code is never renamed. `docs/ERRORS.md` says when each comes
//! and what a client does then; a test keeps the two alike.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($name:ident = $status:ident, $text:literal, $title:literal;)+) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The HTTP status that it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The code in words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

codes! {
    BadJson = BAD_REQUEST, "bad-json", "The body is no JSON";
    InvalidField = BAD_REQUEST, "invalid-field", "A field is not as it must be";
    InvalidHeader = BAD_REQUEST, "invalid-header", "A header is not as it must be";
    InvalidPath = BAD_REQUEST, "invalid-path", "The path is not as it must be";
    InvalidQuery = BAD_REQUEST, "invalid-query", "The query is not as it must be";

    TokenMissing = UNAUTHORIZED, "token-missing", "A token is needed";
    TokenTooLong = UNAUTHORIZED, "token-too-long", "The token is not accepted";
    TokenMalformed = UNAUTHORIZED, "token-malformed", "The token is not accepted";
    TokenUnknownIssuer = UNAUTHORIZED, "token-unknown-issuer", "The token is not accepted";
    TokenWrongAlgorithm = UNAUTHORIZED, "token-wrong-algorithm", "The token is not accepted";
    TokenUnknownKey = UNAUTHORIZED, "token-unknown-key", "The token is not accepted";
    TokenBadSignature = UNAUTHORIZED, "token-bad-signature", "The token is not accepted";
    TokenExpired = UNAUTHORIZED, "token-expired", "The token has expired";
    TokenNotYetValid = UNAUTHORIZED, "token-not-yet-valid", "The token is not accepted";
    TokenWrongAudience = UNAUTHORIZED, "token-wrong-audience", "The token is not accepted";
    TokenMissingClaim = UNAUTHORIZED, "token-missing-claim", "The token is not accepted";
    TokenWrongClaim = UNAUTHORIZED, "token-wrong-claim", "The token is not accepted";
    TokenBadUserId = UNAUTHORIZED, "token-bad-user-id", "The token is not accepted";
    TicketInvalid = UNAUTHORIZED, "ticket-invalid", "The ticket is not accepted";
    TicketExpired = UNAUTHORIZED, "ticket-expired", "The ticket has expired";
    ServiceKeyUnknown = UNAUTHORIZED, "service-key-unknown", "The service key is not accepted";

    UsersOnly = FORBIDDEN, "users-only", "Only a user may do this";
    ServicesOnly = FORBIDDEN, "services-only", "Only the app's backend may do this";
    WrongCall = FORBIDDEN, "wrong-call", "The ticket is for another call";
    WrongDevice = FORBIDDEN, "wrong-device", "The ticket is for another device";
    NotAParty = FORBIDDEN, "not-a-party", "Only a party of the call may do this";
    NotAllowed = FORBIDDEN, "not-allowed", "This is not allowed";
    RecordingNotAllowed = FORBIDDEN, "recording-not-allowed", "Recordings are not for this asker";
    Banned = FORBIDDEN, "banned", "The user is banned";
    SelfBlock = FORBIDDEN, "self-block", "Nobody blocks themselves";

    NotFound = NOT_FOUND, "not-found", "No such path";
    CallNotFound = NOT_FOUND, "call-not-found", "No such call";
    RecordingNotFound = NOT_FOUND, "recording-not-found", "The call has no recording";
    DeviceNotFound = NOT_FOUND, "device-not-found", "No such device";
    BanNotFound = NOT_FOUND, "ban-not-found", "No such ban";
    BlockNotFound = NOT_FOUND, "block-not-found", "No such block";
    ContactNotFound = NOT_FOUND, "contact-not-found", "No such contact";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "No such method here";
    NotAcceptable = NOT_ACCEPTABLE, "not-acceptable", "No such form of the answer";
    BodyTooSlow = REQUEST_TIMEOUT, "body-too-slow", "The body did not arrive in time";

    AnsweredElsewhere = CONFLICT, "answered-elsewhere", "Another device has answered";
    CallEnded = CONFLICT, "call-ended", "The call has ended";
    CallNotAnswered = CONFLICT, "call-not-answered", "Nobody has answered the call yet";
    RecordingOver = CONFLICT, "recording-over", "The call has been recorded";
    DeviceNotRung = CONFLICT, "device-not-rung", "The device takes no part in the call";
    DeclinedBefore = CONFLICT, "declined-before", "The device has declined before";
    CallerBusy = CONFLICT, "caller-busy", "The caller is on a call already";
    TokenHeld = CONFLICT, "token-held", "The token is of another user's phone";
    TooManyContacts = CONFLICT, "too-many-contacts", "The user has too many contacts";

    BodyTooLarge = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is not called JSON";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key was used with another request";
    RateLimited = TOO_MANY_REQUESTS, "rate-limited", "Asked too often";
    TooManyInvites = TOO_MANY_REQUESTS, "too-many-invites", "Too many invites at a time";
    TooManyStreams = TOO_MANY_REQUESTS, "too-many-streams", "Too many event streams";
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "The headers are too large";

    Internal = INTERNAL_SERVER_ERROR, "internal", "The gateway failed";
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Try again in a moment";
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "There is too much at the moment";
    PolicyUnavailable = SERVICE_UNAVAILABLE, "policy-unavailable", "The policy cannot be asked";
    KeysUnavailable = SERVICE_UNAVAILABLE, "keys-unavailable", "The issuer's keys cannot be fetched";
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const PAGE: &str = include_str!("../../docs/ERRORS.md");

    #[test]
    fn the_page_of_errors_has_every_code_and_no_other_in_the_same_order() {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: Vec<(String, String)> = rows
            .map(|row| {
                let cells: Vec<&str> = row.split('|').map(str::trim).collect();
                let [code, status, when, then, ""] = cells[..] else { panic!("{row}") };
                assert!(!when.is_empty() && !then.is_empty(), "{row}");
                (code.trim_end_matches('`').to_owned(), status.to_owned())
            })
            .collect();
        let coded: Vec<_> =
            Code::ALL.iter().map(|code| (code.as_str().to_owned(), code.status().as_str().to_owned())).collect();
        assert_eq!(documented, coded);
    }

    #[test]
    fn no_code_is_one_that_nothing_answers_with() {
        fn read(folder: &Path) -> String {
            let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
            let files = entries.filter(|path| !path.ends_with("code.rs") && !path.ends_with("docs.html"));
            files
                .map(|path| if path.is_dir() { read(&path) } else { fs::read_to_string(&path).expect("a source") })
                .collect()
        }
        let source = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"));
        for code in Code::ALL {
            let at = source.split(&format!("Code::{code:?}")).nth(1);
            assert!(at.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)), "{code:?}");
        }
    }

    #[test]
    fn a_code_is_one_of_its_kind_and_fit_for_a_url() {
        for (index, code) in Code::ALL.iter().enumerate() {
            let text = code.as_str();
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
            assert!(Code::ALL[..index].iter().all(|other| other.as_str() != text), "{text}");
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{text}");
        }
    }
}
