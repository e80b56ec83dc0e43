//! LiveKit's room service: rooms made, closed and listed, participants listed and taken out.
//!
//! One call is one request; what a failure means for the call is for `dispatch` to say. Answers are read with whatever is not known or
//! left out. Source: `livekit_room.proto` of <https://github.com/livekit/protocol>.

use std::sync::Arc;
use std::time::Duration;

use livekit_api::access_token::VideoGrants;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::twirp::{ApiError, Health, SetUpError, Twirp};
use super::wire::{number, word};
use crate::clock::Clock;
use crate::config::LiveKit;
use crate::domain::{Call, Timestamp};
use crate::telemetry::Metrics;

const SERVICE: &str = "RoomService";
/// How long one request may take: two fit into the time of a task.
const WITHIN: Duration = Duration::from_millis(2400);
/// How long the list of all rooms may take.
const LIST_WITHIN: Duration = Duration::from_secs(10);
/// A call has two parties; recorders and agents do not count.
pub const MAX_PARTICIPANTS: u32 = 2;

/// The room service.
#[derive(Clone)]
pub struct Rooms(Twirp);

/// A room as LiveKit lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name.
    pub name: String,
    /// LiveKit's id of it; one that is made anew under its name has another.
    pub sid: String,
    /// How many are in it.
    pub participants: u32,
    /// When it was made, to the second.
    pub made_at: Timestamp,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    rooms: Vec<WireRoom>,
}

#[derive(Deserialize)]
struct WireRoom {
    #[serde(default)]
    name: String,
    #[serde(default)]
    sid: String,
    #[serde(default, alias = "numParticipants", deserialize_with = "number")]
    num_participants: u64,
    #[serde(default, alias = "creationTime", deserialize_with = "number")]
    creation_time: u64,
}

#[derive(Deserialize)]
struct Participants {
    #[serde(default)]
    participants: Vec<Participant>,
}

#[derive(Deserialize)]
struct Participant {
    #[serde(default)]
    sid: String,
    #[serde(default)]
    identity: String,
    #[serde(default, deserialize_with = "word")]
    state: String,
    #[serde(default, deserialize_with = "word")]
    kind: String,
}

impl Participant {
    /// Whether it is somebody who can be heard; recorders and agents are nobody. `JOINED` is one whose media has not come up, and may
    /// never do so: the webhook of the coming is of `ACTIVE` too.
    fn is_there(&self) -> bool {
        self.state == "ACTIVE" && matches!(self.kind.as_str(), "" | "STANDARD")
    }
}

impl Rooms {
    /// The room service of the server in the configuration.
    pub fn new(config: &LiveKit, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, SetUpError> {
        Ok(Self(Twirp::new(config, clock, metrics)?))
    }

    /// The caller of LiveKit's services, for others than this one.
    pub fn twirp(&self) -> &Twirp {
        &self.0
    }

    /// What was last heard of the server.
    pub fn health(&self) -> Health {
        self.0.health()
    }

    /// Makes the room of a call; one that is there stays, with these limits.
    pub async fn create(&self, call: &Call, now: Timestamp) -> Result<(), ApiError> {
        let body = json!({
            "name": call.room,
            "empty_timeout": call.empty_timeout(now).as_secs(),
            "departure_timeout": call.rules.departure_timeout().as_secs(),
            "max_participants": MAX_PARTICIPANTS,
        });
        let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
        self.0.call::<IgnoredAny>(SERVICE, "CreateRoom", grants, &body, WITHIN).await.map(drop)
    }

    /// Closes a room: everybody in it is disconnected.
    pub async fn delete(&self, room: &str) -> Result<(), ApiError> {
        let grants = VideoGrants { room_create: true, ..VideoGrants::default() };
        self.0.call::<IgnoredAny>(SERVICE, "DeleteRoom", grants, &json!({"room": room}), WITHIN).await.map(drop)
    }

    /// The identities of those who are in a room, each with the id of its session.
    pub async fn participants(&self, room: &str) -> Result<Vec<(String, String)>, ApiError> {
        let answer: Participants =
            self.0.call(SERVICE, "ListParticipants", admin(room), &json!({"room": room}), WITHIN).await?;
        let there = answer.participants.into_iter().filter(Participant::is_there);
        Ok(there.map(|participant| (participant.identity, participant.sid)).collect())
    }

    /// Takes somebody out of a room. On LiveKit Cloud the tokens that they have for it are refused from then on.
    pub async fn remove(&self, room: &str, identity: &str) -> Result<(), ApiError> {
        let body = json!({"room": room, "identity": identity});
        self.0.call::<IgnoredAny>(SERVICE, "RemoveParticipant", admin(room), &body, WITHIN).await.map(drop)
    }

    /// Every room of the project, whoever's it is.
    pub async fn list(&self) -> Result<Vec<Room>, ApiError> {
        let grants = VideoGrants { room_list: true, ..VideoGrants::default() };
        let answer: Listed =
            self.0.call(SERVICE, "ListRooms", grants, &Value::Object(<_>::default()), LIST_WITHIN).await?;
        let rooms = answer.rooms.into_iter().map(|room| Room {
            name: room.name,
            sid: room.sid,
            participants: u32::try_from(room.num_participants).unwrap_or(u32::MAX),
            made_at: Timestamp::from_millis(room.creation_time.saturating_mul(1000)),
        });
        Ok(rooms.collect())
    }
}

fn admin(room: &str) -> VideoGrants {
    VideoGrants { room_admin: true, room: room.to_owned(), ..VideoGrants::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_listed_is_read_with_words_that_are_new_and_values_that_are_left_out() {
        let answer: Participants = serde_json::from_value(json!({"participants": [
            {"sid": "PA_1", "identity": "alice", "state": "ACTIVE", "kind": "STANDARD", "new_field": {"x": 1}},
            {"identity": "bob", "state": "JOINED"},
            {"identity": "carol", "state": "JOINING"},
            {"identity": "dave", "state": "DISCONNECTED"},
            {"identity": "erin", "state": 17},
            {"identity": "recorder", "state": "ACTIVE", "kind": "EGRESS"},
            {"identity": "robot", "state": "ACTIVE", "kind": "A_NEW_KIND"},
            {"identity": "robot", "state": "ACTIVE", "kind": 12},
            {},
        ]}))
        .expect("participants");
        let there: Vec<_> = answer.participants.iter().filter(|one| one.is_there()).map(|one| &one.identity).collect();
        assert_eq!(there, ["alice"]);
    }

    #[test]
    fn rooms_are_read_in_either_spelling_and_with_numbers_as_texts() {
        let answer: Listed = serde_json::from_value(json!({"rooms": [
            {"name": "a", "num_participants": 2, "creation_time": "1712345678"},
            {"name": "b", "numParticipants": 1, "creationTime": 1_712_345_678},
            {"name": "c"},
        ]}))
        .expect("rooms");
        let read: Vec<_> = answer.rooms.iter().map(|room| (room.num_participants, room.creation_time)).collect();
        assert_eq!(read, [(2, 1_712_345_678), (1, 1_712_345_678), (0, 0)]);
    }
}
