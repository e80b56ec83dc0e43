//! For Flutter's `flutter_callkit_incoming`: the names of its `CallKitParams`, and Bellwire's facts in `extra`, which the kit keeps
//! with the call and gives back with each of its events.
//!
//! The kit reads no push by itself. On iOS the app's `AppDelegate` makes the kit's `Data` of it, as its example shows (`id`,
//! `nameCaller`, `handle`, `isVideo`); on Android the app's message handler makes `CallKitParams`. `type` is the kit's own: 0 for
//! audio, 1 for video.
//! <https://github.com/hiennguyen92/flutter_callkit_incoming/blob/8df0558/example/ios/Runner/AppDelegate.swift>,
//! <https://github.com/hiennguyen92/flutter_callkit_incoming/blob/8df0558/lib/entities/call_kit_params.dart>

use super::{Fields, Told, bellwire};
use crate::domain::time::millis;
use crate::push::message::Message;

pub(super) fn fields<'a>(told: &Told<'a>) -> Fields<'a> {
    let mut fields = Fields::new();
    if let Some(call_id) = told.message.call_id() {
        fields.text("id", call_id.to_string());
    }
    if let Some(caller) = told.caller {
        fields.text("nameCaller", caller.shown());
        fields.text("handle", caller.id);
        fields.optional("avatar", caller.avatar);
    }
    if let Message::Ring(ring) = told.message {
        fields.number("type", u64::from(ring.video));
        fields.flag("isVideo", ring.video);
        // How long the kit rings.
        fields.number("duration", millis(ring.ring_until.since(told.now)));
    }
    fields.fields("extra", bellwire::facts(told));
    fields
}
