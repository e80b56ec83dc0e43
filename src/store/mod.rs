//! Where calls live: one trait, and the same numbered laws for every store.
//!
//! The laws are documented at the methods and tested by name on each store (`tests/it/store_laws`). What spans two users (an
//! invite) is the engine's: a short saga of these steps, each of which is atomic and may be repeated.
//!
//! A claim or a reservation need not be on disk when it is acknowledged, but never later than the next commit of a call: a
//! crash between the two leaves nothing that lasts.

pub mod codec;
pub mod embedded;
pub mod measured;
pub mod migration;
mod rates;
pub mod redis;
pub mod sealing;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::broadcast;

pub use rates::Charge;

use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::domain::{
    Call, CallId, Device, DeviceId, Environment, Heard, Job, JobId, Limited, PushToken, Timestamp, UserId,
};

/// The most calls that a user's history names.
pub const HISTORY_LENGTH: usize = 100;

/// How many claims may be before an incoming call's on its callee's line. All but very few of those who call a user at once find them
/// busy, and how much each of them reads, and has the store read, must not grow with their number.
pub const CLAIMS_BEFORE: usize = 8;

/// How long a tombstone stands: longer than any commit can be late.
pub const TOMBSTONE_KEPT: Duration = Duration::from_hours(24);

/// How long missed calls from a peer are counted on, after the last one.
pub const MISSED_KEPT: Duration = Duration::from_hours(30 * 24);

/// How long after a user was told of missed calls from a peer they are told of the next ones, of all together.
pub const MISSED_TOLD_EVERY: Duration = Duration::from_secs(5);

/// How many missed calls of a peer it takes until that becomes [`MISSED_PERSISTENT_EVERY`].
pub const MISSED_PERSISTENT_FROM: u32 = 5;

/// The same pause for a peer who calls on and on, who shall not use up what the user is told in an hour.
pub const MISSED_PERSISTENT_EVERY: Duration = Duration::from_mins(10);

/// How often a user is told of missed calls in any hour, whoever called.
pub const MISSED_TOLD_AN_HOUR: usize = 30;

/// How long it counts for that: the hour.
pub const MISSED_TOLD_COUNTS: Duration = Duration::from_hours(1);

/// How long others wait for the call that is to tell of them too. Its instance may be dead, and another one takes it up.
pub const MISSED_TELLER_HAS: Duration = Duration::from_mins(1);

/// How long it is known that a call without an idempotency key was charged before its claim was made: longer than a step is repeated.
pub const CHARGE_KNOWN: Duration = Duration::from_mins(1);

/// How long what was used on a day is known.
pub const USAGE_KEPT: Duration = Duration::from_hours(400 * 24);

/// How long it is known that a call was added to it: longer than its tasks are tried.
pub const ACCOUNTED_KEPT: Duration = Duration::from_hours(7 * 24);

