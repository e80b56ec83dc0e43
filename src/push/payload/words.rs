//! Words for people, in notifications that the system shows: plain English, or the names of the app's own texts.
//!
//! Never both: iOS shows a name that the app has no text for as it is, and FCM's client takes a plain text in place of a named one.
//! <https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification>

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use serde::ser::SerializeMap;

use super::Told;
use crate::domain::UserId;
use crate::push::message::Message;

/// What a notification says.
pub(in crate::push) struct Words<'a> {
    pub title: Text<'a>,
    pub body: Option<Text<'a>>,
}

/// A text, or where the app has it.
pub(in crate::push) enum Text<'a> {
    Plain(Cow<'a, str>),
    /// The name of a text of the app, and what goes into it.
    Named(&'static str, Vec<String>),
}

impl<'a> Words<'a> {
    /// The words for what is told; a cancel and a proof have none.
    pub(in crate::push) fn new(told: &Told<'a>, localize: bool) -> Option<Self> {
        let name = told.caller_name().map(|name| Text::Plain(name.into()));
        let (title, body) = match told.message {
            Message::Cancel { .. } | Message::Proof { .. } => return None,
            Message::Missed { count, .. } => (missed(*count, localize), name),
            Message::Ring(ring) => match name {
                Some(name) => (name, Some(incoming(ring.video, localize))),
                None => (incoming(ring.video, localize), None),
            },
        };
        Some(Self { title, body })
    }
}

fn missed(count: u32, localize: bool) -> Text<'static> {
    match (count, localize) {
        (0 | 1, false) => Text::Plain("Missed call".into()),
        (0 | 1, true) => Text::Named("bellwire_missed_call", Vec::new()),
        (count, false) => Text::Plain(format!("{count} missed calls").into()),
        (count, true) => Text::Named("bellwire_missed_calls", vec![count.to_string()]),
    }
}

fn incoming(video: bool, localize: bool) -> Text<'static> {
    match (video, localize) {
        (false, false) => Text::Plain("Incoming call".into()),
        (true, false) => Text::Plain("Incoming video call".into()),
        (false, true) => Text::Named("bellwire_incoming_call", Vec::new()),
        (true, true) => Text::Named("bellwire_incoming_video_call", Vec::new()),
    }
}

impl Text<'_> {
    /// Writes it into a JSON object, under the provider's names for a plain text, the name of one, and what goes into that.
    pub(in crate::push) fn write<M: SerializeMap>(
        &self,
        [plain, named, values]: [&'static str; 3],
        map: &mut M,
    ) -> Result<(), M::Error> {
        match self {
            Self::Plain(text) => map.serialize_entry(plain, text),
            Self::Named(name, given) => {
                map.serialize_entry(named, name)?;
                if given.is_empty() { Ok(()) } else { map.serialize_entry(values, given) }
            }
        }
    }
}

/// Names what is shown of one caller, so that the newer takes the place of the older, without telling who it is; 32 bytes of the
/// 64 that Apple allows.
pub(in crate::push) fn conversation(caller: &UserId) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, caller.as_str().as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..16])
}
