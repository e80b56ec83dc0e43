//! Push tokens as they are stored: by `store.encryption_key` sealed, so that a dump of the store gives nobody a token to push to.
//!
//! A device's tokens are sealed together, as one field of it that code without the key keeps as any field that it does not know. They are of
//! this user and device, in whichever record they stand: a leg keeps those of the device that it was made of. Beside them stand the
//! digests of the tokens, by which their owner is found in any case, so that a token has one owner whoever has the key.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::codec::write_json;
use super::{Slot, StoreError};
use crate::clock::Clock;
use crate::config::store::EncryptionKey;
use crate::crypto::SealingKey;
use crate::domain::{Call, Device, PushToken, UserId};

/// The field of a device.
const FIELD: &str = "sealed";
/// The way in which it is sealed.
const VERSION: u8 = 1;
/// What the seals are of, beside user and device.
const KIND: &str = "push tokens";
/// The most unknown keys that are remembered.
const MISSING: usize = 16;

/// The SHA-256 of a push token, by which its owner is found. A token has so many random bits that nobody finds it by guessing, so this needs no
/// key, and all gateways name it alike whichever keys they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenName(pub [u8; 32]);

/// How push tokens are stored.
pub struct Sealing {
    /// Those that open; the first one seals too, unless `seals` is false.
    keys: Vec<SealingKey>,
    seals: bool,
    clock: Clock,
    /// Ids of keys that something is sealed by, and that are not there.
    missing: Mutex<BTreeSet<String>>,
}

/// A device's tokens, sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    v: u8,
    /// Id of the key.
    key: String,
    /// Names of the tokens, in hex.
    of: Vec<String>,
    data: String,
}

/// A device's tokens, as they are sealed.
#[derive(Serialize, Deserialize)]
struct Tokens {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voip_token: Option<PushToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alert_token: Option<PushToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fcm_token: Option<PushToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fcm_fid: Option<PushToken>,
}

impl TokenName {
    /// The name of a token.
    pub fn of(token: &PushToken) -> Self {
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_str().as_bytes()).as_ref());
        Self(name)
    }

    fn parse(hex: &str) -> Option<Self> {
        HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok().map(Self)
    }
}

/// The names of a device's tokens, sealed or not.
pub fn token_names(device: &Device) -> Vec<TokenName> {
    let sealed = Sealed::of(device).map(|sealed| sealed.of).unwrap_or_default();
    let mut names: Vec<TokenName> = device.tokens().map(TokenName::of).collect();
    names.extend(sealed.iter().filter_map(|name| TokenName::parse(name)));
    names
}

impl Sealed {
    fn of(device: &Device) -> Option<Self> {
        Self::deserialize(device.unknown.get(FIELD)?).ok()
    }
}

impl Sealing {
    /// By these keys: the first one seals, all of them open.
    pub fn new(keys: &[EncryptionKey], clock: Clock) -> Self {
        let seals = matches!(keys.first(), Some(EncryptionKey::Key(_)));
        let keys = keys.iter().filter_map(EncryptionKey::bytes).map(SealingKey::new).collect();
        Self { keys, seals, clock, missing: Mutex::default() }
    }

    /// Nothing is sealed, or opened.
    pub fn none(clock: Clock) -> Self {
        Self::new(&[], clock)
    }