/// A store of calls, lines, devices and moderation.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What stands under a call's id.
    ///
    /// Law 1: what was committed last is what is loaded, with every field, also those that this code does not know.
    async fn load(&self, id: CallId) -> Result<Slot, StoreError>;

    /// Writes a call's next record.
    ///
    /// Law 2: it is written only where `expected` stands: nothing at all for `None` (not even a tombstone), else the record with
    /// that version; otherwise [`StoreError::Conflict`] and nothing changes. Of any number that expect the same, one is written.
    /// Law 3: the record and its one wake-up are one step, and an acknowledged commit survives the process being killed. The new
    /// events of each commit, or that it calls a browser gone, are announced once to each listener while nothing is lost, with the
    /// record if the commit was made through this store. The order among commits is not promised, since a later record has all
    /// events.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

    /// Takes an id out of use, so that a late commit of a call that was never committed fails.
    ///
    /// Law 4: a tombstone is written only where nothing stands; the answer is what stands there then. It stands for
    /// [`TOMBSTONE_KEPT`].
    async fn bury(&self, id: CallId) -> Result<Slot, StoreError>;

    /// Removes a record whose retention has passed, with its wake-up.
    ///
    /// Law 5: only the version named is removed; otherwise [`StoreError::Conflict`]. Where no record stands, a wake-up that is left goes.
    async fn remove(&self, id: CallId, version: u64) -> Result<(), StoreError>;

    /// Calls whose wake-up is due at `now`, the urgent ones first, then by time; at most `limit`, and those of `beside` that come before
    /// the last of these.
    ///
    /// Law 6: a call is found from the moment that its wake-up is due until a commit moves it, and never before. However many calls of
    /// `beside`, or wake-ups of what has no call's name, are due, they take no other's place.
    async fn due(&self, now: Timestamp, limit: usize, beside: &HashSet<CallId>) -> Result<Vec<CallId>, StoreError>;

    /// Puts an outgoing call on its caller's line, and reserves the idempotency key.
    ///
    /// Law 7: the claim is added after those that are there, which are returned in order; of two that claim, one sees the other.
    /// A claim of the same call again changes nothing, and those before it are returned. Claims past their `until` are gone.
    /// Law 8: a key that is taken by another call claims nothing and names that call, unless it is the one to be replaced.
    /// Law 30: where the claim has lapsed already (`until` is not later than now) all is done but the claim: the ban, the key and the charges
    /// are seen to, no claim is made, and the call stands in no history. Within [`CHARGE_KNOWN`] the call is known again also without a key.
    /// Law 9: the call is the newest of the user's history; what they missed from this peer counts from zero again.
    /// Law 19: while the user is banned nothing is claimed, reserved or recorded. A ban and a claim are ordered: the claim that
    /// does not see the ban stands in the history that whoever wrote the ban reads after it.
    /// Law 23: every charge is taken of the user's rate, or, where one of these has none left, [`StoreError::Limited`] and nothing changes.
    /// A rate is shared by all instances, and forgotten once nothing is taken of it. Nothing is charged or refused for a call whose
    /// claim stands, whose key is reserved for it, that law 30 knows again, or whose key another call has.
    async fn open_line(
        &self,
        claim: Claim,
        reservation: Option<Reservation>,
        charges: &[Charge],
    ) -> Result<Opening, StoreError>;

    /// Puts an incoming call on its callee's line, and reads what an invite must know of them.
    ///
    /// Law 10: as law 7 and the history of law 9, but where the callee has blocked the caller nothing is claimed and nothing recorded.
    /// A callee who is banned is claimed as any other, and the answer says so; ban and claim are ordered as in law 19.
    /// Law 35: where [`CLAIMS_BEFORE`] others are before it the claim is not made, unless it stands, and the answer says so; all else is done,
    /// and charged again each time, since nothing of it stands.
    /// Law 23: charges are taken of the callee's rates, unless the claim stands. A caller whom they have blocked is refused as any other
    /// where a rate has none left, and takes nothing of it.
    /// Law 31: where only contacts are admitted and the caller is none, that is all that the answer says, blocked or banned as they may be: nothing
    /// is claimed, recorded, charged or refused.
    async fn ring_line(&self, claim: Claim, charges: &[Charge], admits: Admits) -> Result<Callee, StoreError>;

    /// The claims on a user's line.
    ///
    /// Law 26: they are those of law 7, in the order in which they were made, without those past their `until`; so every live call of
    /// the user is among them, also one that the history names no more.
    async fn line(&self, user: &UserId) -> Result<Vec<Claim>, StoreError>;

    /// Takes a call off a user's line.
    ///
    /// Law 11: the other claims stay; doing it again changes nothing.
    async fn free_line(&self, user: &UserId, call: CallId) -> Result<(), StoreError>;

    /// Ids of a user's calls, newest first, older than `before` if given; at most `limit`.
    ///
    /// Law 12: at most [`HISTORY_LENGTH`] are kept, the newest ones. The order is that of the ids, whoever wrote first.
    async fn history(&self, user: &UserId, before: Option<CallId>, limit: usize) -> Result<Vec<CallId>, StoreError>;

    /// Registers or refreshes a device.
    ///
    /// Law 13: at most `most` are kept; of the others, the one that was registered longest ago gives way.
    /// Law 14: a push token has one owner. Registering one that another device holds, of this user or another, removes that
    /// device whole: a phone that changed hands never rings for its last owner.
    /// Law 20: each device that had to go for it is announced as closed.
    /// Law 23: charges are taken of the user's rates, or nothing changes.
    async fn put_device(
        &self,
        user: &UserId,
        device: Device,
        most: usize,
        charges: &[Charge],
    ) -> Result<(), StoreError>;

    /// The device that has a token, and whose it is.
    ///
    /// Law 33: it is the one that registered the token last, and none once that has another token, was removed or lost it.
    async fn holder(&self, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError>;

    /// The user's devices, in the order of their ids.
    ///
    /// Law 29: one that was not registered again for as long as [`Keeping::devices`] says is gone.
    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError>;

    /// Removes a device; says whether it was there.
    ///
    /// Law 20: if it was, it is announced as closed.
    async fn remove_device(&self, user: &UserId, device: &DeviceId) -> Result<bool, StoreError>;

    /// Removes a token that its provider has proved dead; says whether it was there.
    ///
    /// Law 15: only if the device still has this token and was not registered again after `since` (if given). A device that
    /// is left without any token is removed.
    async fn drop_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError>;

    /// Notes at which of Apple's hosts a device's tokens are good.
    async fn set_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), StoreError>;

    /// Notes how a device's app took a ring, as [`Acks::note`](crate::domain::Acks::note) says.
    ///
    /// Law 21: the note stays when the device is registered again with the same app, and goes with the device. Of notes and
    /// registrations at once none is lost.
    async fn note_heard(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), StoreError>;

    /// Notes that a device has an event stream open at this instance; doing it again changes nothing.
    ///
    /// Law 18: from then on the device is named by [`ring_line`](Self::ring_line) at every instance, until it is detached at each where
    /// it was attached, or those have died. A store of one instance may leave this to the instance, which knows its own streams.
    async fn attach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError>;

    /// Notes that a device has no event stream open at this instance any more; doing it again changes nothing.
    async fn detach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError>;

    /// Counts a missed call; the answer is how many were missed from this caller, this one included, and whether to tell the callee now.
    ///
    /// Law 16: the same call counted again, for a second device, gives the same number. The count lasts for [`MISSED_KEPT`].
    /// Law 22: of the calls of one caller at most one is told of in any [`MISSED_TOLD_EVERY`], from the
    /// [`MISSED_PERSISTENT_FROM`]th on in any [`MISSED_PERSISTENT_EVERY`], and of all callers at most
    /// [`MISSED_TOLD_AN_HOUR`] in any hour, on whichever instance. Of calls that come sooner the first is to come back and tells the
    /// newest number; the others are silent. A call that may be told of may be asked about again, by each device of the callee. What was
    /// forgotten meanwhile is not told.
    async fn count_missed(&self, callee: &UserId, caller: &UserId, call: CallId) -> Result<Missed, StoreError>;

    /// The callee has missed no call of this caller any more.
    ///
    /// Law 22: the next one has the number 1. Doing it again changes nothing.
    async fn forget_missed(&self, callee: &UserId, caller: &UserId) -> Result<(), StoreError>;

    /// Blocks or unblocks a peer for a user; says whether that changed anything.
    async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, StoreError>;

    /// Whom a user has blocked, in order.
    async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, StoreError>;

    /// Lists these peers as a user's contacts, and no others: those whose calls ring them where only contacts may.
    ///
    /// Law 32: all of them are listed or nothing changes, and a call that rings meanwhile sees the list of before or after.
    async fn put_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), StoreError>;

    /// Adds a peer to a user's contacts, or takes them off; says whether that changed anything.
    ///
    /// Law 32: where `most` are listed no other one is added, which is [`StoreError::TooMany`].
    async fn set_contact(&self, user: &UserId, peer: &UserId, listed: bool, most: usize) -> Result<bool, StoreError>;

    /// A user's contacts, in order.
    async fn contacts(&self, user: &UserId) -> Result<Vec<UserId>, StoreError>;

    /// Bans a user; a ban that stands is replaced.
    ///
    /// Law 20: the user is announced as closed.
    async fn put_ban(&self, ban: Ban) -> Result<(), StoreError>;

    /// The ban of a user.
    ///
    /// Law 17: a ban past its `until` at `now` is none.
    async fn ban(&self, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError>;

    /// Takes of a user's rates for what needs nothing else of the store; says whether they may do it at all: they are not banned.
    ///
    /// Law 23: charges are taken, or nothing changes; for a banned user nothing is taken or refused. Where an answer is lost on the way, they
    /// may be taken twice.
    async fn admit(&self, user: &UserId, charges: &[Charge]) -> Result<bool, StoreError>;

    /// Lifts a ban; says whether there was one.
    async fn lift_ban(&self, user: &UserId) -> Result<bool, StoreError>;

    /// Every ban in force at `now`, by user.
    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>, StoreError>;

    /// The job that stands under an id, with every field, also those that this code does not know.
    async fn load_job(&self, id: &JobId) -> Result<Option<Job>, StoreError>;

    /// Writes a job's next record, whose version is one more than `expected` (1 for a new job).
    ///
    /// Law 24: it is written only where `expected` stands: nothing for `None`, else the record with that version; otherwise
    /// [`StoreError::Conflict`] and nothing changes. The record and its one wake-up are one step, and an acknowledged commit survives
    /// the process being killed. A record of a newer format is left alone.
    async fn commit_job(&self, job: &Job, expected: Option<u64>) -> Result<(), StoreError>;

    /// Removes a job that is done, with its wake-up.
    ///
    /// Law 24: only the version named is removed; otherwise [`StoreError::Conflict`]. Where no record stands, a wake-up that is left goes.
    async fn remove_job(&self, id: &JobId, version: u64) -> Result<(), StoreError>;

    /// Jobs whose wake-up is due at `now`, by time; at most `limit`, and those of `beside` that come before the last of these.
    ///
    /// Law 24: a job is found from the moment that its wake-up is due until a commit moves it, and never before; and never among calls.
    /// However many jobs of `beside`, or wake-ups of what has no job's name, are due, they take no other's place.
    async fn due_jobs(&self, now: Timestamp, limit: usize, beside: &HashSet<JobId>) -> Result<Vec<JobId>, StoreError>;

    /// Adds a call's shares to what is used on their days; says whether it was added.
    ///
    /// Law 25: adding the same call again within [`ACCOUNTED_KEPT`] changes nothing. All shares are added or none. A day is known for
    /// [`USAGE_KEPT`] after it has begun.
    async fn account(&self, call: CallId, shares: &[DayShare]) -> Result<bool, StoreError>;

    /// What was used on the days from `from` to `to`, both included, in order; days on which nothing was are left out.
    ///
    /// Law 25: only days of `peaks_from` on have their peak, for which every minute of a day is read; the others have 0.
    async fn usage(&self, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError>;

    /// Ids of the calls whose record, or whose recording's, may name a user, in no order; also of calls that are hidden from them.
    ///
    /// Law 27: every call whose line was opened or rung for the user is among them for as long as [`Keeping::calls`] says, or until
    /// [`forget_call`](Self::forget_call).
    async fn calls_naming(&self, user: &UserId) -> Result<Vec<CallId>, StoreError>;

    /// Forgets that a call names a user, in their history too: its record is gone.
    ///
    /// Law 27: doing it again changes nothing.
    async fn forget_call(&self, user: &UserId, call: CallId) -> Result<(), StoreError>;

    /// Forgets what is kept of a user and by their name beside calls, claims in force, jobs and their ban; says how much of it there was.
    ///
    /// Law 28: devices, blocks by them and of them, missed calls of theirs and from them, idempotency keys and rates are gone, and all
    /// else that names them; what others have stays. It is done in steps, and doing it again changes nothing more.
    /// Law 20: the user is announced as closed.
    async fn forget_user(&self, user: &UserId) -> Result<Forgotten, StoreError>;

    /// How much waits in the store, for its operators; it may be a moment old.
    ///
    /// Law 34: a call counts while its wake-up is urgent, a job until it is removed.
    async fn waiting(&self) -> Result<Waiting, StoreError>;

    /// What the store announces, from now on: each at most once. A listener that falls behind is told so by the channel, which
    /// means the same as [`Announcement::Lost`].
    fn announcements(&self) -> broadcast::Receiver<Arc<Announcement>>;

    /// What it is and whether it can be used now, in words, for `/readyz` and `bellwire check`.
    async fn health(&self) -> Result<String, StoreError>;

    /// What in its settings would lose calls, in words.
    async fn warnings(&self) -> Vec<String>;

    /// Finishes what waits and lets go of what is open. Whatever is asked after that may be unavailable.
    async fn close(&self);
}

/// How long a store keeps what nobody removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// That a call names a user: as long as any record of it is kept.
    pub calls: Duration,
    /// A device that is not registered again.
    pub devices: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { calls: Duration::from_hours(90 * 24), devices: Duration::from_hours(270 * 24) }
    }
}

