//! The store of a Bellwire that runs alone: one redb file, owned by one process.
//!
//! Writes go to one thread, which commits all that wait in one transaction (`writer`). Reads are done where they are asked
//! for, but for long ones, and for what only the writer sees yet (lines, histories). Nothing here is a rule of calls; see the laws of [`Store`].

mod calls;
mod devices;
mod erasure;
mod expiry;
mod file;
mod jobs;
mod lines;
mod missed;
mod moderation;
mod open;
mod rates;
mod reading;
mod usage;
mod writer;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use redb::WriteTransaction;
use tokio::sync::broadcast;

use self::devices::Keeper;
use self::file::File;
pub use self::open::OpenError;
pub use self::reading::Source;
use self::writer::{Promise, Writer};
use super::sealing::Sealing;
use super::{
    Admits, Announcement, Ban, Callee, Charge, Claim, Commit, Forgotten, Keeping, Missed, Opening, Reservation, Slot,
    Store, StoreError, Waiting, codec,
};
use crate::clock::Clock;
use crate::domain::usage::{Day, DayShare, DayUsage};
use crate::domain::{CallId, Device, DeviceId, Environment, Heard, Job, JobId, PushToken, Timestamp, UserId};

/// The embedded store.
///
/// Dropping it ends its writer thread, which finishes what waits; [`close`](Store::close) waits for that.
pub struct Embedded {
    path: PathBuf,
    file: Arc<File>,
    writer: Writer,
    events: broadcast::Sender<Arc<Announcement>>,
    clock: Clock,
    sealing: Arc<Sealing>,
    keeping: Keeping,
}

impl Embedded {
    /// A user's devices as others may see them: without those that were not registered again for too long, and with their tokens open.
    fn opened(&self, user: &UserId, mut devices: Vec<Device>) -> Vec<Device> {
        let oldest = self.clock.now() - self.keeping.devices;
        devices.retain(|device| device.registered_at > oldest);
        for device in &mut devices {
            self.sealing.open(user, device);
        }
        devices
    }

    fn keeper(&self) -> Keeper {
        Keeper { sealing: Arc::clone(&self.sealing), kept: self.keeping.devices }
    }

    async fn write<T, F>(&self, promise: Promise, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.run(promise, work, |_| Vec::new()).await
    }
}

fn closed((user, device): &(UserId, DeviceId)) -> Announcement {
    Announcement::Closed { user: user.clone(), device: Some(device.clone()) }
}

#[async_trait]
impl Store for Embedded {
    async fn load(&self, id: CallId) -> Result<Slot, StoreError> {
        Ok(self.sealing.open_slot(calls::load(&self.file.begin_read()?, id)?))
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let next = calls::Next::new(&*self.sealing.seal_call(&commit.call)?, commit.expected)?;
        let news = move |(): &()| commit.news().map(Announcement::Committed).into_iter().collect();
        self.writer.run(Promise::Durable, move |txn| calls::commit(txn, &next), news).await
    }

    async fn bury(&self, id: CallId) -> Result<Slot, StoreError> {
        let now = self.clock.now();
        let record = self.write(Promise::Durable, move |txn| calls::bury(txn, id, now)).await?;
        Ok(self.sealing.open_slot(codec::decode(&record)?))
    }

    async fn remove(&self, id: CallId, version: u64) -> Result<(), StoreError> {
        self.write(Promise::Durable, move |txn| calls::remove(txn, id, version)).await
    }

    async fn due(&self, now: Timestamp, limit: usize, beside: &HashSet<CallId>) -> Result<Vec<CallId>, StoreError> {
        calls::due(&self.file.begin_read()?, now, limit, beside)
    }

    async fn open_line(
        &self,
        claim: Claim,
        reservation: Option<Reservation>,
        charges: &[Charge],
    ) -> Result<Opening, StoreError> {
        let (charges, now) = (charges.to_vec(), self.clock.now());
        self.write(Promise::Soon, move |txn| lines::open(txn, &claim, reservation.as_ref(), &charges, now)).await
    }

    async fn ring_line(&self, claim: Claim, charges: &[Charge], admits: Admits) -> Result<Callee, StoreError> {
        let (user, charges, now) = (claim.user.clone(), charges.to_vec(), self.clock.now());
        let found = self.write(Promise::Soon, move |txn| lines::ring(txn, &claim, &charges, admits, now)).await?;
        let callee = lines::decode(found)?;
        Ok(Callee { devices: self.opened(&user, callee.devices), ..callee })
    }

