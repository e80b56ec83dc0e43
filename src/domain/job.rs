//! A job: work that belongs to no live call, in a record of its own with one version and one wake-up, as a call has.
//!
//! A job's id says what it is for, so that the same work is not queued twice. Whoever commits an attempt carries it out; if that instance
//! dies, the attempt's lease passes and the wake-up begins another. A job that is done is removed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{EndpointId, JobId, UserId};
use super::recording::Recording;
use super::time::Timestamp;
use super::trace::TraceParent;
use super::unknown::{Unknown, is_default};
use super::webhook::WebhookEvent;

/// What an attempt has beside its deadline for its turn to come and its result to arrive.
const BESIDE: Duration = Duration::from_secs(5);

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What it is for.
    pub id: JobId,
    /// One more with every commit; 1 for the first.
    pub version: u64,
    /// When the wake-up begins the next attempt: the end of the current one's lease, or of a pause.
    pub due: Timestamp,
    /// Number of the current attempt, from 1; 0 for one that has not begun.
    pub attempt: u32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// After this it is given up; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when every gateway that began it lacked the configuration for it; absent: none has yet, or one has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_here_since: Option<Timestamp>,
    /// What there is to do.
    pub work: Work,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// End the live calls of a banned user, and tell of the ban.
    Ban(Ban),
    /// Deliver a message to an endpoint.
    Webhook(Webhook),
    /// See how much of the plan is used.
    UsageCheck(Mark),
    /// Nothing: it stands for a warning that was given, so that it is given once, and goes at its time.
    UsageWarned(Mark),
    /// Erase what is held of a user.
    Erasure(Erasure),
    /// Nothing: it stands for an erasure that is complete, so that whoever asked for it can be told, and goes soon.
    Erased(Erased),
    /// See how the recording of a call goes on.
    Recording(Box<Recording>),
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// It is done.
    Done,
    /// Not yet: try again, and not before this pause if there is one.
    Later(Option<Duration>),
    /// Not by this gateway, whose configuration lacks what it takes; another one's may have it.
    NotHere,
    /// It can never be done.
    Failed(&'static str),
}

/// A ban, of which there may be others of the same user before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Whose calls end.
    pub user: UserId,
    /// Why, for the backend's eyes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began; a job of an earlier release does not say it, ends the calls, and tells nobody.
    #[serde(default)]
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether it is known to have been in force, so that it is told though it stands no more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub was_put: bool,
    /// Who is told, as the gateway that was asked for it is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tell: Vec<EndpointId>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A message on its way to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Where to.
    pub endpoint: EndpointId,
    /// What it tells of.
    pub event: WebhookEvent,
    /// Its id, the same in every try.
    pub message: Uuid,
    /// The message, byte for byte.
    pub body: String,
    /// Where in a trace it belongs, if what it tells of is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// Whose data goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The user.
    pub user: UserId,
    /// Whether their ban goes too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ban: bool,
    /// When it was asked for last. What comes after is new, and stays.
    #[serde(default)]
    pub asked_at: Timestamp,
    /// Whether what the store keeps beside calls has gone, which is done once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub forgotten: bool,
    /// What has gone so far.
    #[serde(default)]
    pub erased: Erased,
    /// What is still to go, in words; empty before the first attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// How much of a user was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Erased {
    /// Records of calls.
    pub calls: u64,
    /// Recordings, with their files.
    pub recordings: u64,
    /// Devices.
    pub devices: u64,
    /// Users whom they had blocked.
    pub blocks: u64,
    /// Users who had blocked them.
    pub blocked_by: u64,
    /// Contacts: users who were theirs, and users whose they were.
    #[serde(default)]
    pub contacts: u64,
    /// Counts of missed calls: theirs of a caller, and of theirs by a callee.
    pub missed: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Rates of which something was taken.
    pub rates: u64,
    /// Bans.
    pub bans: u64,
    /// Rows of the history in PostgreSQL.
    pub history_rows: u64,
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Erased {
    /// Adds what went in another attempt.
    pub fn add(&mut self, more: &Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.recordings = self.recordings.saturating_add(more.recordings);
        self.devices = self.devices.saturating_add(more.devices);
        self.blocks = self.blocks.saturating_add(more.blocks);
        self.blocked_by = self.blocked_by.saturating_add(more.blocked_by);
        self.contacts = self.contacts.saturating_add(more.contacts);
        self.missed = self.missed.saturating_add(more.missed);
        self.idempotency_keys = self.idempotency_keys.saturating_add(more.idempotency_keys);
        self.rates = self.rates.saturating_add(more.rates);
        self.bans = self.bans.saturating_add(more.bans);
        self.history_rows = self.history_rows.saturating_add(more.history_rows);
    }
}

