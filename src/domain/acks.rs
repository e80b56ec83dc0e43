//! What is known of a device's app by how it took earlier rings: whether it says that it rings, and whether it was awake and silent.
//!
//! It stands with the registration, outlives a refresh of it, and is copied into the leg of each call.

use serde::{Deserialize, Serialize};

use super::ids::CallId;
use super::time::Timestamp;
use super::unknown::{Unknown, is_default};

/// How an app has taken the rings of its device so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acks {
    /// When it first said what became of a ring: it is known to do so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many of its last VoIP rings it was in touch with the gateway and said nothing, none in between that it spoke in.
    #[serde(default, skip_serializing_if = "is_default")]
    pub silent: u32,
    /// The last call that was counted so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How an app took a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It said that its device rings, or could not.
    Acked(Timestamp),
    /// It answered or declined without a word about the ring.
    Spoke,
    /// It was in touch with the gateway while this call rang, and said nothing.
    Silent(CallId),
}

impl Acks {
    /// Whether this would be news. A word is written down once: the first, and the first after a silence.
    pub fn lacks(&self, heard: Heard) -> bool {
        self.clone().note(heard)
    }

    /// Takes note; says whether it was news. The same call counts once.
    pub fn note(&mut self, heard: Heard) -> bool {
        match heard {
            Heard::Acked(at) => {
                let news = self.since.is_none() || self.silent > 0;
                self.since.get_or_insert(at);
                self.silent = 0;
                news
            }
            Heard::Spoke => std::mem::take(&mut self.silent) > 0,
            Heard::Silent(call) if self.call == Some(call) => false,
            Heard::Silent(call) => {
                self.silent = self.silent.saturating_add(1);
                self.call = Some(call);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Timestamp = Timestamp::from_millis(1_770_000_000_000);

    fn call(last: char) -> CallId {
        CallId::parse(&format!("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3{last}")).expect("a call id")
    }

    #[test]
    fn the_first_ack_is_noted_once() {
        let mut acks = Acks::default();
        assert!(acks.note(Heard::Acked(FIRST)));
        assert!(!acks.note(Heard::Acked(Timestamp::from_millis(1_780_000_000_000))));
        assert_eq!(acks.since, Some(FIRST));
    }

    #[test]
    fn a_silent_ring_counts_once_and_a_word_ends_the_count() {
        let mut acks = Acks::default();
        assert!(acks.note(Heard::Silent(call('a'))) && !acks.note(Heard::Silent(call('a'))));
        assert!(acks.note(Heard::Silent(call('b'))));
        assert_eq!(acks.silent, 2);
        assert!(acks.note(Heard::Spoke) && !acks.note(Heard::Spoke));
        assert_eq!((acks.silent, acks.since), (0, None), "an answer is no ack");
    }
}
