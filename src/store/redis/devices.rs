//! Devices, which lie with their user.
//!
//! Whose each push token is lies with the token, in another partition, so registering is a few steps: that is left to `owners`.

use futures_util::future::try_join_all;
use redis::{cmd, from_redis_value};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::owners::Owner;
use super::rates::rate_keys;
use super::script::{ATTACH, CHANGE, PUT_DEVICE, REMOVE_DEVICE};
use super::{Redis, unreadable};
use crate::domain::time::millis;
use crate::domain::{Device, DeviceId, Environment, Heard, PushToken, Timestamp, UserId};
use crate::store::codec::{read_json, write_json};
use crate::store::sealing::{TokenName, token_names};
use crate::store::{Charge, StoreError};

/// How long it is remembered that a device reads events somewhere, should its instance never come to say that it ended.
const ATTACHED_KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// A device as it is stored: one object, which is read as a device's with a field more, since serde reads an object within an object by
/// copies.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Device")]
pub(super) struct Stored {
    /// Tells this registration from earlier and later ones of the same device.
    pub(super) registration: String,
    #[serde(flatten)]
    pub(super) device: Device,
}

impl TryFrom<Device> for Stored {
    type Error = &'static str;

    fn try_from(mut device: Device) -> Result<Self, Self::Error> {
        match device.unknown.remove("registration") {
            Some(Value::String(registration)) => Ok(Self { registration, device }),
            _ => Err("no registration"),
        }
    }
}

/// What is to become of a stored device.
enum Change {
    None,
    Write,
    Remove,
}

impl Redis {
    pub(super) async fn register(
        &self,
        user: &UserId,
        mut device: Device,
        most: usize,
        charges: &[Charge],
    ) -> Result<(), StoreError> {
        let owner =
            Owner { user: user.clone(), device: device.id.clone(), registration: self.clock.uuid().to_string() };
        self.sealing.seal(user, &mut device)?;
        let stored = Stored { registration: owner.registration.clone(), device };
        let partition = self.keys.of_user(user);
        let mut keys = vec![partition.key("devices", user.as_str()), partition.one("notices"), partition.one("events")];
        keys.extend(rate_keys(partition, user, charges));
        let mut step = PUT_DEVICE.on(&keys);
        step.arg(stored.device.id.as_str()).arg(write_json("device", &stored)?).arg(most).arg(user.as_str());
        step.arg(&stored.registration).arg(self.clock.now().as_millis()).arg(millis(self.keeping.devices));
        let gone = self.run_charged(&PUT_DEVICE, step, charges).await?;
        let gone: Vec<Vec<u8>> = from_redis_value(gone).map_err(unreadable)?;
        try_join_all(token_names(&stored.device).into_iter().map(|token| self.own(token, &owner))).await?;
        for value in gone {
            let gone: Stored = read_json("device", &value)?;
            // A try whose answer was lost may have put this one there.
            if gone.registration != stored.registration {
                // Those that the device kept have a new owner by now: itself.
                self.disown_all(user, &gone).await?;
            }
        }
        Ok(())
    }

    /// Removes a device, of one registration only if it is named, and closes its event streams; says whether it was there.
    pub(super) async fn unregister(
        &self,
        user: &UserId,
        device: &DeviceId,
        registration: &str,
    ) -> Result<bool, StoreError> {
        let partition = self.keys.of_user(user);
        let keys = [partition.key("devices", user.as_str()), partition.one("notices"), partition.one("events")];
        loop {
            let value = self.link.ask(cmd("HGET").arg(&keys[0]).arg(device.as_str())).await?;
            let Some(value) = from_redis_value::<Option<Vec<u8>>>(value).map_err(unreadable)? else { return Ok(false) };
            let stored: Stored = read_json("device", &value)?;
            if !registration.is_empty() && stored.registration != registration {
                return Ok(false);
            }
            let mut step = REMOVE_DEVICE.on(&[&keys[0], &keys[1], &keys[2]]);
            step.arg(device.as_str()).arg(&value).arg(user.as_str());
            if from_redis_value(self.link.run(&REMOVE_DEVICE, &step).await?).map_err(unreadable)? {
                return self.disown_all(user, &stored).await.map(|()| true);
            }
        }
    }

    pub(super) async fn devices_of(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        let key = self.keys.of_user(user).key("devices", user.as_str());
        let values = from_redis_value(self.link.ask(cmd("HVALS").arg(key)).await?).map_err(unreadable)?;
        self.owned(user, values).await
    }

    pub(super) async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let drop = |stored: &mut Stored| {
            let newer = since.is_some_and(|since| stored.device.registered_at > since);
            if newer || !stored.device.drop_token(token) {
                Change::None
            } else if stored.device.tokens().next().is_none() {
                Change::Remove
            } else {
                Change::Write
            }
        };
        let changed = self.change_device(user, device, drop).await?;
        if let Some(stored) = &changed {
            self.disown(user, stored, TokenName::of(token)).await?;
        }
        Ok(changed.is_some())
    }

    pub(super) async fn note_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), StoreError> {
        let change = |stored: &mut Stored| {
            stored.device.environment = environment;
            Change::Write
        };
        self.change_device(user, device, change).await.map(drop)
    }

    pub(super) async fn note_acks(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), StoreError> {
        let change = |stored: &mut Stored| {
            if stored.device.acks.note(heard) { Change::Write } else { Change::None }
        };
        self.change_device(user, device, change).await.map(drop)
    }

    /// Changes a stored device, and returns it as it is then; nothing if there is none or nothing is to be changed.
    async fn change_device(
        &self,
        user: &UserId,
        device: &DeviceId,
        change: impl Fn(&mut Stored) -> Change,
    ) -> Result<Option<Stored>, StoreError> {
        let key = self.keys.of_user(user).key("devices", user.as_str());
        loop {
            let value = self.link.ask(cmd("HGET").arg(&key).arg(device.as_str())).await?;
            let Some(value) = from_redis_value::<Option<Vec<u8>>>(value).map_err(unreadable)? else { return Ok(None) };
            let mut stored: Stored = read_json("device", &value)?;
            self.sealing.open(user, &mut stored.device);
            let next = match change(&mut stored) {
                Change::None => return Ok(None),
                Change::Write => {
                    self.sealing.seal(user, &mut stored.device)?;
                    write_json("device", &stored)?
                }
                Change::Remove => Vec::new(),
            };
            if self.change(&key, device.as_str(), &value, &next).await? {
                return Ok(Some(stored));
            }
        }
    }

    /// Writes a field of a hash as long as it is what was read; the empty value removes it.
    pub(super) async fn change(&self, key: &str, field: &str, read: &[u8], next: &[u8]) -> Result<bool, StoreError> {
        let mut step = CHANGE.on(&[key]);
        step.arg(field).arg(read).arg(next);
        from_redis_value(self.link.run(&CHANGE, &step).await?).map_err(unreadable)
    }

    pub(super) async fn attach_device(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        let mut step = ATTACH.on(&[&self.keys.of_user(user).key("attached", user.as_str())]);
        step.arg(self.attachment(device)).arg(self.clock.now().as_millis()).arg(ATTACHED_KEPT_MS);
        self.link.run(&ATTACH, &step).await.map(drop)
    }

    pub(super) async fn detach_device(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        let key = self.keys.of_user(user).key("attached", user.as_str());
        self.link.ask(cmd("HDEL").arg(key).arg(self.attachment(device))).await.map(drop)
    }

    /// That a device reads events here; it may do so at several instances.
    fn attachment(&self, device: &DeviceId) -> String {
        format!("{device} {}", self.instance)
    }
}
