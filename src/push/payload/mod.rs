//! What a device is told: the same facts on every platform, in the shape that the app's call kit reads.
//!
//! `told` has the facts and leaves out what the provider has no room for, a file per profile puts them in its shape, `words` are
//! for people. `apns` writes the fields as JSON of their own types, `fcm` as texts.

mod bellwire;
mod callkeep;
mod expo_callkit_telecom;
mod fields;
mod flutter_callkit_incoming;
mod told;
mod words;

pub use told::LeftOut;

pub(super) use fields::Fields;
pub(super) use told::{Told, TooLarge, fit};
pub(super) use words::{Words, conversation};

use serde::Serialize;

use super::message::Message;
use crate::config::push::PayloadProfile;

/// What most bodies fit in.
const USUAL_BODY: usize = 1024;

/// A body as JSON.
pub(super) fn write(body: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(USUAL_BODY);
    serde_json::to_writer(&mut json, body).map(|()| json)
}

/// The fields of a push in the shape of a profile.
pub(super) fn arrange<'a>(profile: PayloadProfile, told: &Told<'a>) -> Fields<'a> {
    if matches!(told.message, Message::Proof { .. }) {
        // Nothing for a kit of calls.
        return bellwire::fields(told);
    }
    match profile {
        PayloadProfile::Bellwire => bellwire::fields(told),
        PayloadProfile::Callkeep => callkeep::fields(told),
        PayloadProfile::ExpoCallkitTelecom => expo_callkit_telecom::fields(told),
        PayloadProfile::FlutterCallkitIncoming => flutter_callkit_incoming::fields(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeviceId, Timestamp};

    #[test]
    fn a_proof_is_flat_in_every_profile_and_in_no_log() {
        let device = DeviceId::new("phone").expect("a device id");
        let message = Message::Proof { device, proof: "said-back".to_owned() };
        let told = Told { message: &message, now: Timestamp::from_millis(7), caller: None, metadata: None };
        let profiles = [
            PayloadProfile::Bellwire,
            PayloadProfile::Callkeep,
            PayloadProfile::ExpoCallkitTelecom,
            PayloadProfile::FlutterCallkitIncoming,
        ];
        for profile in profiles {
            let fields = arrange(profile, &told);
            let texts: Vec<_> = fields.texts().map(|(name, text)| format!("{name}={text}")).collect();
            assert_eq!(texts, ["type=device_proof", "device_id=phone", "proof=said-back", "server_time=7"]);
        }
        assert!(!format!("{message:?}").contains("said-back"));
    }
}
