//! The devices of users, and what providers prove about their tokens. The event streams of a device that goes are closed by what
//! the store announces, at every instance.

use super::{Engine, EngineError, Registration};
use crate::domain::{CallId, Device, DeviceId, Environment, Heard, PushToken, Timestamp, UserId};
use crate::store::Missed;

impl Engine {
    /// Registers or refreshes a device, which takes its tokens from whoever held them; where they keep them for now, says so. `proof` is what
    /// was pushed to the phone.
    pub async fn register(
        &self,
        user: &UserId,
        device: Device,
        proof: Option<&str>,
    ) -> Result<Registration, EngineError> {
        self.refuse_banned(user).await?;
        let settings = self.settings();
        let charges = settings.rates.of_registration(self.brings_new_token(user, &device).await?);
        let robbed = if settings.takeover.is_some() { self.robbed(user, &device).await? } else { Vec::new() };
        let charges = match &settings.takeover {
            Some(proofs) if !robbed.is_empty() => {
                // Charged before a push goes out, whatever comes of it.
                self.within_limits(self.store().admit(user, &charges).await)?;
                let taken = self.take_over(proofs, user, &device, proof, robbed).await?;
                if taken != Registration::Done {
                    return Ok(taken);
                }
                Vec::new()
            }
            _ => charges,
        };
        let put = self.store().put_device(user, device, settings.devices_per_user, &charges).await;
        self.within_limits(put)?;
        Ok(Registration::Done)
    }

    /// Whether none of the user's devices has some token of this one. Where that does not matter nobody looks.
    async fn brings_new_token(&self, user: &UserId, device: &Device) -> Result<bool, EngineError> {
        if self.settings().rates.new_tokens_per_user.is_none() || device.tokens().next().is_none() {
            return Ok(false);
        }
        let known = self.store().devices(user).await?;
        Ok(!device.tokens().all(|token| known.iter().any(|known| known.tokens().any(|held| held == token))))
    }

    /// The user's devices.
    pub async fn devices(&self, user: &UserId) -> Result<Vec<Device>, EngineError> {
        Ok(self.store().devices(user).await?)
    }

    /// Removes a device.
    pub async fn remove_device(&self, user: &UserId, device: &DeviceId) -> Result<(), EngineError> {
        if self.store().remove_device(user, device).await? { Ok(()) } else { Err(EngineError::UnknownDevice) }
    }

    /// Removes a token that its provider has proved dead, if the device was not registered again since.
    pub async fn drop_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, EngineError> {
        Ok(self.store().drop_token(user, device, token, since).await?)
    }

    /// Notes at which of Apple's hosts a device's tokens are good.
    pub async fn set_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), EngineError> {
        Ok(self.store().set_environment(user, device, environment).await?)
    }

    /// Notes how a device's app took a ring.
    pub async fn note_heard(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), EngineError> {
        Ok(self.store().note_heard(user, device, heard).await?)
    }

    /// How many calls the callee missed from this caller, this one included, and whether to tell them of it.
    pub async fn count_missed(&self, callee: &UserId, caller: &UserId, call: CallId) -> Result<Missed, EngineError> {
        Ok(self.store().count_missed(callee, caller, call).await?)
    }

    /// The callee has talked to this caller, and has missed none of their calls any more.
    pub async fn forget_missed(&self, callee: &UserId, caller: &UserId) -> Result<(), EngineError> {
        Ok(self.store().forget_missed(callee, caller).await?)
    }

    /// Takes a call off a user's line.
    pub async fn free_line(&self, user: &UserId, call: CallId) -> Result<(), EngineError> {
        Ok(self.store().free_line(user, call).await?)
    }
}
