//! One party's stay in the LiveKit room, session after session.
//!
//! What comes of it for the call is `presence`'s affair.

use serde::{Deserialize, Serialize};

use super::time::{Timestamp, millis};
use super::unknown::{Unknown, is_default};

/// LiveKit's word for a party that left by itself.
pub(super) const ON_PURPOSE: &str = "CLIENT_INITIATED";
/// How many of LiveKit's words are kept of a party, and how long each may be.
const MAX_REASONS: usize = 8;
const LONGEST_REASON: usize = 32;

/// The session of a party who is there in one that nobody has named yet.
pub(super) const LISTED: &str = "listed";
/// How many earlier sessions of a party are remembered.
const MAX_EARLIER: usize = 8;

/// One stay of a party in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// LiveKit's id of this stay.
    pub session: String,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Timestamp>,
    /// Whether the party left of their own will.
    #[serde(default)]
    pub on_purpose: bool,
    /// Whether it is LiveKit's list alone that says so: this very session may be there again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unlisted: bool,
    /// Sessions that are over: a webhook that tells of one again changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// When the party first came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_at: Option<Timestamp>,
    /// Since when the party has been there, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long it was there before that, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub there_ms: u64,
    /// How often it came back in another session.
    #[serde(default, skip_serializing_if = "is_default")]
    pub reconnects: u32,
    /// LiveKit's words for why its sessions ended, the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Visit {
    pub(super) fn new(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            left_at: None,
            on_purpose: false,
            unlisted: false,
            earlier: Vec::new(),
            came_at: None,
            since: None,
            there_ms: 0,
            reconnects: 0,
            reasons: Vec::new(),
            unknown: Unknown::default(),
        }
    }

    /// A stay that is over and of which nothing else is known.
    pub(super) fn over(session: &str, now: Timestamp) -> Self {
        Self { left_at: Some(now), ..Self::new(session) }
    }

    /// How long the party has been in the room, until `now`, in milliseconds.
    pub fn there_ms_until(&self, now: Timestamp) -> u64 {
        self.there_ms.saturating_add(self.since.map_or(0, |since| millis(now.since(since))))
    }

    pub(super) fn knows(&self, session: &str) -> bool {
        self.session == session || self.earlier.iter().any(|earlier| earlier == session)
    }

    pub(super) fn remember(&mut self, session: String) {
        if self.earlier.len() == MAX_EARLIER {
            self.earlier.remove(0);
        }
        self.earlier.push(session);
    }

    /// Goes on in another session.
    pub(super) fn renew(&mut self, session: &str) {
        let earlier = std::mem::replace(&mut self.session, session.to_owned());
        if earlier != LISTED {
            self.remember(earlier);
            self.reconnects = self.reconnects.saturating_add(1);
        }
        self.stays();
    }

    /// Goes on in a session that it was thought to have left.
    pub(super) fn resume(&mut self, session: &str) {
        if self.session != session {
            self.earlier.retain(|earlier| earlier != session);
            let other = std::mem::replace(&mut self.session, session.to_owned());
            self.remember(other);
        }
        self.stays();
    }

    pub(super) fn stays(&mut self) {
        self.left_at = None;
        self.on_purpose = false;
        self.unlisted = false;
    }

    /// Whether the party, who is gone, may be there in this session after all, as a list says that was asked for at `asked`. A webhook
    /// that has told of its leaving since then knows better.
    pub(super) fn may_resume(&self, asked: Timestamp) -> bool {
        self.unlisted || self.left_at.is_some_and(|left| left < asked)
    }

    /// Adds the time there to that before.
    pub(super) fn stays_no_more(&mut self, now: Timestamp) {
        self.there_ms = self.there_ms_until(now);
        self.since = None;
    }

    /// A webhook tells that the party has left, which was known from LiveKit's list alone. Returns whether that was news.
    pub(super) fn left_indeed(&mut self, reason: &str) -> bool {
        let is_news = std::mem::take(&mut self.unlisted);
        if is_news {
            self.on_purpose = reason == ON_PURPOSE;
            self.note_reason(reason);
        }
        is_news
    }

    pub(super) fn note_reason(&mut self, reason: &str) {
        let reason: String = reason.chars().filter(char::is_ascii_graphic).take(LONGEST_REASON).collect();
        if reason.is_empty() {
            return;
        }
        if self.reasons.len() == MAX_REASONS {
            self.reasons.remove(0);
        }
        self.reasons.push(reason);
    }

    pub(super) fn is_there(visit: Option<&Self>) -> bool {
        visit.is_some_and(|visit| visit.left_at.is_none())
    }
}
