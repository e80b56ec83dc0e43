//! Stored records of any version: what can be read is written back the same, the machine takes it further, and no error tells of it.
#![no_main]

use std::fmt::Debug;
use std::sync::LazyLock;

use bellwire::clock::Clock;
use bellwire::config::store::EncryptionKey;
use bellwire::domain::explain::{Around, explain};
use bellwire::domain::usage::shares;
use bellwire::domain::{Call, Device, Input, Outcome, Timestamp, step};
use bellwire::outbound::record::CallView;
use bellwire::store::codec::{decode, decode_job, encode, encode_job, read_json, write_json};
use bellwire::store::sealing::{Sealing, token_names};
use bellwire::store::{Ban, Claim, Slot, StoreError};
use bellwire_fuzz::told;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

static SEALING: LazyLock<Sealing> = LazyLock::new(|| Sealing::new(&[EncryptionKey::Key([7; 32])], Clock::system()));

// The first byte says of which kind the record is.
fuzz_target!(|data: &[u8]| {
    let Some((kind, record)) = data.split_first() else { return };
    let read = match kind % 6 {
        0 => decode(record).map(|slot| match slot {
            Slot::Call(call) => take_further(&call),
            slot => assert_eq!(slot, Slot::Tombstone),
        }),
        1 => decode_job(record).map(|job| {
            let written = encode_job(&job, "a commit").expect("written");
            assert_eq!(decode_job(&written).expect("read again"), job);
            let now = Timestamp::from_millis(1_800_000_000_000);
            let _ = (job.pause(), job.is_given_up_at(now));
            if job.version < u64::MAX {
                let begun = job.begun(now);
                assert_eq!(decode_job(&encode_job(&begun, "").expect("written")).expect("read again"), begun);
            }
        }),
        2 => comes_back::<Vec<Device>>(record).map(|devices| devices.iter().for_each(seals_and_opens)),
        3 => comes_back::<Ban>(record).map(drop),
        4 => comes_back::<Vec<Claim>>(record).map(drop),
        _ => comes_back::<Device>(record).map(|device| seals_and_opens(&device)),
    };
    if let Err(error) = read {
        told::nothing_of(record, &format!("{error} {error:?}"));
    }
});

fn comes_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(json: &[u8]) -> Result<T, StoreError> {
    let value: T = read_json("value", json)?;
    let written = write_json("value", &value).expect("written");
    assert_eq!(read_json::<T>("value", &written).expect("read again"), value);
    Ok(value)
}

fn seals_and_opens(device: &Device) {
    let _ = device.validate();
    let _ = token_names(device);
    let user = "ann".to_owned().try_into().expect("a user");
    let mut opened = device.clone();
    SEALING.open(&user, &mut opened);
    let mut sealed = opened.clone();
    if SEALING.seal(&user, &mut sealed).is_ok() && opened.unknown.get("sealed").is_none() {
        assert!(sealed.tokens().next().is_none(), "a token is left in the open");
        SEALING.open(&user, &mut sealed);
        assert_eq!(sealed, opened);
    }
}

/// Writes a call and reads it again, now and after each thing that may happen to it.
fn take_further(call: &Call) {
    is_written(call);
    drop(SEALING.open_slot(Slot::Call(Box::new(call.clone()))));
    let _ = (call.wake_up(), call.retained_until(), shares(&call.stays()));
    let around = Around { now: Timestamp::from_millis(1_800_000_000_000), devices: &[], callee_banned_at: None };
    let _ = explain(call, &around);
    serde_json::to_string(&CallView::for_service(call)).expect("shown");
    serde_json::to_string(&CallView::for_party(call)).expect("shown");
    let mut inputs = vec![
        Input::Wake,
        Input::Cancel,
        Input::RoomStarted,
        Input::RoomFinished,
        Input::PresenceDoubted,
        Input::TokenGiven,
        Input::HangUp(call.caller.id.clone()),
        Input::HangUp(call.callee.id.clone()),
        Input::Banned(call.callee.id.clone()),
        Input::ParticipantJoined(call.callee.id.clone(), "a session".to_owned()),
        Input::InvitedBack(None),
    ];
    for leg in call.legs.iter().take(2) {
        let device = &leg.device.id;
        inputs.extend([
            Input::DeviceAlerting(device.clone()),
            Input::Answer(device.clone()),
            Input::DeviceGone(device.clone()),
        ]);
        let _ = (call.ticket_scope(device, Timestamp::from_millis(1)), call.ticket_ends(device));
    }
    for now in [call.wake_up().at, Timestamp::from_millis(1_800_000_000_000), Timestamp::from_millis(u64::MAX)] {
        for input in &inputs {
            if let Ok(Outcome::Applied(next)) = step(call, input, now) {
                is_written(&next);
            }
        }
    }
}

fn is_written(call: &Call) {
    let written = encode(call, "a commit").expect("written");
    assert_eq!(decode(&written).expect("read again"), Slot::Call(Box::new(call.clone())));
}
