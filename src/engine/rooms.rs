//! What LiveKit tells about a call's room, and the tokens to come back to it.
//!
//! What comes of it is the record's to say (`domain::presence`, `domain::room`). Here it is found out which call a room is for, and
//! whether who came in is banned.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::calls::joins;
use super::{Asker, Engine, EngineError};
use crate::domain::room::call_of_room;
use crate::domain::{Call, CallId, Input, UserId};
use crate::store::Slot;

/// The most rooms that are remembered as told of.
const MOST_TOLD_OF: usize = 100_000;

/// Rooms into or out of which somebody went, as webhooks told, since the sweep last asked.
#[derive(Default)]
pub(super) struct ToldOf(Mutex<HashSet<String>>);

impl ToldOf {
    fn add(&self, room: &str) {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Where there is no sweep nobody takes them out.
        if rooms.len() < MOST_TOLD_OF {
            rooms.insert(room.to_owned());
        }
    }
}

impl Engine {
    /// Takes out the rooms into or out of which somebody went, as webhooks told this instance since this was last asked.
    pub fn rooms_told_of(&self) -> HashSet<String> {
        std::mem::take(&mut *self.0.told_of.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The call that a room of this deployment is for, by its name alone.
    pub fn call_of_room(&self, room: &str) -> Option<CallId> {
        call_of_room(&self.settings().deployment, room)
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
        let is_traffic = matches!(input, Input::ParticipantJoined(..) | Input::ParticipantLeft { .. });
        inputs.push(input);
        let rooms = call.rules.rooms;
        self.apply_all(call.id, inputs, Some(call)).await?;
        if rooms && is_traffic {
            self.0.told_of.add(room);
        }
        Ok(true)
    }

    /// As [`may_join`](Self::may_join), for a party that comes back: the room is made again if it is gone.
    pub async fn rejoin(&self, call: &Arc<Call>, asker: &Asker) -> Result<UserId, EngineError> {
        let user = self.may_join(call, asker).await?;
        if !call.rules.rooms {
            return Ok(user);
        }
        let call = self.apply_all(call.id, vec![Input::TokenGiven], Some(Arc::clone(call))).await?;
        // It may have ended since it was read.
        joins(&call, asker)
    }
}
