//! The devices of users, and what providers prove about their tokens. The event streams of a device that goes are closed by what
//! the store announces, at every instance.

use super::{Engine, EngineError};
use crate::domain::{CallId, Device, DeviceId, Environment, Heard, PushToken, Timestamp, UserId};
use crate::store::Missed;

impl Engine {
    /// Registers or refreshes a device, which takes its tokens from whoever held them.
    pub async fn register(&self, user: &UserId, device: Device) -> Result<(), EngineError> {
        self.refuse_banned(user).await?;
        let settings = &self.0.settings;
        let charges = settings.rates.of_registration();
        let put = self.store().put_device(user, device, settings.devices_per_user, &charges).await;
        Ok(self.within_limits(put)?)
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
