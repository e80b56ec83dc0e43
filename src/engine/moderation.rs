//! Bans by the backend, and blocks between users.
//!
//! A ban refuses new calls, answers and tokens from the moment it is written, ends the user's live calls and closes their event streams. Taking
//! a participant out of a LiveKit room needs LiveKit's room service, which this version does not call.

use super::{Engine, EngineError};
use crate::domain::{Input, UserId};
use crate::store::Ban;

impl Engine {
    /// Bans a user and ends their live calls.
    pub async fn ban(&self, ban: Ban) -> Result<(), EngineError> {
        let user = ban.user.clone();
        self.store().put_ban(ban).await?;
        for call in self.recent_calls(&user).await?.iter().filter(|call| !call.is_ended()) {
            self.apply(call.id, Input::Banned(user.clone())).await?;
        }
        self.0.readers.close(&user, None);
        Ok(())
    }

    /// The ban of a user.
    pub async fn ban_of(&self, user: &UserId) -> Result<Option<Ban>, EngineError> {
        Ok(self.store().ban(user, self.clock().now()).await?)
    }

    /// Lifts a ban; says whether there was one.
    pub async fn lift_ban(&self, user: &UserId) -> Result<bool, EngineError> {
        Ok(self.store().lift_ban(user).await?)
    }

    /// Every ban in force.
    pub async fn bans(&self) -> Result<Vec<Ban>, EngineError> {
        Ok(self.store().bans(self.clock().now()).await?)
    }

    /// Blocks or unblocks a peer; says whether that changed anything.
    pub async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, EngineError> {
        Ok(self.store().set_block(user, peer, blocked).await?)
    }

    /// Whom the user has blocked.
    pub async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, EngineError> {
        Ok(self.store().blocks(user).await?)
    }

    pub(super) async fn refuse_banned(&self, user: &UserId) -> Result<(), EngineError> {
        match self.ban_of(user).await? {
            Some(_) => Err(EngineError::Banned),
            None => Ok(()),
        }
    }
}
