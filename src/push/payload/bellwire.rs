//! Bellwire's own profile: flat, and the facts that every other one carries too.

use super::{Fields, Told};
use crate::push::message::Message;

/// All that is told.
pub(super) fn fields<'a>(told: &Told<'a>) -> Fields<'a> {
    let mut fields = facts(told);
    fields.optional("caller_name", told.caller_name());
    fields.optional("caller_avatar", told.caller.and_then(|caller| caller.avatar));
    fields
}

/// The same without the caller's name and avatar, for profiles that have them elsewhere.
pub(super) fn facts<'a>(told: &Told<'a>) -> Fields<'a> {
    let mut fields = Fields::new();
    fields.text("type", told.message.kind().as_str());
    if let Some(call_id) = told.message.call_id() {
        fields.text("call_id", call_id.to_string());
    }
    fields.optional("caller_id", told.caller.map(|caller| caller.id));
    match told.message {
        Message::Ring(ring) => {
            fields.flag("video", ring.video);
            fields.time("created_at", ring.created_at);
            fields.time("expires_at", ring.ring_until);
            fields.text("ticket", ring.ticket.as_str());
            fields.text("url", ring.url.as_ref());
        }
        Message::Cancel { reason, .. } => fields.text("reason", reason.as_str()),
        Message::Proof { device, proof } => {
            fields.text("device_id", device.as_str());
            fields.text("proof", proof.as_str());
        }
        Message::Missed { count, at, .. } => {
            fields.number("count", (*count).into());
            fields.time("at", *at);
        }
    }
    fields.time("server_time", told.now);
    if let Some(metadata) = told.metadata {
        fields.json("metadata", metadata);
    }
    fields
}
