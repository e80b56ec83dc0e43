//! The payload of a push: its size, and that it is what its push type says.
//!
//! <https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification>

use serde_json::Value;

use super::header::PushType;
use super::reason::Reason;

const MAX_VOIP_BYTES: usize = 5120;
const MAX_BYTES: usize = 4096;

/// Checks a payload of which it is known whether it is a JSON object.
pub(super) fn check(push_type: &PushType, bytes: &[u8], is_object: bool) -> Result<(), Reason> {
    let max = if push_type.name == "voip" { MAX_VOIP_BYTES } else { MAX_BYTES };
    if bytes.len() > max {
        return Err(Reason::PayloadTooLarge);
    }
    // Apple names no reason for a payload that is no JSON object; this is the nearest.
    if !is_object {
        return Err(Reason::PayloadEmpty);
    }
    // Nor one for a payload that is not what its push type says: Apple may drop it without a word.
    if push_type.name == "background" && !is_silent(bytes) {
        return Err(Reason::InvalidPushType);
    }
    Ok(())
}

/// Whether it wakes the app and shows nothing.
fn is_silent(bytes: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let aps = &body["aps"];
    aps["content-available"] == 1 && ["alert", "badge", "sound"].iter().all(|shown| aps[shown].is_null())
}
