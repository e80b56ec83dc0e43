//! The store of any number of Bellwires: one Redis, the master that Sentinels name, or a Redis Cluster.
//!
//! What must happen in one step is one Lua script on keys of one partition (`script`, `keys`), so the same code runs on one server and on a
//! cluster. What spans partitions is a few such steps, each of which may be repeated. Nothing here is a rule of calls; see the laws
//! of [`Store`].

mod calls;
mod channel;
mod client;
mod cluster;
mod devices;
mod due;
mod ear;
mod erasure;
mod filling;
mod instances;
mod jobs;
mod keys;
mod lines;
mod link;
mod listener;
mod missed;
mod moderation;
mod notice;
mod open;
mod owners;
mod rates;
mod script;
mod server;
mod taking_in;
mod usage;
mod verdict;
mod wire;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use redis::ParsingError;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

pub use self::filling::TargetError;
use self::instances::Silence;
use self::keys::Keys;
use self::link::Link;
use self::notice::Unsure;
pub use self::open::OpenError;
use self::server::Fitness;
use super::sealing::Sealing;
use super::{
    Admits, Announcement, Ban, Callee, Charge, Claim, Commit, Forgotten, Keeping, Missed, Opening, Reservation, Slot,
    Store, StoreError, Waiting,
};
use crate::clock::Clock;
use crate::config::store::EncryptionKey;
use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::domain::{CallId, Device, DeviceId, Environment, Heard, Job, JobId, PushToken, Timestamp, UserId};

/// The store on Redis.
pub struct Redis {
    link: Link,
    keys: Arc<Keys>,
    clock: Clock,
    events: broadcast::Sender<Arc<Announcement>>,
    /// This instance's name among the others.
    instance: String,
    unsure: Unsure,
    target: String,
    sealing: Sealing,
    keeping: Keeping,
    /// Whether those that are silent may live.
    silence: Arc<Silence>,
    tasks: Vec<JoinHandle<()>>,
}

impl Redis {
    /// The same store, whose push tokens are sealed by the first of these keys and opened by all of them.
    #[must_use]
    pub fn sealed_by(mut self, keys: &[EncryptionKey]) -> Self {
        self.sealing = Sealing::new(keys, self.clock.clone());
        self
    }

    /// The same store, which keeps things for other times than [`Keeping::default`].
    #[must_use]
    pub fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = keeping;
        self
    }

    async fn fitness(&self) -> Fitness {
        Fitness::of(&self.link, &self.keys, &self.instance).await
    }
}

/// An answer of another shape than the command's.
fn unreadable(error: ParsingError) -> StoreError {
    // Its words may quote the answer.
    drop(error);
    StoreError::Corrupt("Redis answered something else than was asked for".into())
}

impl Redis {
    fn stop_listening(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

#[async_trait]
impl Store for Redis {
    async fn load(&self, id: CallId) -> Result<Slot, StoreError> {
        self.load_call(id).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.commit_call(commit).await
    }

    async fn bury(&self, id: CallId) -> Result<Slot, StoreError> {
        self.bury_call(id).await
    }

    async fn remove(&self, id: CallId, version: u64) -> Result<(), StoreError> {
        self.remove_call(id, version).await
    }

    async fn due(&self, now: Timestamp, limit: usize, beside: &HashSet<CallId>) -> Result<Vec<CallId>, StoreError> {
        self.due_calls(now, limit, beside).await
    }

    async fn open_line(
        &self,
        claim: Claim,
        reservation: Option<Reservation>,
        charges: &[Charge],
    ) -> Result<Opening, StoreError> {
        self.open_for(&claim, reservation.as_ref(), charges).await
    }

    async fn ring_line(&self, claim: Claim, charges: &[Charge], admits: Admits) -> Result<Callee, StoreError> {
        self.ring_for(&claim, charges, admits).await
    }

    async fn line(&self, user: &UserId) -> Result<Vec<Claim>, StoreError> {
        self.line_of(user).await
    }

    async fn free_line(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        self.free(user, call).await
    }

    async fn history(&self, user: &UserId, before: Option<CallId>, limit: usize) -> Result<Vec<CallId>, StoreError> {
        self.calls_of(user, before, limit).await
    }

    async fn put_device(
        &self,
        user: &UserId,
        device: Device,
        most: usize,
        charges: &[Charge],
    ) -> Result<(), StoreError> {
        self.register(user, device, most, charges).await
    }

    async fn holder(&self, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError> {
        self.holder_of(token).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        self.devices_of(user).await
    }

    async fn remove_device(&self, user: &UserId, device: &DeviceId) -> Result<bool, StoreError> {
        self.unregister(user, device, "").await
    }

    async fn drop_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.forget_token(user, device, token, since).await
    }

    async fn set_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), StoreError> {
        self.note_environment(user, device, environment).await
    }

    async fn note_heard(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), StoreError> {
        self.note_acks(user, device, heard).await
    }

    async fn attach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        self.attach_device(user, device).await
    }