/// How much was forgotten of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Devices.
    pub devices: u64,
    /// Users whom they had blocked.
    pub blocks: u64,
    /// Users who had blocked them.
    pub blocked_by: u64,
    /// Contacts: users who were theirs, and users whose they were.
    pub contacts: u64,
    /// Counts of missed calls: theirs of a caller, and of theirs by a callee.
    pub missed: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Rates of which something was taken.
    pub rates: u64,
}

/// How much waits in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Calls that live or have tasks open.
    pub calls: u64,
    /// Jobs.
    pub jobs: u64,
}

/// What stands under a call's id.
#[derive(Debug, Clone, PartialEq)]
pub enum Slot {
    /// Nothing.
    Vacant,
    /// The id is out of use.
    Tombstone,
    /// A call.
    Call(Box<Call>),
}

/// A call's next record on its way into the store.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The record, whose version is one more than `expected` (1 for a new call).
    pub call: Arc<Call>,
    /// The version that must stand there; `None`: nothing.
    pub expected: Option<u64>,
    /// Events with greater numbers are announced.
    pub announced: u32,
}

/// What a store tells its instance's readers.
#[derive(Debug, Clone)]
pub enum Announcement {
    /// A commit brought new events of a call.
    Committed(Committed),
    /// A user, or one of their devices, may not read on: they were banned, or the device was removed.
    Closed {
        /// Who.
        user: UserId,
        /// Which device alone.
        device: Option<DeviceId>,
    },
    /// Some may have been lost: the records must be read again.
    Lost,
}

