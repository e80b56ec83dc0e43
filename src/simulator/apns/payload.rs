//! The payload of a push: its size, and that it is what its push type says.
//!
//! <https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification>

use serde_json::Value;

use super::header::PushType;
use super::reason::Reason;

const MAX_VOIP_BYTES: usize = 5120;
const MAX_BYTES: usize = 4096;

pub(super) fn check(push_type: &PushType, bytes: &[u8], body: &Value) -> Result<(), Reason> {
    let max = if push_type.name == "voip" { MAX_VOIP_BYTES } else { MAX_BYTES };
    if bytes.len() > max {
        return Err(Reason::PayloadTooLarge);
    }
    // Apple names no reason for a payload that is no JSON object; this is the nearest.
    if !body.is_object() {
        return Err(Reason::PayloadEmpty);
    }
    // Nor one for a payload that is not what its push type says: Apple may drop it without a word.
    if push_type.name == "background" && !is_silent(body) {
        return Err(Reason::InvalidPushType);
    }
    Ok(())
}

/// Whether it wakes the app and shows nothing.
fn is_silent(body: &Value) -> bool {
    let aps = &body["aps"];
    aps["content-available"] == 1 && ["alert", "badge", "sound"].iter().all(|shown| aps[shown].is_null())
}
