//! The headers of a push: which there are, what may stand in them, and how push type, topic and priority go together.
//!
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>

use http::HeaderMap;
use uuid::Uuid;

use super::reason::Reason;

const MAX_COLLAPSE_ID_BYTES: usize = 64;

/// What Apple calls a kind of push, and what its topic has after the bundle id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PushType {
    pub(super) name: &'static str,
    topic_suffix: &'static str,
}

const PUSH_TYPES: [PushType; 11] = [
    push_type("voip", ".voip"),
    push_type("alert", ""),
    push_type("background", ""),
    push_type("complication", ".complication"),
    push_type("controls", ".push-type.controls"),
    push_type("fileprovider", ".pushkit.fileprovider"),
    push_type("liveactivity", ".push-type.liveactivity"),
    push_type("location", ".location-query"),
    push_type("mdm", ""),
    push_type("pushtotalk", ".voip-ptt"),
    push_type("widgets", ".push-type.widgets"),
];

const fn push_type(name: &'static str, topic_suffix: &'static str) -> PushType {
    PushType { name, topic_suffix }
}

/// Checks all headers but the authorization, and says what kind of push it is.
pub(super) fn check(headers: &HeaderMap) -> Result<&'static PushType, Reason> {
    // `len` counts values, `keys_len` names.
    if headers.len() > headers.keys_len() {
        return Err(Reason::DuplicateHeaders);
    }
    if headers.get("apns-id").is_some_and(|id| !is_id(id.as_bytes())) {
        return Err(Reason::BadMessageId);
    }
    if text(headers, "apns-expiration").is_some_and(|at| at.parse::<u64>().is_err()) {
        return Err(Reason::BadExpirationDate);
    }
    if headers.get("apns-collapse-id").is_some_and(|id| id.len() > MAX_COLLAPSE_ID_BYTES) {
        return Err(Reason::BadCollapseId);
    }
    // Apple may let a missing type pass on some systems; on iOS 13 and later a call would not ring without it.
    let name = text(headers, "apns-push-type").ok_or(Reason::InvalidPushType)?;
    let push_type = PUSH_TYPES.iter().find(|known| known.name == name).ok_or(Reason::InvalidPushType)?;
    let priority = text(headers, "apns-priority").unwrap_or("10");
    if !matches!(priority, "1" | "5" | "10") || (push_type.name == "background" && priority == "10") {
        return Err(Reason::BadPriority);
    }
    topic(push_type, text(headers, "apns-topic").ok_or(Reason::MissingTopic)?)?;
    Ok(push_type)
}

/// The bundle id that a topic is of.
pub(super) fn app(headers: &HeaderMap) -> Option<&str> {
    let topic = headers.get("apns-topic")?.to_str().ok()?;
    let mut suffixes = PUSH_TYPES.iter().map(|known| known.topic_suffix).filter(|suffix| !suffix.is_empty());
    Some(suffixes.find_map(|suffix| topic.strip_suffix(suffix)).unwrap_or(topic))
}

/// Whether it is a UUID in the one form that Apple takes: lower case, with hyphens.
pub(super) fn is_id(id: &[u8]) -> bool {
    id.len() == 36 && !id.iter().any(u8::is_ascii_uppercase) && Uuid::try_parse_ascii(id).is_ok()
}

/// Apple names no reason for a topic that does not fit the push type. A topic of PushKit with another type was seen
/// to be answered by `InvalidPushType`; and a device's PushKit token is for no topic but that with the suffix.
fn topic(push_type: &PushType, topic: &str) -> Result<(), Reason> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if topic.is_empty() || !topic.bytes().all(is_allowed) {
        return Err(Reason::BadTopic);
    }
    let of_topic = PUSH_TYPES.iter().map(|known| known.topic_suffix);
    let of_topic = of_topic.filter(|suffix| !suffix.is_empty()).find(|suffix| topic.ends_with(suffix)).unwrap_or("");
    if of_topic == push_type.topic_suffix {
        Ok(())
    } else if of_topic.is_empty() {
        Err(Reason::DeviceTokenNotForTopic)
    } else {
        Err(Reason::InvalidPushType)
    }
}

/// A header that is no text reads as one that fits nothing.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}
