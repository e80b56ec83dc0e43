//! For `expo-callkit-telecom`, whose native code reads a ring by itself, before any JavaScript runs.
//!
//! It reads `incoming_call` (on Android beside `messageType`, and as a text) and hands only its `metadata` on to JavaScript, so
//! Bellwire's facts are in there, and the app's metadata in those. Its pages write `incomingCall`, which its code does not read. What is
//! no ring goes to `expo-notifications`, and is flat.
//! <https://github.com/mfairley/expo-callkit-telecom/blob/2b63b81/ios/Models/IncomingCallEvent.swift>,
//! <https://github.com/mfairley/expo-callkit-telecom/tree/2b63b81/android/src/main/java/expo/modules/callkittelecom>

use super::{Fields, Told, bellwire};
use crate::push::message::Message;

const INCOMING_CALL: &str = "incoming_call";

pub(super) fn fields<'a>(told: &Told<'a>) -> Fields<'a> {
    let Message::Ring(ring) = told.message else { return bellwire::fields(told) };
    let mut caller = Fields::new();
    caller.text("id", ring.caller.id.as_str());
    caller.optional("displayName", told.caller_name());
    caller.optional("avatarUrl", told.caller.and_then(|caller| caller.avatar));

    let mut event = Fields::new();
    // The kit takes an event once in two minutes, so one id for all pushes of a call.
    event.text("eventId", ring.call_id.to_string());
    event.text("serverCallId", ring.call_id.to_string());
    event.flag("hasVideo", ring.video);
    event.text("startedAt", ring.created_at.rfc3339());
    event.fields("caller", caller);
    event.fields("metadata", bellwire::facts(told));

    let mut fields = Fields::new();
    fields.text("messageType", INCOMING_CALL);
    fields.fields(INCOMING_CALL, event);
    fields
}
