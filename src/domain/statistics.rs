//! What can be counted of a call that is over: how long it rang, how soon there was media, how long the two talked.
//!
//! Everything is worked out from the record when somebody asks; nothing of it is stored.

use super::call::{Call, Party};
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
    /// How often a party came back in another session.
    pub reconnects: u32,
}

impl Call {
    /// The figures of an ended call; of a live one, as they would be if it ended at `now`.
    pub fn statistics(&self, now: Timestamp) -> Statistics {
        let ended = self.ended_at.unwrap_or(now);
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(millis(to?.since(from?)));
        let visits = || self.visits().map(|(_, visit)| visit);
        Statistics {
            ring_ms: between(self.ringing_at, self.answered_at.or(Some(ended))),
            answer_ms: between(Some(self.created_at), self.answered_at),
            media_ms: between(self.answered_at, self.presence.connected_at),
            talk_ms: self.presence.talk_ms_until(ended),
            total_ms: millis(ended.since(self.created_at)),
            participant_ms: visits().map(|visit| visit.there_ms_until(ended)).fold(0, u64::saturating_add),
            peak_participants: self.presence.peak,
            reconnects: visits().map(|visit| visit.reconnects).fold(0, u32::saturating_add),
        }
    }

    /// Those of its parties who have been in the room, with their last visit.
    pub fn visits(&self) -> impl Iterator<Item = (&Party, &Visit)> {
        let parties = [(&self.caller, &self.presence.caller), (&self.callee, &self.presence.callee)];
        parties.into_iter().filter_map(|(party, visit)| Some((party, visit.as_ref()?)))
    }

    /// When the parties of an ended call were in the room.
    pub fn stays(&self) -> Vec<Stay> {
        let ended = self.ended_at.unwrap_or(self.created_at);
        let stay = |(_, visit): (&Party, &Visit)| {
            // Who came after the end was never in the call.
            let from = visit.came_at.filter(|came| *came < ended)?;
            let to = visit.left_at.unwrap_or(ended).min(ended);
            Some(Stay { from, to, there_ms: visit.there_ms_until(ended) })
        };
        self.visits().filter_map(stay).collect()
    }
}