/// News of a call.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Which.
    pub call: CallId,
    /// The version of its record.
    pub version: u64,
    /// Who may know of it: the caller, and the callee unless it is hidden from them.
    pub parties: Vec<UserId>,
    /// Events with greater numbers are new.
    pub after_seq: u32,
    /// The number of its last event.
    pub last_seq: u32,
    /// The record, where the store has it at hand (a commit of this instance); otherwise it is loaded by whoever has a reader.
    pub record: Option<Arc<Call>>,
}

impl Commit {
    /// What it is announced with, if it brings new events, or calls a device gone that may have a stream elsewhere.
    pub fn news(&self) -> Option<Committed> {
        let call = &self.call;
        let parties = [&call.caller.id, &call.callee.id].into_iter().filter(|user| call.is_visible_to(user));
        let is_news = call.last_seq() > self.announced || call.misses_a_browser();
        is_news.then(|| Committed {
            call: call.id,
            version: call.version,
            parties: parties.cloned().collect(),
            after_seq: self.announced,
            last_seq: call.last_seq(),
            record: Some(Arc::clone(call)),
        })
    }
}

/// A call on a user's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose line.
    pub user: UserId,
    /// Which call.
    pub call: CallId,
    /// The other party.
    pub peer: UserId,
    /// Whether the user calls or is called.
    pub role: Role,
    /// When it was made.
    pub at: Timestamp,
    /// When it lapses by itself: later than the call can last.
    pub until: Timestamp,
}

