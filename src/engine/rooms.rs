//! What LiveKit tells about a call's room, and the tokens to come back to it.
//!
//! What comes of it is the record's to say (`domain::presence`, `domain::room`). Here it is found out which call a room is for, and
//! whether who came in is banned.

use std::sync::Arc;

use super::{Asker, Engine, EngineError};
use crate::domain::room::call_of_room;
use crate::domain::{Call, CallId, Input, UserId};
use crate::store::Slot;

impl Engine {
    /// The call that a room of this deployment is for, by its name alone.
    pub fn call_of_room(&self, room: &str) -> Option<CallId> {
        call_of_room(&self.0.settings.deployment, room)
    }

    /// The record of the call that this room is for. A name with another random part than the record's is of no call.
    pub async fn call_in_room(&self, room: &str) -> Result<Option<Arc<Call>>, EngineError> {
        let Some(id) = self.call_of_room(room) else { return Ok(None) };
        Ok(match self.store().load(id).await? {
            Slot::Call(call) if call.room == room => Some(Arc::from(call)),
            Slot::Call(_) | Slot::Tombstone | Slot::Vacant => None,
        })
    }

    /// Whether nothing at all is stored for the call that this room would be for, if it is a room of this deployment.
    pub async fn is_orphan(&self, room: &str) -> Result<bool, EngineError> {
        let Some(id) = self.call_of_room(room) else { return Ok(false) };
        Ok(matches!(self.store().load(id).await?, Slot::Tombstone | Slot::Vacant))
    }

    /// Something happened in a room; says whether it is the room of a call. A banned user who came in ends the call, or is taken out of
    /// the room of one that has ended.
    pub async fn room_input(&self, room: &str, input: Input) -> Result<bool, EngineError> {
        let Some(call) = self.call_in_room(room).await? else { return Ok(false) };
        let mut inputs = Vec::new();
        if let Input::ParticipantJoined(user, _) = &input
            && !call.is_ended()
            && self.ban_of(user).await?.is_some()
        {
            inputs.push(Input::Banned(user.clone()));
        }
        inputs.push(input);
        self.apply_all(call.id, inputs, Some(call)).await.map(|_| true)
    }

    /// As [`may_join`](Self::may_join), for a party that comes back: the room is made again if it is gone.
    pub async fn rejoin(&self, call: &Arc<Call>, asker: &Asker) -> Result<UserId, EngineError> {
        let user = self.may_join(call, asker).await?;
        if call.rules.rooms {
            self.apply_all(call.id, vec![Input::TokenGiven], Some(Arc::clone(call))).await?;
        }
        Ok(user)
    }
}
