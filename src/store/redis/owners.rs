//! Whose each push token is.
//!
//! The owner of a token lies with the token and is written after the device. It is the truth: a device whose token is another's by now is not
//! rung, whatever a crash left behind. The devices themselves are `devices`'.

use futures_util::future::try_join_all;
use redis::{Cmd, cmd, from_redis_value};
use serde::{Deserialize, Serialize};

use super::devices::Stored;
use super::script::{DISOWN, OWN};
use super::{Redis, unreadable};
use crate::domain::time::millis;
use crate::domain::{Device, DeviceId, PushToken, UserId};
use crate::store::StoreError;
use crate::store::codec::{read_json, write_json};
use crate::store::sealing::{TokenName, token_names};

/// Whose a token is.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) registration: String,
}

impl Redis {
    /// Takes a token, and takes the device away that had it.
    pub(super) async fn own(&self, token: TokenName, owner: &Owner) -> Result<(), StoreError> {
        let (key, value) = (self.keys.token(&token), write_json("owner", owner)?);
        let mut before: Option<Vec<u8>> = None;
        // It is taken only once the device that had it is gone: until then its owner is named here, for whoever tries again.
        loop {
            let mut step = OWN.on(&[&key]);
            step.arg(&value).arg(before.as_deref().unwrap_or_default());
            step.arg(owner.user.as_str()).arg(owner.device.as_str()).arg(millis(self.keeping.devices));
            let another: Option<Vec<u8>> = from_redis_value(self.link.run(&OWN, &step).await?).map_err(unreadable)?;
            let Some(another) = another else { return Ok(()) };
            let had: Owner = read_json("owner", &another)?;
            self.unregister(&had.user, &had.device, &had.registration).await?;
            before = Some(another);
        }
    }

    /// Gives a registration's tokens up, but for those that have another owner by now.
    pub(super) async fn disown_all(&self, user: &UserId, stored: &Stored) -> Result<(), StoreError> {
        let disowned = token_names(&stored.device).into_iter().map(|token| self.disown(user, stored, token));
        try_join_all(disowned).await.map(drop)
    }

    pub(super) async fn disown(&self, user: &UserId, stored: &Stored, token: TokenName) -> Result<(), StoreError> {
        let (device, registration) = (stored.device.id.clone(), stored.registration.clone());
        let owner = write_json("owner", &Owner { user: user.clone(), device, registration })?;
        self.link.run(&DISOWN, DISOWN.on(&[&self.keys.token(&token)]).arg(owner)).await.map(drop)
    }

    /// Of a user's stored devices, in the order of their ids, those whose tokens are no one else's.
    pub(super) async fn owned(&self, user: &UserId, values: Vec<Vec<u8>>) -> Result<Vec<Device>, StoreError> {
        let devices = values.iter().map(|value| read_json::<Stored>("device", value));
        let mut devices = devices.collect::<Result<Vec<Stored>, StoreError>>()?;
        let oldest = self.clock.now() - self.keeping.devices;
        devices.retain(|stored| stored.device.registered_at > oldest);
        let tokens: Vec<Vec<TokenName>> = devices.iter().map(|stored| token_names(&stored.device)).collect();
        let mut owners = self.owners_of(tokens.iter().flatten()).await?.into_iter();
        let kept = devices.into_iter().zip(tokens).filter(|(stored, tokens)| {
            let owners: Vec<Option<Owner>> = owners.by_ref().take(tokens.len()).collect();
            owners.iter().flatten().all(|owner| owner.user == *user && owner.device == stored.device.id)
        });
        let mut devices: Vec<Device> = kept.map(|(stored, _)| stored.device).collect();
        devices.sort_by(|device, other| device.id.cmp(&other.id));
        for device in &mut devices {
            self.sealing.open(user, device);
        }
        Ok(devices)
    }

    /// The owners of tokens, in their order, as far as they have one. In a cluster each may be on a node of its own.
    async fn owners_of(&self, tokens: impl Iterator<Item = &TokenName>) -> Result<Vec<Option<Owner>>, StoreError> {
        let keys: Vec<String> = tokens.map(|token| self.keys.token(token)).collect();
        let owners: Vec<Option<Vec<u8>>> = if keys.is_empty() {
            Vec::new()
        } else if self.link.is_cluster() {
            let owner =
                async |key: &String| from_redis_value(self.link.ask(cmd("GET").arg(key)).await?).map_err(unreadable);
            try_join_all(keys.iter().map(owner)).await?
        } else {
            let bytes = keys.iter().map(String::len).sum::<usize>();
            let mut mget = Cmd::with_capacity(1 + keys.len(), bytes + 4);
            mget.arg("MGET").arg(&keys);
            from_redis_value(self.link.ask(&mget).await?).map_err(unreadable)?
        };
        owners.into_iter().map(|owner| owner.map(|owner| read_json("owner", &owner)).transpose()).collect()
    }

    pub(super) async fn holder_of(&self, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError> {
        let owner = self.owners_of(std::iter::once(&TokenName::of(token))).await?.pop().flatten();
        let Some(owner) = owner else { return Ok(None) };
        let key = self.keys.of_user(&owner.user).key("devices", owner.user.as_str());
        let value = self.link.ask(cmd("HGET").arg(key).arg(owner.device.as_str())).await?;
        let Some(value) = from_redis_value::<Option<Vec<u8>>>(value).map_err(unreadable)? else { return Ok(None) };
        let Stored { mut device, .. } = read_json("device", &value)?;
        let is_kept = device.registered_at > self.clock.now() - self.keeping.devices;
        // An owner whose device was registered again without the token is one that a crash has left behind.
        if !is_kept || !token_names(&device).contains(&TokenName::of(token)) {
            return Ok(None);
        }
        self.sealing.open(&owner.user, &mut device);
        Ok(Some((owner.user, device)))
    }
}