    async fn line(&self, user: &UserId) -> Result<Vec<Claim>, StoreError> {
        let (user, now) = (user.clone(), self.clock.now());
        self.write(Promise::Soon, move |txn| lines::claims(txn, &user, now)).await
    }

    async fn free_line(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        let (user, now) = (user.clone(), self.clock.now());
        self.write(Promise::Soon, move |txn| lines::free(txn, &user, call, now)).await
    }

    async fn history(&self, user: &UserId, before: Option<CallId>, limit: usize) -> Result<Vec<CallId>, StoreError> {
        let user = user.clone();
        self.write(Promise::Soon, move |txn| lines::history(txn, &user, before, limit)).await
    }

    async fn put_device(
        &self,
        user: &UserId,
        mut device: Device,
        most: usize,
        charges: &[Charge],
    ) -> Result<(), StoreError> {
        self.sealing.seal(user, &mut device)?;
        let (user, charges, now) = (user.clone(), charges.to_vec(), self.clock.now());
        let keeper = self.keeper();
        let put = move |txn: &WriteTransaction| {
            rates::charge(txn, &user, &charges, now)?;
            devices::put(txn, &keeper, &user, device, most)
        };
        self.writer.run(Promise::Durable, put, |gone| gone.iter().map(closed).collect()).await.map(drop)
    }

    async fn holder(&self, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError> {
        let Some((owner, device)) = devices::holder(&self.file.begin_read()?, token)? else { return Ok(None) };
        let device = self.opened(&owner, vec![device]).pop();
        Ok(device.map(|device| (owner, device)))
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        Ok(self.opened(user, devices::list(&self.file.begin_read()?, user)?))
    }

    async fn remove_device(&self, user: &UserId, device: &DeviceId) -> Result<bool, StoreError> {
        let gone = (user.clone(), device.clone());
        let (user, device) = gone.clone();
        let keeper = self.keeper();
        let remove = move |txn: &WriteTransaction| devices::remove(txn, &keeper, &user, &device);
        let news = move |was_there: &bool| was_there.then(|| closed(&gone)).into_iter().collect();
        self.writer.run(Promise::Durable, remove, news).await
    }

    async fn drop_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let (user, device, token) = (user.clone(), device.clone(), token.clone());
        let keeper = self.keeper();
        self.write(Promise::Durable, move |txn| devices::drop_token(txn, &keeper, &user, &device, &token, since)).await
    }

