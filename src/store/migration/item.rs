//! What a store holds, thing by thing, as one store hands it to another of another kind.
//!
//! Where it lies is each store's business. What follows from something else (wake-ups, whose a token is, which calls name a user) is no thing of
//! its own: whoever takes a call or a device in writes it anew.

use std::fmt::Display;

use crate::domain::usage::Day;
use crate::domain::{Call, CallId, Device, Job, Timestamp, UserId};
use crate::store::{Ban, Claim, Keeping, MISSED_KEPT, MISSED_TOLD_COUNTS, USAGE_KEPT};

/// One of what a store holds. Push tokens are as they were stored, sealed or not.
#[derive(Debug, Clone)]
pub enum Item {
    /// A call, live or ended.
    Call(Box<Call>),
    /// An id that is out of use.
    Tombstone(CallId),
    /// A job, the recording of a call among them.
    Job(Box<Job>),
    /// The claims on a user's line, in the order in which they were made.
    Line {
        /// Whose.
        user: UserId,
        /// Which.
        claims: Vec<Claim>,
    },
    /// An idempotency key.
    Key {
        /// Whose.
        user: UserId,
        /// The key, as the app gave it.
        key: String,
        /// For which call.
        call: CallId,
        /// A digest of the request's body, in hex.
        body: String,
        /// When it may be forgotten.
        until: Timestamp,
    },
    /// A user's history, newest first.
    History {
        /// Whose.
        user: UserId,
        /// Their calls.
        calls: Vec<CallId>,
    },
    /// The calls that a user missed from a peer.
    Missed {
        /// Who missed them.
        user: UserId,
        /// Who called.
        peer: UserId,
        /// When they are forgotten.
        until: Timestamp,
        /// How many there were before these.
        before: u32,
        /// The last ones, in the order in which they were counted.
        calls: Vec<CallId>,
    },
    /// What a user was told of the calls that they missed from a peer.
    Told {
        /// Who was told.
        user: UserId,
        /// Of whose calls.
        peer: UserId,
        /// When, the last time.
        at: Timestamp,
        /// Of which call then, and its number.
        told: Option<(CallId, u32)>,
        /// The call that is to tell next, and its number.
        teller: Option<(CallId, u32)>,
    },
    /// When a user was told of missed calls, whoever called.
    ToldAt {
        /// Who.
        user: UserId,
        /// When.
        times: Vec<Timestamp>,
    },
    /// How much was taken of a rate.
    Rate {
        /// Whose.
        user: UserId,
        /// Of which limit, by its name.
        limit: String,
        /// What it is counted for, if not for everything.
        of: Option<String>,
        /// When all that was taken would have come to its end, in microseconds.
        arrival_us: u64,
    },
    /// A user's devices, in the order of their ids.
    Devices {
        /// Whose.
        user: UserId,
        /// Which.
        devices: Vec<Device>,
    },
    /// A peer whom a user has blocked.
    Block {
        /// The user.
        user: UserId,
        /// The peer.
        peer: UserId,
    },
    /// A peer who is a user's contact.
    Contact {
        /// The user.
        user: UserId,
        /// The peer.
        peer: UserId,
    },
    /// A ban.
    Ban(Ban),
    /// What was used on a day.
    Usage {
        /// Which.
        day: Day,
        /// How many calls there were.
        calls: u64,
        /// Milliseconds of all participants.
        participant_ms: u64,
        /// Participants, by minute of the day.
        minutes: Vec<(u16, u32)>,
    },
    /// That a call was added to what was used.
    Accounted(CallId),
}

impl Item {
    /// What it is, in one word for each kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Call(_) => "calls",
            Self::Tombstone(_) => "tombstones",
            Self::Job(_) => "jobs",
            Self::Line { .. } => "lines",
            Self::Key { .. } => "keys",
            Self::History { .. } => "history",
            Self::Missed { .. } => "missed",
            Self::Told { .. } => "told",
            Self::ToldAt { .. } => "told_at",
            Self::Rate { .. } => "rates",
            Self::Devices { .. } => "devices",
            Self::Block { .. } => "blocks",
            Self::Contact { .. } => "contacts",
            Self::Ban(_) => "bans",
            Self::Usage { .. } => "usage_days",
            Self::Accounted(_) => "accounted",
        }
    }

    /// Its kind, and whose or which it is.
    pub fn name(&self) -> String {
        let which: &dyn Display = match self {
            Self::Call(call) => &call.id,
            Self::Tombstone(call) | Self::Accounted(call) => call,
            Self::Job(job) => &job.id,
            Self::Line { user, .. }
            | Self::Key { user, .. }
            | Self::History { user, .. }
            | Self::Missed { user, .. }
            | Self::Told { user, .. }
            | Self::ToldAt { user, .. }
            | Self::Rate { user, .. }
            | Self::Devices { user, .. }
            | Self::Block { user, .. }
            | Self::Contact { user, .. } => user,
            Self::Ban(ban) => &ban.user,
            Self::Usage { day, .. } => day,
        };
        format!("{} of {which}", self.kind())
    }

    /// How many it counts for.
    pub fn count(&self) -> usize {
        if let Self::Devices { devices, .. } = self { devices.len() } else { 1 }
    }

    /// It without what is over at `now`; nothing, if it is over itself.
    #[must_use]
    pub fn in_force(mut self, now: Timestamp, keeping: &Keeping) -> Option<Self> {
        let counts = match &mut self {
            Self::Line { claims, .. } => {
                claims.retain(|claim| now < claim.until);
                !claims.is_empty()
            }
            Self::Devices { devices, .. } => {
                devices.retain(|device| now < device.registered_at + keeping.devices);
                !devices.is_empty()
            }
            Self::ToldAt { times, .. } => {
                times.retain(|at| now < *at + MISSED_TOLD_COUNTS);
                !times.is_empty()
            }
            Self::Key { until, .. } | Self::Missed { until, .. } => now < *until,
            Self::Told { at, .. } => now < *at + MISSED_KEPT,
            Self::Rate { arrival_us, .. } => now.as_millis() < arrival_us.div_ceil(1000),
            Self::Ban(ban) => ban.holds(now),
            Self::Usage { day, .. } => now < day.begins() + USAGE_KEPT,
            Self::History { calls, .. } => !calls.is_empty(),
            Self::Call(_)
            | Self::Tombstone(_)
            | Self::Job(_)
            | Self::Block { .. }
            | Self::Contact { .. }
            | Self::Accounted(_) => true,
        };
        counts.then_some(self)
    }
}