    /// Makes a device what is stored of it. What cannot be opened stays as it is.
    pub fn seal(&self, user: &UserId, device: &mut Device) -> Result<(), StoreError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let key = self.keys.first().filter(|_| self.seals);
        if device.tokens().next().is_none() {
            match (Sealed::of(device), key) {
                (None, _) => return Ok(()),
                (Some(sealed), Some(key)) if sealed.key == key.id() => return Ok(()),
                // By a key that is to go, or was needed until now.
                (Some(_), _) => self.open(user, device),
            }
        }
        let Some(key) = key.filter(|_| device.tokens().next().is_some()) else { return Ok(()) };
        let of = device.tokens().map(|token| HEXLOWER.encode(&TokenName::of(token).0)).collect();
        let tokens = Tokens {
            voip_token: device.voip_token.take(),
            alert_token: device.alert_token.take(),
            fcm_token: device.fcm_token.take(),
            fcm_fid: device.fcm_fid.take(),
        };
        let mut nonce = [0; 12];
        self.clock.random(&mut nonce);
        let failed = || StoreError::Corrupt("push tokens cannot be encrypted".to_owned());
        let data = key.seal(&name(user, device), nonce, write_json("push tokens", &tokens)?).ok_or_else(failed)?;
        let sealed = Sealed { v: VERSION, key: key.id().to_owned(), of, data };
        device.unknown.insert(FIELD.to_owned(), serde_json::to_value(sealed).map_err(|_| failed())?);
        Ok(())
    }

    /// Gives a stored device its tokens back. One whose key is not there has none, and what is sealed stays with it.
    pub fn open(&self, user: &UserId, device: &mut Device) {
        if device.unknown.get(FIELD).is_none() {
            return;
        }
        let Some(sealed) = Sealed::of(device) else { return self.miss("an unknown kind") };
        let Some(key) = self.keys.iter().find(|key| key.id() == sealed.key && sealed.v == VERSION) else {
            return self.miss(&sealed.key);
        };
        let plain = key.open(&name(user, device), &sealed.data);
        let Some(tokens) = plain.and_then(|plain| serde_json::from_slice::<Tokens>(&plain).ok()) else {
            tracing::error!(user_id = %user, device_id = %device.id, "push tokens are damaged, or those of another device");
            return;
        };
        Tokens {
            voip_token: device.voip_token,
            alert_token: device.alert_token,
            fcm_token: device.fcm_token,
            fcm_fid: device.fcm_fid,
        } = tokens;
        device.unknown.remove(FIELD);
    }

    /// Whether the tokens of a stored device can be had.
    pub fn opens(&self, user: &UserId, device: &Device) -> bool {
        let mut device = device.clone();
        self.open(user, &mut device);
        device.unknown.get(FIELD).is_none()
    }

    /// A call as it is stored.
    pub fn seal_call<'a>(&self, call: &'a Call) -> Result<Cow<'a, Call>, StoreError> {
        let holds = |device: &Device| device.tokens().next().is_some() || device.unknown.get(FIELD).is_some();
        if self.keys.is_empty() || !call.legs.iter().any(|leg| holds(&leg.device)) {
            return Ok(Cow::Borrowed(call));
        }
        let mut call = call.clone();
        for leg in &mut call.legs {
            self.seal(&call.callee.id, Arc::make_mut(&mut leg.device))?;
        }
        Ok(Cow::Owned(call))
    }

    /// What stands under a call's id, with the tokens of its legs.
    pub fn open_slot(&self, mut slot: Slot) -> Slot {
        if let Slot::Call(call) = &mut slot {
            for leg in &mut call.legs {
                self.open(&call.callee.id, Arc::make_mut(&mut leg.device));
            }
        }
        slot
    }

    /// What cannot be opened for want of a key, in words.
    pub fn trouble(&self) -> Option<String> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<&str> = missing.iter().map(String::as_str).collect();
        (!keys.is_empty()).then(|| {
            format!(
                "devices cannot be pushed to: their tokens are encrypted by what is not in store.encryption_key: {}",
                keys.join(", ")
            )
        })
    }

    fn miss(&self, key: &str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.len() < MISSING && missing.insert(key.to_owned()) {
            tracing::warn!(
                key,
                "push tokens are encrypted by a key that is not in store.encryption_key; such devices are not pushed to"
            );
        }
    }
}

