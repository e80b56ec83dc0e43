//! Notices: what instances tell each other of commits, bans and removed devices.
//!
//! A notice is small and has no record: only an instance where somebody reads that call loads it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::domain::{CallId, DeviceId, UserId};
use crate::store::codec::{read_json, write_json};
use crate::store::{Announcement, Committed, StoreError};

/// The most calls that are remembered as unsure.
const MOST_UNSURE: usize = 10_000;

/// A notice as it travels, after its number and a blank.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Notice {
    Commit {
        call: CallId,
        version: u64,
        parties: Vec<UserId>,
        after: u32,
        last: u32,
        /// The instance, which has told its own readers.
        from: String,
    },
    Closed {
        closed: UserId,
        #[serde(default)]
        device: Option<DeviceId>,
    },
}

/// What says of a notice of a commit whose it is.
#[derive(Deserialize)]
struct Origin<'a> {
    call: CallId,
    from: &'a str,
}

/// The notice of a commit, without its number.
pub(super) fn of_commit(news: &Committed, from: &str) -> Result<Vec<u8>, StoreError> {
    let Committed { call, version, parties, after_seq: after, last_seq: last, .. } = news.clone();
    write_json("notice", &Notice::Commit { call, version, parties, after, last, from: from.to_owned() })
}

/// The number of a notice, and what it announces to the readers of `instance`; nothing, if they know already.
pub(super) fn read(notice: &[u8], instance: &str, unsure: &Unsure) -> Option<(u64, Option<Announcement>)> {
    let mut parts = notice.splitn(2, |byte| *byte == b' ');
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let notice = parts.next()?;
    // Most are of commits of this instance, and nothing else need be read of them.
    let own = serde_json::from_slice::<Origin>(notice).is_ok_and(|of| of.from == instance && !unsure.contains(of.call));
    if own {
        return Some((number, None));
    }
    let announcement = match read_json("notice", notice) {
        Ok(Notice::Commit { call, version, parties, after: after_seq, last: last_seq, .. }) => {
            Some(Announcement::Committed(Committed { call, version, parties, after_seq, last_seq, record: None }))
        }
        Ok(Notice::Closed { closed: user, device }) => Some(Announcement::Closed { user, device }),
        // A newer release says something that this one does not know: whoever reads looks.
        Err(_) => Some(Announcement::Lost),
    };
    Some((number, announcement))
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
