//! Promises 3 and 4: which pushes there had to be, and which there must not have been.

use std::time::Duration;

use bellwire::domain::Timestamp;

use super::{Case, Evidence, Judged};
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
    pub(super) fn rings(&self, evidence: &Evidence<'_>, judged: &mut Judged) {
        let pushes = evidence.pushes.of_call(self.record.id);
        for push in pushes.iter().filter(|push| push.is_ring) {
            judged.look(Kind::Ghosts, 1);
            self.ghost(push, judged);
        }
        let is_busy = self.record.ended_as("busy") && pushes.iter().all(|push| !push.is_ring);
        if is_busy {
            return;
        }
        for (device, is_iphone, token) in &self.noted.phones {
            judged.look(Kind::Tried, 1);
            let of_phone: Vec<&Push> = pushes.iter().filter(|push| push.is_ring && push.target == *token).collect();
            if let Err(why) = self.was_tried(evidence, device, *is_iphone, token, &of_phone) {
                self.violation(judged, Kind::Tried, why);
            }
            if self.record.ended_as("unreachable") && !self.was_refused(evidence, token) {
                self.violation(judged, Kind::Tried, format!("it ended as unreachable, and {device} was not refused"));
            }
        }
    }

    fn ghost(&self, push: &Push, judged: &mut Judged) {
        let ended_at = self.record.ended_at.unwrap_or(push.begun);
        let late = self.times.whole(ended_at, push.begun);
        if late > GHOST {
            let seen = format!("ended at {ended_at}, and a ring began {late:?} later");
            self.violation(judged, Kind::Ghosts, seen);
        }
        // A provider is asked to keep nothing for less than a second.
        let latest = self.record.ring_until.max(push.begun + Duration::from_secs(1));
        if push.expires > latest {
            let seen = format!("a ring expires at {}, after {}", push.expires, self.record.ring_until);
            self.violation(judged, Kind::Ghosts, seen);
        }
    }

    fn was_refused(&self, evidence: &Evidence<'_>, token: &str) -> bool {
        let over_at = self.record.ended_at.unwrap_or(self.record.ring_until);
        evidence.pushes.refused_at(token).is_some_and(|at| at <= over_at)
    }

    /// Whether a phone got its push, or there was no time for it.
    fn was_tried(
        &self,
        evidence: &Evidence<'_>,
        device: &str,
        is_iphone: bool,
        token: &str,
        pushes: &[&Push],
    ) -> Result<(), String> {
        let record = self.record;
        // A device that has spoken needs no push; one whose token is dead cannot have one.
        let is_excused = self.noted.spoke.contains(device) || self.was_refused(evidence, token);
        if is_excused || pushes.iter().any(|push| push.is_settled()) {
            return Ok(());
        }
        let over_at = [record.answered_at, record.ended_at].into_iter().flatten().min().unwrap_or(record.ring_until);
        let over_at = over_at.min(record.ring_until);
        let last_at = pushes.iter().map(|push| push.at).max().unwrap_or(record.created_at);
        let patience = match (is_iphone, pushes.is_empty() && self.is_calm(evidence, is_iphone, over_at)) {
            (_, true) => FIRST_PUSH,
            (true, false) => NEXT_PUSH_IPHONE,
            (false, false) => NEXT_PUSH_ANDROID,
        };
        let silent = self.times.whole(last_at, over_at);
        if silent <= patience {
            return Ok(());
        }
        let statuses: Vec<u16> = pushes.iter().map(|push| push.status).collect();
        Err(format!("{device} got no push, its ring lasting {silent:?} since the last try (tries: {statuses:?})"))
    }

    /// Whether nothing was broken that a push of this call goes over.
    fn is_calm(&self, evidence: &Evidence<'_>, is_iphone: bool, over_at: Timestamp) -> bool {
        let invites = evidence.notes.invites.values().filter(|sent| sent.call == Some(self.record.id));
        let mut attempts = invites.flat_map(|sent| &sent.attempts);
        let created_at = self.record.created_at;
        let was_killed = attempts.any(|(place, sent_at)| self.times.was_killed(*place, *sent_at, over_at));
        let mut silences = evidence.pushes.silences().into_iter().filter(|silence| silence.is_iphone == is_iphone);
        let is_silent = silences.any(|silence| silence.at <= over_at && created_at <= silence.at + SILENT_FOR);
        !was_killed && !is_silent && !self.times.has_outage(created_at, over_at)
    }
}