    async fn set_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), StoreError> {
        let (user, device) = (user.clone(), device.clone());
        let keeper = self.keeper();
        self.write(Promise::Durable, move |txn| devices::set_environment(txn, &keeper, &user, &device, environment))
            .await
    }

    async fn note_heard(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), StoreError> {
        let (user, device) = (user.clone(), device.clone());
        let keeper = self.keeper();
        self.write(Promise::Durable, move |txn| devices::note_heard(txn, &keeper, &user, &device, heard)).await
    }

    /// One process owns this store, and knows its own streams.
    async fn attach(&self, _user: &UserId, _device: &DeviceId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn detach(&self, _user: &UserId, _device: &DeviceId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn count_missed(&self, user: &UserId, peer: &UserId, call: CallId) -> Result<Missed, StoreError> {
        let (user, peer, now) = (user.clone(), peer.clone(), self.clock.now());
        self.write(Promise::Soon, move |txn| missed::count(txn, &user, &peer, call, now)).await
    }

    async fn forget_missed(&self, user: &UserId, peer: &UserId) -> Result<(), StoreError> {
        let (user, peer) = (user.clone(), peer.clone());
        self.write(Promise::Soon, move |txn| missed::reset(txn, &user, &peer)).await
    }

    async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, StoreError> {
        let (user, peer) = (user.clone(), peer.clone());
        self.write(Promise::Durable, move |txn| moderation::set_block(txn, &user, &peer, blocked)).await
    }

    async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        moderation::blocks(&self.file.begin_read()?, user)
    }

    async fn put_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), StoreError> {
        let (user, peers) = (user.clone(), peers.to_vec());
        self.write(Promise::Durable, move |txn| moderation::put_contacts(txn, &user, &peers)).await
    }

    async fn set_contact(&self, user: &UserId, peer: &UserId, listed: bool, most: usize) -> Result<bool, StoreError> {
        let (user, peer) = (user.clone(), peer.clone());
        self.write(Promise::Durable, move |txn| moderation::set_contact(txn, &user, &peer, listed, most)).await
    }

    async fn contacts(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        moderation::contacts(&self.file.begin_read()?, user)
    }

    async fn put_ban(&self, ban: Ban) -> Result<(), StoreError> {
        let json = codec::write_json("ban", &ban)?;
        let banned = Announcement::Closed { user: ban.user.clone(), device: None };
        let put = move |txn: &WriteTransaction| moderation::put_ban(txn, &ban, &json);
        self.writer.run(Promise::Durable, put, move |()| vec![banned]).await
    }

    async fn ban(&self, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError> {
        moderation::ban(&self.file.begin_read()?, user, now)
    }

    async fn admit(&self, user: &UserId, charges: &[Charge]) -> Result<bool, StoreError> {
        let (user, charges, now) = (user.clone(), charges.to_vec(), self.clock.now());
        let admit = move |txn: &WriteTransaction| {
            let is_banned = moderation::is_banned(txn, &user, now)?;
            if !is_banned {
                rates::charge(txn, &user, &charges, now)?;
            }
            Ok(!is_banned)
        };
        self.write(Promise::Soon, admit).await
    }

    async fn lift_ban(&self, user: &UserId) -> Result<bool, StoreError> {
        let (user, now) = (user.clone(), self.clock.now());
        self.write(Promise::Durable, move |txn| moderation::lift_ban(txn, &user, now)).await
    }

    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
        self.file.read_at_length(move |txn| moderation::bans(txn, now)).await
    }

    async fn load_job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        jobs::load(&self.file.begin_read()?, id)
    }

    async fn commit_job(&self, job: &Job, expected: Option<u64>) -> Result<(), StoreError> {
        let next = jobs::Next::new(job, expected)?;
        self.write(Promise::Durable, move |txn| jobs::commit(txn, &next)).await
    }

    async fn remove_job(&self, id: &JobId, version: u64) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(Promise::Durable, move |txn| jobs::remove(txn, &id, version)).await
    }

    async fn due_jobs(&self, now: Timestamp, limit: usize, beside: &HashSet<JobId>) -> Result<Vec<JobId>, StoreError> {
        jobs::due(&self.file.begin_read()?, now, limit, beside)
    }

    async fn account(&self, call: CallId, shares: &[DayShare]) -> Result<bool, StoreError> {
        let (shares, now) = (shares.to_vec(), self.clock.now());
        self.write(Promise::Durable, move |txn| usage::account(txn, call, &shares, now)).await
    }

    async fn usage(&self, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError> {
        self.file.read_at_length(move |txn| usage::usage(txn, from, to, peaks_from)).await
    }

    async fn calls_naming(&self, user: &UserId) -> Result<Vec<CallId>, StoreError> {
        // What only the writer sees yet is to be read too.
        self.write(Promise::Durable, |_| Ok(())).await?;
        let user = user.clone();
        self.file.read_at_length(move |txn| erasure::calls_naming(txn, &user)).await
    }

    async fn forget_call(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        let user = user.clone();
        self.write(Promise::Durable, move |txn| lines::forget(txn, &user, call)).await
    }

    async fn forget_user(&self, user: &UserId) -> Result<Forgotten, StoreError> {
        let mut devices = 0;
        for device in devices::list(&self.file.begin_read()?, user)? {
            devices += u64::from(self.remove_device(user, &device.id).await?);
        }
        self.write(Promise::Durable, |_| Ok(())).await?;
        let (user, now) = (user.clone(), self.clock.now());
        let theirs = user.clone();
        let traces = self.file.read_at_length(move |txn| erasure::Traces::find(txn, &theirs)).await?;
        let closed = Announcement::Closed { user: user.clone(), device: None };
        let forget = move |txn: &WriteTransaction| traces.forget(txn, &user, now);
        let forgotten = self.writer.run(Promise::Durable, forget, move |_| vec![closed]).await?;
        Ok(Forgotten { devices, ..forgotten })
    }

    async fn waiting(&self) -> Result<Waiting, StoreError> {
        let txn = self.file.begin_read()?;
        Ok(Waiting { calls: calls::waiting(&txn)?, jobs: jobs::waiting(&txn)? })
    }

    fn announcements(&self) -> broadcast::Receiver<Arc<Announcement>> {
        self.events.subscribe()
    }

    async fn health(&self) -> Result<String, StoreError> {
        // Through the writer to the disk and back, since that is what can be stuck.
        self.write(Promise::Durable, |_| Ok(())).await?;
        let trouble = self.sealing.trouble().map(|trouble| format!("; {trouble}")).unwrap_or_default();
        Ok(format!("embedded, {}, redb 4{trouble}", self.path.display()))
    }

    async fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    async fn close(&self) {
        self.writer.stop().await;
    }
}

#[cfg(test)]
mod tests;