impl Claim {
    /// The key by which a call without one is known again that is charged at `now` before its claim is made: it has no claim to be known by.
    pub(crate) fn charge_key(&self, charges: &[Charge], now: Timestamp) -> Option<Reservation> {
        (!charges.is_empty() && self.until <= now).then(|| Reservation {
            key: format!("charged {}", self.call),
            body: String::new(),
            replaces: None,
            until: now + CHARGE_KNOWN,
        })
    }
}

/// Which party of a call a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// They call.
    Caller,
    /// They are called.
    Callee,
}

/// An idempotency key of a user, for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The key, as the app gave it.
    pub key: String,
    /// A digest of the request's body, in hex.
    pub body: String,
    /// A call whose reservation gives way: it was found buried.
    pub replaces: Option<CallId>,
    /// When the key may be forgotten.
    pub until: Timestamp,
}

/// What opening a line found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The claim stands, after these.
    Claimed(Vec<Claim>),
    /// The key belongs to this call already.
    Reserved {
        /// The call.
        call: CallId,
        /// Whether the request had the same body.
        same_body: bool,
    },
    /// The user is banned.
    Banned,
}

/// Whose calls ring a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    /// Everybody's.
    All,
    /// Those of their contacts.
    Contacts,
}

/// What an invite must know of its callee.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself, and several can be so together")]
pub struct Callee {
    /// The claims before this one.
    pub others: Vec<Claim>,
    /// The devices.
    pub devices: Vec<Device>,
    /// Those of them that have an event stream open at any living instance, as far as the store knows.
    pub attached: Vec<DeviceId>,
    /// Whether those before it are so many that no claim was made.
    pub crowded: bool,
    /// Whether the callee has blocked the caller.
    pub blocked: bool,
    /// Whether the callee is banned.
    pub banned: bool,
    /// Whether the caller is none of the contacts whose calls alone the callee takes; then nothing else is told.
    pub is_stranger: bool,
}

