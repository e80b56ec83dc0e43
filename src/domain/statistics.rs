//! What can be counted of a call that is over: how long it rang, how soon there was media, how long the two talked.
//!
//! Everything is worked out from the record when somebody asks; nothing of it is stored.

use super::call::Call;
use super::event::EventKind;
use super::presence::Visit;
use super::time::{Timestamp, millis};
use super::usage::Stay;

/// Figures of one call. Times are in milliseconds; one that never came to be is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// From the first device's ringing to the answer, or to the end without one.
    pub ring_ms: Option<u64>,
    /// From the invite to the answer.
    pub answer_ms: Option<u64>,
    /// From the answer until both were in the room.
    pub media_ms: Option<u64>,
    /// That both were in the room.
    pub talk_ms: u64,
    /// From the invite to the end.
    pub total_ms: u64,
    /// That the parties were in the room, added up.
    pub participant_ms: u64,
    /// The most participants at a time.
    pub peak_participants: u8,
    /// How often a party came back.
    pub reconnects: u32,
}

impl Call {
    /// The figures of an ended call; of a live one, as they would be if it ended at `now`.
    pub fn statistics(&self, now: Timestamp) -> Statistics {
        let ended = self.ended_at.unwrap_or(now);
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(millis(to?.since(from?)));
        let came_back = |kind: &EventKind| matches!(kind, EventKind::Reconnected { .. });
        let reconnects = self.events.iter().filter(|event| came_back(&event.kind)).count();
        Statistics {
            ring_ms: between(self.ringing_at, self.answered_at.or(Some(ended))),
            answer_ms: between(Some(self.created_at), self.answered_at),
            media_ms: between(self.answered_at, self.presence.connected_at),
            talk_ms: self.presence.talk_ms_until(ended),
            total_ms: millis(ended.since(self.created_at)),
            participant_ms: self.stays().iter().map(|stay| stay.there_ms).sum(),
            peak_participants: self.presence.peak,
            reconnects: u32::try_from(reconnects).unwrap_or(u32::MAX),
        }
    }

    /// When its parties were in the room.
    pub fn stays(&self) -> Vec<Stay> {
        let ended = self.ended_at.unwrap_or(self.created_at);
        let visits: [&Option<Visit>; 2] = [&self.presence.caller, &self.presence.callee];
        let stay = |visit: &Visit| {
            let from = self.presence.connected_at?;
            let to = visit.left_at.unwrap_or(ended);
            Some(Stay { from, to, there_ms: millis(to.since(from)) })
        };
        visits.into_iter().flatten().filter_map(stay).collect()
    }
}