/// Work whose job's id says all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Fields of a newer release.
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Work {
    /// The word for it in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ban(_) => "ban",
            Self::Webhook(_) => "webhook",
            Self::UsageCheck(_) => "usage_check",
            Self::UsageWarned(_) => "usage_warned",
            Self::Erasure(_) => "erasure",
            Self::Erased(_) => "erased",
            Self::Recording(_) => "recording",
        }
    }

    /// How long an attempt may take.
    pub const fn deadline(&self) -> Duration {
        match self {
            Self::Webhook(_) => Duration::from_secs(15),
            Self::Ban(_) | Self::UsageCheck(_) => Duration::from_secs(10),
            // A store with very many keys is read through.
            Self::Erasure(_) => Duration::from_mins(2),
            Self::UsageWarned(_) | Self::Erased(_) => Duration::from_secs(1),
            // It has leases of its own.
            Self::Recording(_) => super::recording::LEASE,
        }
    }

    /// The pause after the first attempt that failed, and the longest one.
    const fn pauses(&self) -> (Duration, Duration) {
        match self {
            Self::Webhook(_) => (Duration::from_mins(1), Duration::from_hours(1)),
            // Each attempt reads the store through.
            Self::Erasure(_) => (Duration::from_secs(1), Duration::from_mins(10)),
            Self::Ban(_) | Self::UsageCheck(_) | Self::UsageWarned(_) | Self::Erased(_) | Self::Recording(_) => {
                (Duration::from_secs(1), Duration::from_mins(1))
            }
        }
    }
}

impl Job {
    /// A job that is to begin at `due`.
    pub fn new(id: JobId, work: Work, now: Timestamp, due: Timestamp) -> Self {
        let unknown = Unknown::default();
        Self { id, version: 1, due, attempt: 0, created_at: now, until: None, not_here_since: None, work, unknown }
    }

    /// The record in which its next attempt has begun.
    #[must_use]
    pub fn begun(&self, now: Timestamp) -> Self {
        let lease = self.work.deadline() + BESIDE;
        Self { version: self.version + 1, attempt: self.attempt.saturating_add(1), due: now + lease, ..self.clone() }
    }

    /// The record in which it waits for `due`.
    #[must_use]
    pub fn put_off(&self, due: Timestamp) -> Self {
        Self { version: self.version + 1, due, not_here_since: None, ..self.clone() }
    }

    /// The record in which it waits for `due` and for a gateway with the configuration for it, which this one lacks.
    #[must_use]
    pub fn left_to_others(&self, now: Timestamp, due: Timestamp) -> Self {
        let since = self.not_here_since.unwrap_or(now);
        Self { version: self.version + 1, due, not_here_since: Some(since), ..self.clone() }
    }

    /// The pause after the current attempt, should it have failed; it doubles.
    pub fn pause(&self) -> Duration {
        let (first, longest) = self.work.pauses();
        first.saturating_mul(1 << self.attempt.saturating_sub(1).min(16)).min(longest)
    }

    /// The longest pause.
    pub const fn longest_pause(&self) -> Duration {
        self.work.pauses().1
    }

    /// Whether it is given up rather than tried again at `due`.
    pub fn is_given_up_at(&self, due: Timestamp) -> bool {
        self.until.is_some_and(|until| until < due)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn webhook() -> Job {
        let work = json!({
            "kind": "webhook", "endpoint": "0123456789abcdef", "event": "call.ended",
            "message": "0192f3d1-7c3a-8c3a-8c3a-0192f3d17c3a", "body": "{}", "x_inner": 1,
        });
        let job = json!({"id": "webhook:1", "version": 3, "due": 5, "attempt": 1, "created_at": 1, "work": work, "x_outer": [2]});
        serde_json::from_value(job).expect("a job")
    }

    #[test]
    fn a_job_keeps_what_it_does_not_know() {
        let job = webhook();
        let written: Value = serde_json::to_value(&job).expect("JSON");
        assert_eq!((&written["x_outer"], &written["work"]["x_inner"]), (&json!([2]), &json!(1)));
        let text = serde_json::to_string(&job).expect("JSON");
        assert!(text.starts_with(r#"{"id":"webhook:1","version":3,"#), "{text}");
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pause = |attempt| Job { attempt, ..webhook() }.pause();
        let minutes = [1, 2, 3, 6, 7, 40].map(|attempt| pause(attempt).as_secs() / 60);
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn an_attempt_has_a_lease() {
        let now = Timestamp::from_millis(1000);
        let begun = webhook().begun(now);
        assert_eq!((begun.version, begun.attempt, begun.due), (4, 2, Timestamp::from_millis(21_000)));
    }
}
