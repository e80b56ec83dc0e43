//! What the demo must see, as pure comparisons: headers and payloads of pushes, claims, times.

use serde_json::Value;

use super::stage::APP;
use crate::crypto::{Compact, VerifyingKey};
use crate::domain::Timestamp;
use crate::simulator::Received;

/// The longest that the end of an unanswered call may be late, in milliseconds.
const LATE_MS: u128 = 2000;

/// Whether each is as expected; tells those that are not.
pub(super) fn same(fields: &[(&str, Option<&str>, &str)]) -> Result<(), String> {
    let different = fields.iter().filter(|(_, found, expected)| *found != Some(*expected));
    let different: Vec<String> = different
        .map(|(name, found, expected)| format!("{name}: expected {expected}, found {}", found.unwrap_or("nothing")))
        .collect();
    if different.is_empty() { Ok(()) } else { Err(different.join(", ")) }
}

/// Apple's rules for a VoIP push, as far as they show in its headers.
///
/// Source: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>
pub(super) fn voip_ring(push: &Received) -> Result<(), String> {
    same(&[
        ("method", Some(&push.method), "POST"),
        ("apns-push-type", push.header("apns-push-type"), "voip"),
        ("apns-topic", push.header("apns-topic"), &format!("{APP}.voip")),
        ("apns-priority", push.header("apns-priority"), "10"),
        ("type", push.body["type"].as_str(), "ring"),
        ("caller_name", push.body["caller_name"].as_str(), "Alice"),
        ("video", Some(&push.body["video"].to_string()), "true"),
    ])
}

/// Google's rules for a message that wakes a phone.
///
/// Source: <https://firebase.google.com/docs/cloud-messaging/android-message-priority>
pub(super) fn fcm_ring(push: &Received) -> Result<(), String> {
    let message = &push.body["message"];
    same(&[
        ("method", Some(&push.method), "POST"),
        ("android.priority", message["android"]["priority"].as_str(), "HIGH"),
        ("data.type", message["data"]["type"].as_str(), "ring"),
        ("data.caller_name", message["data"]["caller_name"].as_str(), "Alice"),
        ("data.video", message["data"]["video"].as_str(), "true"),
        ("notification", Some(&message["notification"].to_string()), "null"),
    ])
}

/// Whether a call that nobody took ended when it was due.
pub(super) fn in_time(ring_until: Option<&str>, ended_at: Option<&str>) -> Result<(), String> {
    let read = |text: Option<&str>| text.and_then(Timestamp::parse_rfc3339).ok_or("a time is missing");
    let (due, ended) = (read(ring_until)?, read(ended_at)?);
    if ended >= due && ended.since(due).as_millis() <= LATE_MS {
        return Ok(());
    }
    Err(format!("due at {due}, ended at {ended}"))
}

/// The claims of the LiveKit token in an answer, if it is signed with this secret.
pub(super) fn livekit_claims(answer: &Value, secret: &str) -> Result<Value, String> {
    let token = answer["livekit"]["token"].as_str().ok_or("no token")?;
    let token = Compact::read(token).map_err(|error| error.to_string())?;
    token.verify(&VerifyingKey::hs256(secret.as_bytes())).map_err(|error| error.to_string())?;
    token.claims().map_err(|error| error.to_string())
}

/// Whether a LiveKit token lets this user into this room, and a video call's camera with them.
pub(super) fn joins(claims: &Value, user: &str, room: &str) -> Result<(), String> {
    let sources = claims["video"]["canPublishSources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let camera = sources.iter().any(|source| source == "camera").to_string();
    same(&[
        ("sub", claims["sub"].as_str(), user),
        ("video.room", claims["video"]["room"].as_str(), room),
        ("video.roomJoin", Some(&claims["video"]["roomJoin"].to_string()), "true"),
        ("camera", Some(&camera), "true"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told() {
        assert_eq!(same(&[("a", Some("1"), "1")]), Ok(()));
        let found = same(&[("a", Some("1"), "1"), ("b", Some("1"), "2"), ("c", None, "3")]);
        assert_eq!(found, Err("b: expected 2, found 1, c: expected 3, found nothing".to_owned()));
    }

    #[test]
    fn a_call_ends_when_it_is_due() {
        let due = Some("2026-01-31T12:00:05.000Z");
        for (ended, good) in [
            ("2026-01-31T12:00:04.999Z", false),
            ("2026-01-31T12:00:05.000Z", true),
            ("2026-01-31T12:00:07.000Z", true),
            ("2026-01-31T12:00:07.001Z", false),
        ] {
            assert_eq!(in_time(due, Some(ended)).is_ok(), good, "{ended}");
        }
        assert!(in_time(due, None).is_err());
    }

    #[test]
    fn a_token_that_another_secret_signed_is_not_believed() {
        crate::crypto::install().expect("the JWT provider");
        let key = jsonwebtoken::EncodingKey::from_secret(b"one");
        let claims = serde_json::json!({"sub": "bob"});
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).expect("a token");
        let answer = serde_json::json!({"livekit": {"token": token}});
        assert_eq!(livekit_claims(&answer, "one"), Ok(claims));
        assert!(livekit_claims(&answer, "another").is_err());
        assert!(livekit_claims(&Value::Null, "one").is_err());
    }
}
