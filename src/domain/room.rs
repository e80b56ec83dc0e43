//! A call's LiveKit room: its name, and when it is to be opened and closed.
//!
//! Who is in it is `presence`'s affair; `dispatch` asks LiveKit. With `rules.rooms = false` nobody makes or closes rooms here, and
//! LiveKit does so when people come and go.

use std::time::Duration;

use data_encoding::HEXLOWER;

use super::call::{Call, Rules};
use super::ids::{CallId, UserId};
use super::presence::Visit;
use super::task::TaskKind;
use super::time::Timestamp;

/// Random bytes in a room's name.
pub const ROOM_SECRET_BYTES: usize = 16;

/// How much longer than `reconnect_grace` LiveKit keeps a room that everybody has left.
const AFTER_THE_GRACE: Duration = Duration::from_secs(10);
/// How much longer than ring and connect timeout LiveKit keeps a room that nobody has come to.
const AFTER_THE_RING: Duration = Duration::from_mins(1);
/// How long it is tried to close a room. After that it is for the sweep to find.
const CLOSE_FOR: Duration = Duration::from_mins(10);

/// `bw_<deployment>_<call id>_<128 random bits>`: nobody can guess it, and a deployment knows its own.
pub fn room_name(deployment: &str, call: CallId, secret: &[u8; ROOM_SECRET_BYTES]) -> String {
    format!("bw_{deployment}_{call}_{}", HEXLOWER.encode(secret))
}

/// The call that a room of this deployment is for; `None` for every name that [`room_name`] would not have made.
pub fn call_of_room(deployment: &str, name: &str) -> Option<CallId> {
    let (id, secret) = name.strip_prefix("bw_")?.strip_prefix(deployment)?.strip_prefix('_')?.split_once('_')?;
    let secret = HEXLOWER.decode(secret.as_bytes()).ok()?.try_into().ok()?;
    let call = CallId::parse(id).ok()?;
    (room_name(deployment, call, &secret) == name).then_some(call)
}

impl Rules {
    /// How long LiveKit keeps a room that everybody has left: both may come back after a common outage.
    pub fn departure_timeout(&self) -> Duration {
        Duration::from_millis(self.reconnect_grace_ms) + AFTER_THE_GRACE
    }
}

impl Call {
    /// How long LiveKit keeps a room that is made `now` and that nobody has come to.
    pub fn empty_timeout(&self, now: Timestamp) -> Duration {
        self.ring_until.since(now) + Duration::from_millis(self.rules.connect_timeout_ms) + AFTER_THE_RING
    }

    /// Has the room made, unless that is under way; it may be there. Says whether that is news.
    pub(super) fn open_room(&mut self, now: Timestamp) -> bool {
        if !self.rules.rooms || self.tasks.iter().any(|task| task.kind == TaskKind::OpenRoom) {
            return false;
        }
        let until = self.ring_until.max(now) + Duration::from_millis(self.rules.connect_timeout_ms);
        self.open(TaskKind::OpenRoom, until, now);
        true
    }

    /// Has the room closed, whatever was done about it before, and `eject` taken out of it first.
    pub(super) fn close_room(&mut self, eject: Option<UserId>, now: Timestamp) {
        if !self.rules.rooms {
            return;
        }
        let earlier = self.tasks.iter().position(|task| matches!(task.kind, TaskKind::CloseRoom { .. }));
        let earlier = earlier.map(|index| self.tasks.remove(index).kind);
        let eject = eject.or(match earlier {
            Some(TaskKind::CloseRoom { eject }) => eject,
            _ => None,
        });
        self.open(TaskKind::CloseRoom { eject }, now + CLOSE_FOR, now);
    }

    /// Whether the room is being closed.
    pub fn closes_room(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.kind, TaskKind::CloseRoom { .. }))
    }

    /// LiveKit made the room. After the end it is closed again, unless that is under way. Says whether that is news.
    pub(super) fn room_started(&mut self, now: Timestamp) -> bool {
        let closes = self.is_ended() && self.rules.rooms && !self.closes_room();
        if closes {
            self.close_room(None, now);
        }
        closes
    }

    /// A party came into the room of a call that has ended, with a token that it still has. Says whether that is news.
    pub(super) fn joined_too_late(&mut self, user: &UserId, session: &str, now: Timestamp) -> bool {
        let rooms = self.rules.rooms;
        let Some(visit) = self.visit_mut(user).filter(|_| rooms) else { return false };
        if visit.as_ref().is_some_and(|visit| visit.knows(session)) {
            return false;
        }
        match visit {
            Some(visit) => visit.remember(session.to_owned()),
            None => *visit = Some(Visit::over(session, now)),
        }
        self.close_room(Some(user.clone()), now);
        true
    }

    /// After the end no further attempt to make the room begins; one that is under way is waited for, since it may make the room
    /// after that was closed.
    pub(super) fn stop_opening(&mut self, now: Timestamp) {
        for task in self.tasks.iter_mut().filter(|task| task.kind == TaskKind::OpenRoom) {
            task.until = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deployments_own_names_are_read() {
        let id = CallId::parse("019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call id");
        let name = room_name("main", id, &[0xab; 16]);
        assert_eq!(name, format!("bw_main_019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a_{}", "ab".repeat(16)));
        assert_eq!(call_of_room("main", &name), Some(id));
        let secret = "ab".repeat(16);
        for other in [
            String::new(),
            "bw_main".to_owned(),
            format!("bw_main_{id}"),
            format!("bw_main_{id}_"),
            format!("bw_main_{id}_{}", "ab".repeat(15)),
            format!("bw_main_{id}_{secret}00"),
            format!("bw_main_{id}_{}", secret.to_uppercase()),
            format!("bw_main_{}_{secret}", id.to_string().to_uppercase()),
            format!("bw_main2_{id}_{secret}"),
            format!("bw_main-2_{id}_{secret}"),
            format!("BW_main_{id}_{secret}"),
            format!("xbw_main_{id}_{secret}"),
            format!("{name} "),
            format!("bw_main_{id}_{secret}_{secret}"),
        ] {
            assert_eq!(call_of_room("main", &other), None, "{other}");
        }
    }
}
