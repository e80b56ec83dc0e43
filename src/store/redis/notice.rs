//! Notices: what instances tell each other of commits, bans and removed devices.
//!
//! A notice is small and has no record: only an instance where somebody reads that call loads it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::{CallId, DeviceId, UserId};
use crate::store::codec::write_json;
use crate::store::{Announcement, Committed, StoreError};

/// The most calls that are remembered as unsure.
const MOST_UNSURE: usize = 10_000;

/// The notice of a commit as it travels, after its number and a blank.
#[derive(Serialize, Deserialize)]
struct Commit<'a> {
    call: CallId,
    version: u64,
    parties: Vec<UserId>,
    after: u32,
    last: u32,
    /// The instance, which has told its own readers.
    #[serde(borrow)]
    from: Cow<'a, str>,
}

/// The notice that a user, or one device, may read no longer.
#[derive(Deserialize)]
struct Closed {
    closed: UserId,
    #[serde(default)]
    device: Option<DeviceId>,
}

/// The notice of a commit, without its number.
pub(super) fn of_commit(news: &Committed, from: &str) -> Result<Vec<u8>, StoreError> {
    let Committed { call, version, parties, after_seq: after, last_seq: last, .. } = news.clone();
    write_json("notice", &Commit { call, version, parties, after, last, from: from.into() })
}

/// The number of a notice, and what it announces to the readers of `instance`; nothing, if they know already.
pub(super) fn read(notice: &[u8], instance: &str, unsure: &Unsure) -> Option<(u64, Option<Announcement>)> {
    let mut parts = notice.splitn(2, |byte| *byte == b' ');
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let notice = parts.next()?;
    // Nearly all are of commits.
    let announcement = match serde_json::from_slice(notice) {
        Ok(Commit { call, from, .. }) if from == instance && !unsure.contains(call) => None,
        Ok(Commit { call, version, parties, after: after_seq, last: last_seq, .. }) => {
            Some(Announcement::Committed(Committed { call, version, parties, after_seq, last_seq, record: None }))
        }
        Err(_) => Some(of_another_kind(notice)),
    };
    Some((number, announcement))
}

fn of_another_kind(notice: &[u8]) -> Announcement {
    match serde_json::from_slice(notice) {
        Ok(Closed { closed: user, device }) => Announcement::Closed { user, device },
        // A newer release says something that this one does not know: whoever reads looks.
        Err(_) => Announcement::Lost,
    }
}

/// Calls of which this instance does not know whether its own commit was written: their notices are heard here too.
#[derive(Clone, Default)]
pub(super) struct Unsure(Arc<Mutex<HashSet<CallId>>>);

impl Unsure {
    pub(super) fn insert(&self, call: CallId) {
        let mut calls = self.calls();
        if calls.len() >= MOST_UNSURE {
            // By then they are long over, or the comparison of numbers has told.
            calls.clear();
        }
        calls.insert(call);
    }

    fn contains(&self, call: CallId) -> bool {
        self.calls().contains(&call)
    }

    fn calls(&self) -> MutexGuard<'_, HashSet<CallId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn news() -> Committed {
        let parties = vec![UserId::new("ann").expect("a user id")];
        Committed { call: Clock::system().call_id(), version: 2, parties, after_seq: 1, last_seq: 3, record: None }
    }

    #[test]
    fn others_hear_of_a_commit_and_its_own_instance_does_not() {
        let (news, unsure) = (news(), Unsure::default());
        let notice = [b"17 ".to_vec(), of_commit(&news, "here").expect("a notice")].concat();
        assert!(matches!(read(&notice, "here", &unsure), Some((17, None))));
        let Some((17, Some(Announcement::Committed(heard)))) = read(&notice, "there", &unsure) else {
            panic!("nothing")
        };
        assert_eq!((heard.call, heard.version, heard.after_seq, heard.last_seq), (news.call, 2, 1, 3));
        unsure.insert(news.call);
        assert!(
            matches!(read(&notice, "here", &unsure), Some((17, Some(_)))),
            "it may be the one that nobody heard of"
        );
    }

    #[test]
    fn what_cannot_be_read_makes_readers_look_and_noise_is_nothing() {
        assert!(matches!(
            read(br#"3 {"new":"kind"}"#, "here", &Unsure::default()),
            Some((3, Some(Announcement::Lost)))
        ));
        assert!(read(b"", "here", &Unsure::default()).is_none());
    }
}