impl Callee {
    /// What is told of a callee who takes no calls of this caller.
    pub(crate) fn of_a_stranger() -> Self {
        let (others, devices, attached) = (Vec::new(), Vec::new(), Vec::new());
        Self { others, devices, attached, crowded: false, blocked: false, banned: false, is_stranger: true }
    }
}

/// What is known of a missed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// How many calls were missed from its caller since the callee last talked to them, this one included.
    pub count: u32,
    /// Whether to tell the callee.
    pub tell: Tell,
}

/// Whether a callee is told of a missed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Each of their devices, now.
    Now,
    /// They were told of this caller a moment ago: this call is to be counted again then, and tells of all of them.
    Later(Timestamp),
    /// Another call tells of it, or they were told too often.
    NotAtAll,
}

/// A ban of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Who.
    pub user: UserId,
    /// Why, for the backend's eyes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Ban {
    /// Whether it is in force at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Why the store could not do what was asked.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Something else stands there: load again.
    #[error("the record has changed meanwhile")]
    Conflict,
    /// The user has done it as often as they may for now: nothing was changed.
    #[error("{0}")]
    Limited(Limited),
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    TooMany,
    /// The store cannot be reached or did not answer in time: try later. Nothing is known of a write.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// What is stored cannot be read.
    #[error("a stored record cannot be read: {0}")]
    Corrupt(String),
    /// A newer release wrote the record, and this one leaves it alone.
    #[error("a newer release wrote the record (format {0})")]
    Newer(u32),
}

impl StoreError {
    /// The word for it in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Limited(_) => "limited",
            Self::TooMany => "full",
            Self::Unavailable(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
            Self::Newer(_) => "newer",
        }
    }

    /// Whether the same request may succeed later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Conflict | Self::Unavailable(_))
    }
}
