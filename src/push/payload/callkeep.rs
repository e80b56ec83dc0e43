//! For `react-native-callkeep` with `react-native-voip-push-notification`: Bellwire's fields, and beside them the four names that
//! the `AppDelegate` of their documentation reads.
//!
//! Neither kit reads a push by itself. On iOS the app's `AppDelegate` does, as the README shows (`uuid`, `callerName`, `handle`); the
//! whole payload goes to JavaScript as the `notification` event. On Android the app's own message handler calls
//! `displayIncomingCall(uuid, handle, name, type, hasVideo)`.
//! <https://github.com/react-native-webrtc/react-native-voip-push-notification/blob/e92edad/README.md>,
//! <https://github.com/react-native-webrtc/react-native-callkeep/blob/db693d5/README.md#pushkit>

use super::{Fields, Told, bellwire};
use crate::push::message::Message;

pub(super) fn fields<'a>(told: &Told<'a>) -> Fields<'a> {
    let mut fields = Fields::new();
    if let Some(call_id) = told.message.call_id() {
        fields.text("uuid", call_id.to_string());
    }
    if let Some(caller) = told.caller {
        fields.text("callerName", caller.shown());
        fields.text("handle", caller.id);
    }
    if let Message::Ring(ring) = told.message {
        fields.flag("hasVideo", ring.video);
    }
    fields.append(bellwire::fields(told));
    fields
}
