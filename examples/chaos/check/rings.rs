//! Promises 3 and 4: which pushes there had to be, and which there must not have been.

use std::time::Duration;

use bellwire::domain::Timestamp;

use super::{Case, Judged, SKEW};
use crate::client::Rung;
use crate::pushes::Push;
use crate::report::Kind;

/// How soon the first push of a ring is with its provider, while nothing is broken: two quick retries, on a busy machine.
const FIRST_PUSH: Duration = Duration::from_millis(2500);
/// How long an attempt may be lost before the next begins: its lease by platform, 1.5 s until somebody takes it up, and half a second.
const NEXT_PUSH_IPHONE: Duration = Duration::from_secs(5);
const NEXT_PUSH_ANDROID: Duration = Duration::from_secs(7);
/// How long a silent connection may still be in use.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// How long after its call's end a ring may still begin.
const GHOST: Duration = Duration::from_secs(1);

impl Case<'_> {
    pub(super) fn rings(&self, judged: &mut Judged) {
        let mut pushes = self.pushes.of_call(self.record.id);
        pushes.retain(|push| push.is_ring);
        for push in &pushes {
            judged.look(Kind::Ghosts, 1);
            self.ghost(push, judged);
        }
        if self.record.ended_as("busy") && pushes.is_empty() {
            return;
        }
        for phone in &self.noted.phones {
            judged.look(Kind::Tried, 1);
            let of_phone: Vec<&Push> = pushes.iter().filter(|push| push.target == phone.token).collect();
            if let Err(why) = self.was_tried(phone, &of_phone) {
                self.violation(judged, Kind::Tried, why);
            }
            if self.record.ended_as("unreachable") && !self.was_refused(phone) {
                let seen = format!("it ended as unreachable, and {} was not refused", phone.device);
                self.violation(judged, Kind::Tried, seen);
            }
        }
    }

    fn ghost(&self, push: &Push, judged: &mut Judged) {
        let ended_at = self.record.ended_at.unwrap_or(push.begun);
        let late = self.times.whole(ended_at, push.begun);
        if late > GHOST {
            self.violation(judged, Kind::Ghosts, format!("ended at {ended_at}, and a ring began {late:?} later"));
        }
        // A provider is asked to keep nothing for less than a second.
        let latest = self.record.ring_until.max(push.begun + Duration::from_secs(1));
        if push.expires > latest {
            let seen = format!("a ring expires at {}, after {}", push.expires, self.record.ring_until);
            self.violation(judged, Kind::Ghosts, seen);
        }
    }

    fn was_refused(&self, phone: &Rung) -> bool {
        let over_at = self.record.ended_at.unwrap_or(self.record.ring_until);
        self.pushes.refused_at(&phone.token).is_some_and(|at| at <= over_at + SKEW)
    }

    /// Whether a phone got its push, or there was no time for it.
    fn was_tried(&self, phone: &Rung, pushes: &[&Push]) -> Result<(), String> {
        let record = self.record;
        // A device that has spoken needs no push; one whose token is dead cannot have one.
        let is_excused = self.noted.spoke.contains(&phone.device) || self.was_refused(phone);
        if is_excused || pushes.iter().any(|push| push.is_settled()) {
            return Ok(());
        }
        let ends = [Some(record.ring_until), record.answered_at, record.ended_at];
        let over_at = ends.into_iter().flatten().min().unwrap_or(record.ring_until);
        let last_at = pushes.iter().map(|push| push.at).max().unwrap_or(record.created_at);
        let patience = match phone.is_iphone {
            _ if pushes.is_empty() && self.is_calm(phone, over_at) => FIRST_PUSH,
            true => NEXT_PUSH_IPHONE,
            false => NEXT_PUSH_ANDROID,
        };
        let silent = self.times.whole(last_at, over_at);
        if silent <= patience {
            return Ok(());
        }
        let statuses: Vec<u16> = pushes.iter().map(|push| push.status).collect();
        Err(format!("{} got no push, and {silent:?} of its ring went by without a try ({statuses:?})", phone.device))
    }

    /// Whether nothing was broken that a push of this call goes over.
    fn is_calm(&self, phone: &Rung, over_at: Timestamp) -> bool {
        let invites = self.notes.invites.values().filter(|sent| sent.call == Some(self.record.id));
        let mut attempts = invites.flat_map(|sent| &sent.attempts);
        let created_at = self.record.created_at;
        let was_killed = attempts.any(|(place, sent_at)| self.times.was_killed(*place, *sent_at, over_at));
        let silences = self.pushes.silences();
        let mut silences = silences.iter().filter(|silence| silence.is_iphone == phone.is_iphone);
        let is_silent = silences.any(|silence| silence.at <= over_at && created_at <= silence.at + SILENT_FOR);
        !was_killed && !is_silent && !self.times.has_outage(created_at, over_at)
    }
}