    async fn detach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        self.detach_device(user, device).await
    }

    async fn count_missed(&self, callee: &UserId, caller: &UserId, call: CallId) -> Result<Missed, StoreError> {
        self.count(callee, caller, call).await
    }

    async fn forget_missed(&self, callee: &UserId, caller: &UserId) -> Result<(), StoreError> {
        self.forget_count(callee, caller).await
    }

    async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, StoreError> {
        self.block(user, peer, blocked).await
    }

    async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.blocked_by(user).await
    }

    async fn put_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), StoreError> {
        self.list_contacts(user, peers).await
    }

    async fn set_contact(&self, user: &UserId, peer: &UserId, listed: bool, most: usize) -> Result<bool, StoreError> {
        self.contact(user, peer, listed, most).await
    }

    async fn contacts(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.contacts_of(user).await
    }

    async fn put_ban(&self, ban: Ban) -> Result<(), StoreError> {
        self.ban_user(&ban).await
    }

    async fn ban(&self, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError> {
        self.ban_of(user, now).await
    }

    async fn admit(&self, user: &UserId, charges: &[Charge]) -> Result<bool, StoreError> {
        self.admit_user(user, charges).await
    }

    async fn lift_ban(&self, user: &UserId) -> Result<bool, StoreError> {
        self.lift(user).await
    }

    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
        self.all_bans(now).await
    }

    async fn load_job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.job(id).await
    }

    async fn commit_job(&self, job: &Job, expected: Option<u64>) -> Result<(), StoreError> {
        self.write_job(job, expected).await
    }

    async fn remove_job(&self, id: &JobId, version: u64) -> Result<(), StoreError> {
        self.forget_job(id, version).await
    }

    async fn due_jobs(&self, now: Timestamp, limit: usize, beside: &HashSet<JobId>) -> Result<Vec<JobId>, StoreError> {
        self.jobs_due(now, limit, beside).await
    }

    async fn account(&self, call: CallId, shares: &[DayShare]) -> Result<bool, StoreError> {
        self.add_usage(call, shares).await
    }

    async fn usage(&self, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError> {
        self.usage_of(from, to, peaks_from).await
    }

    async fn calls_naming(&self, user: &UserId) -> Result<Vec<CallId>, StoreError> {
        self.naming(user).await
    }

    async fn forget_call(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        self.unname(user, call).await
    }

    async fn forget_user(&self, user: &UserId) -> Result<Forgotten, StoreError> {
        self.erase_user(user).await
    }

    async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.count_waiting().await
    }

    fn announcements(&self) -> broadcast::Receiver<Arc<Announcement>> {
        self.events.subscribe()
    }

    async fn health(&self) -> Result<String, StoreError> {
        let Fitness { versions, warnings, failures, of } = self.fitness().await;
        let failure = failures.first();
        if let (true, Some(failure)) = (versions.is_empty(), failure) {
            return Err(failure.clone());
        }
        let mut words = vec![format!("{} at {}", versions.join(", "), self.target)];
        words.extend(failure.map(|failure| format!("{} of {of} masters cannot be used: {failure}", failures.len())));
        words.extend(warnings);
        words.extend(self.sealing.trouble());
        Ok(words.join("; "))
    }

    async fn warnings(&self) -> Vec<String> {
        self.fitness().await.warnings
    }

    async fn close(&self) {
        self.stop_listening();
        // Should it fail: an instance that says nothing counts as gone soon.
        let _ = self.heart().stop().await;
    }
}