fn name<'a>(user: &'a UserId, device: &'a Device) -> [&'a str; 3] {
    [KIND, user.as_str(), device.id.as_str()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: EncryptionKey = EncryptionKey::Plain;

    fn key(number: u8) -> EncryptionKey {
        EncryptionKey::Key([number; 32])
    }

    fn sealing(keys: &[EncryptionKey]) -> Sealing {
        Sealing::new(keys, Clock::system())
    }

    fn ann() -> UserId {
        UserId::new("ann").expect("a user id")
    }

    fn phone() -> Device {
        let json = json!({
            "id": "phone", "platform": "ios", "app": "a", "voip_token": "a1b2c3d4", "alert_token": "e5f6a7b8", "registered_at": 1, "x_new": 2,
        });
        serde_json::from_value(json).expect("a device")
    }

    fn sealed_by(keys: &[EncryptionKey]) -> Device {
        let mut device = phone();
        sealing(keys).seal(&ann(), &mut device).expect("sealed");
        device
    }

    fn opened_by(keys: &[EncryptionKey], device: &Device) -> Device {
        let mut device = device.clone();
        sealing(keys).open(&ann(), &mut device);
        device
    }

    #[test]
    fn a_sealed_device_shows_no_token_and_is_opened_as_it_was() {
        let sealed = sealed_by(&[key(1)]);
        let text = serde_json::to_string(&sealed).expect("JSON");
        assert!(!text.contains("a1b2c3d4") && !text.contains("e5f6a7b8") && !text.contains("_token"), "{text}");
        assert_eq!(token_names(&sealed), token_names(&phone()));
        assert_eq!(opened_by(&[key(1)], &sealed), phone());
        assert_ne!(sealed, sealed_by(&[key(1)]), "each seal has a nonce of its own");
    }

    #[test]
    fn a_seal_is_of_no_other_user_and_no_other_device() {
        let sealed = sealed_by(&[key(1)]);
        let mut moved = sealed.clone();
        sealing(&[key(1)]).open(&UserId::new("bob").expect("a user id"), &mut moved);
        assert_eq!(moved, sealed);
        let other = Device { id: crate::domain::DeviceId::new("other").expect("a device id"), ..sealed };
        assert_eq!(opened_by(&[key(1)], &other), other);
    }

    #[test]
    fn without_its_key_a_device_has_no_token_and_loses_none() {
        for keys in [&[][..], &[key(2)], &[PLAIN, key(2)]] {
            let (sealing, sealed) = (sealing(keys), sealed_by(&[key(1)]));
            let mut device = sealed.clone();
            sealing.open(&ann(), &mut device);
            assert_eq!(device.tokens().count(), 0);
            sealing.seal(&ann(), &mut device).expect("as it was");
            assert_eq!(device, sealed);
            assert!(sealing.trouble().expect("told").contains(SealingKey::new(&[1; 32]).id()));
            assert_eq!(opened_by(&[key(1)], &device), phone());
        }
    }

    #[test]
    fn keys_change_with_the_next_write() {
        let old = sealed_by(&[key(1)]);
        for (keys, by) in
            [(vec![key(1), key(2)], Some(1)), (vec![key(2), key(1)], Some(2)), (vec![PLAIN, key(1)], None)]
        {
            let mut next = old.clone();
            sealing(&keys).seal(&ann(), &mut next).expect("written");
            let key = Sealed::of(&next).map(|sealed| sealed.key);
            assert_eq!(key, by.map(|by| SealingKey::new(&[by; 32]).id().to_owned()));
            assert_eq!(opened_by(&keys, &next), phone());
        }
        let mut plain = phone();
        sealing(&[PLAIN, key(1)]).seal(&ann(), &mut plain).expect("written");
        assert_eq!(plain, phone(), "a gateway that has a key and does not use it yet");
    }

    #[test]
    fn what_is_no_seal_is_left_alone() {
        let sealing = sealing(&[key(1)]);
        let mut device = phone();
        device.voip_token = None;
        device.alert_token = None;
        device.unknown.insert(FIELD.to_owned(), json!({"v": 9, "more": true}));
        let before = device.clone();
        sealing.open(&ann(), &mut device);
        sealing.seal(&ann(), &mut device).expect("as it was");
        assert_eq!((device, sealing.trouble().is_some()), (before, true));
    }
}
