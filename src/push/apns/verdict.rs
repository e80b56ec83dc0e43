//! What each answer of APNs means; the table with its reasons stands in docs/PUSH.md, and a test walks it.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>

use std::time::Duration;

use serde::Deserialize;

use crate::domain::Timestamp;
use crate::push::report::{Action, Outcome, Standing};

/// The body of an answer that is not 200.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    /// Apple's word for it.
    #[serde(default)]
    pub reason: String,
    /// With a 410: when the token was found dead, in milliseconds since 1970.
    timestamp: Option<u64>,
}

impl Refusal {
    /// Reads a body; an unreadable one has no reason.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// Whether Apple would take another push.
pub(super) fn standing(status: u16, refusal: &Refusal) -> Standing {
    match (status, refusal.reason.as_str()) {
        (500..=599, _) | (403, "UnrelatedKeyIdInToken") | (429, "TooManyProviderTokenUpdates") => Standing::Fails,
        (403, _) => Standing::RefusesUs,
        _ => Standing::Serves,
    }
}

/// The token is of another app.
pub(super) const WRONG_TOPIC: &str = "DeviceTokenNotForTopic";

/// Whether it is one of the answers that make Apple close the connection when they come too often.
pub(super) fn is_about_a_bad_token(outcome: &Outcome) -> bool {
    outcome.status == Some(400) && matches!(outcome.reason.as_str(), "BadDeviceToken" | WRONG_TOPIC)
}

/// What to do about the reason in a GOAWAY, beside opening another connection.
pub(in crate::push) fn farewell(reason: &str) -> Action {
    match reason {
        "ExpiredProviderToken" => Action::RefreshCredential,
        ""
        | "IdleTimeout"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "Shutdown"
        | "TooManyProviderTokenUpdates"
        | "TooManyRequests"
        | "UnrelatedKeyIdInToken" => Action::Retry { after: None, fresh: true },
        _ => Action::OurFault,
    }
}

/// Apple's table, whole. Its advice to wait 15 minutes after a 5xx is for bulk senders; a ring cannot.
pub(super) fn action(status: u16, refusal: &Refusal, retry_after: Option<Duration>) -> Action {
    match (status, refusal.reason.as_str()) {
        (200, _) => Action::Accepted,
        (400, "BadDeviceToken") => Action::OtherEnvironment,
        (400, "DeviceTokenNotForTopic") => Action::DropToken { since: None },
        (403, "ExpiredProviderToken") => Action::RefreshCredential,
        (410, _) => Action::DropToken { since: refusal.timestamp.map(Timestamp::from_millis) },
        // These are faults of the connection, so another one is wanted: too idle, tied to the keys of another team,
        // or with too many provider tokens seen on it (the token itself is kept). So are faults of Apple's own.
        (400, "IdleTimeout")
        | (403, "UnrelatedKeyIdInToken")
        | (429, "TooManyProviderTokenUpdates")
        | (500..=599, _) => Action::Retry { after: retry_after, fresh: true },
        // TooManyRequests is counted per device token.
        (429, _) => Action::Retry { after: Some(retry_after.unwrap_or(Duration::from_secs(1))), fresh: false },
        // The request or the configuration is wrong, whatever the reason; for a key of the other environment the
        // documentation has BadEnvironmentKeyIdInToken, and the wire has been seen to say BadEnvironmentKeyInToken.
        (400..=499, _) => Action::OurFault,
        _ => Action::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY_FRESH: Action = Action::Retry { after: None, fresh: true };
    const DROP: Action = Action::DropToken { since: None };

    #[test]
    fn every_answer_of_apple_has_its_action() {
        for (status, reason, expected) in [
            (200, "", Action::Accepted),
            (400, "BadCollapseId", Action::OurFault),
            (400, "BadDeviceToken", Action::OtherEnvironment),
            (400, "BadExpirationDate", Action::OurFault),
            (400, "BadMessageId", Action::OurFault),
            (400, "BadPriority", Action::OurFault),
            (400, "BadTopic", Action::OurFault),
            (400, "DeviceTokenNotForTopic", DROP),
            (400, "DuplicateHeaders", Action::OurFault),
            (400, "IdleTimeout", RETRY_FRESH),
            (400, "InvalidPushType", Action::OurFault),
            (400, "MissingDeviceToken", Action::OurFault),
            (400, "MissingTopic", Action::OurFault),
            (400, "PayloadEmpty", Action::OurFault),
            (400, "TopicDisallowed", Action::OurFault),
            (403, "BadCertificate", Action::OurFault),
            (403, "BadCertificateEnvironment", Action::OurFault),
            (403, "BadEnvironmentKeyIdInToken", Action::OurFault),
            (403, "BadEnvironmentKeyInToken", Action::OurFault),
            (403, "ExpiredProviderToken", Action::RefreshCredential),
            (403, "Forbidden", Action::OurFault),
            (403, "InvalidProviderToken", Action::OurFault),
            (403, "MissingProviderToken", Action::OurFault),
            (403, "UnrelatedKeyIdInToken", RETRY_FRESH),
            (404, "BadPath", Action::OurFault),
            (405, "MethodNotAllowed", Action::OurFault),
            (410, "ExpiredToken", DROP),
            (410, "Unregistered", DROP),
            (413, "PayloadTooLarge", Action::OurFault),
            (429, "TooManyProviderTokenUpdates", RETRY_FRESH),
            (429, "TooManyRequests", Action::Retry { after: Some(Duration::from_secs(1)), fresh: false }),
            (500, "InternalServerError", RETRY_FRESH),
            (503, "ServiceUnavailable", RETRY_FRESH),
            (503, "Shutdown", RETRY_FRESH),
            (502, "", RETRY_FRESH),
            (400, "NeverHeardOf", Action::OurFault),
            (403, "NeverHeardOf", Action::OurFault),
            (302, "", Action::GiveUp),
        ] {
            let refusal = Refusal { reason: reason.to_owned(), timestamp: None };
            assert_eq!(action(status, &refusal, None), expected, "{status} {reason}");
        }
    }

    #[test]
    fn a_410_says_since_when_in_milliseconds() {
        let refusal = Refusal::read(br#"{"reason":"Unregistered","timestamp":1712345678901}"#);
        let since = Some(Timestamp::from_millis(1_712_345_678_901));
        assert_eq!(action(410, &refusal, None), Action::DropToken { since });
    }

    #[test]
    fn retry_after_is_honoured() {
        let after = Some(Duration::from_secs(7));
        let refusal = Refusal::read(br#"{"reason":"TooManyRequests"}"#);
        assert_eq!(action(429, &refusal, after), Action::Retry { after, fresh: false });
        assert_eq!(action(503, &Refusal::read(b"<html>"), after), Action::Retry { after, fresh: true });
    }
}
