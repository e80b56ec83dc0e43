//! A store as another instance has it, over a network: it hears of commits without the record, in a while, or not at all, and its
//! requests may be held up on the way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bellwire::domain::usage::{Day, DayShare, DayUsage};
use bellwire::domain::{CallId, Device, DeviceId, Environment, Heard, Job, JobId, PushToken, Timestamp, UserId};
use bellwire::store::{
    Admits, Announcement, Ban, Callee, Charge, Claim, Commit, Committed, Forgotten, Missed, Opening, Reservation, Slot,
    Store, StoreError, Waiting,
};
use tokio::sync::{RwLock, broadcast, watch};
use tokio::task::JoinHandle;

use super::stops::{Side, Stops};

/// How long each request takes, so that those made at once are under way at once.
const TRIP: Duration = Duration::from_millis(2);

/// Who is attached at any instance.
pub type Attached = watch::Sender<BTreeSet<(UserId, DeviceId)>>;

/// One instance's connection to a store that another one uses too.
pub struct Wire {
    store: Arc<dyn Store>,
    /// How long each request takes.
    trip: Duration,
    stops: Arc<Stops>,
    news: broadcast::Sender<Arc<Announcement>>,
    deaf: Arc<AtomicBool>,
    attached: Attached,
    /// What is found in place of what is stored.
    instead: Mutex<HashMap<CallId, Slot>>,
    /// Whoever has this for writing holds up what was loaded.
    pub gate: RwLock<()>,
    /// How often a record was read.
    pub loads: watch::Sender<usize>,
    /// How many of the next loads fail.
    pub failing: AtomicUsize,
    /// Requests under way, the most that ever were, and how often one began when none was: round trips in sequence.
    under_way: AtomicUsize,
    pub most_at_once: AtomicUsize,
    pub in_sequence: AtomicUsize,
    /// Hands on what the store announces.
    hearing: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

impl Wire {
    pub fn to<S: Store>(store: &Arc<S>, attached: &Attached) -> Arc<Self> {
        Self::new(Arc::clone(store) as _, attached.clone(), TRIP, Stops::none())
    }

    /// A wire that takes no time but where it is held up.
    pub fn with_stops(store: &Arc<dyn Store>, stops: &Arc<Stops>) -> Arc<Self> {
        Self::new(Arc::clone(store), Attached::default(), Duration::ZERO, Arc::clone(stops))
    }

    fn new(store: Arc<dyn Store>, attached: Attached, trip: Duration, stops: Arc<Stops>) -> Arc<Self> {
        let (news, _) = broadcast::channel(64);
        let deaf = Arc::new(AtomicBool::new(false));
        let mut announcements = store.announcements();
        let hearing = tokio::spawn({
            let (news, deaf) = (news.clone(), Arc::clone(&deaf));
            async move {
                while let Ok(announcement) = announcements.recv().await {
                    let heard = match &*announcement {
                        Announcement::Committed(news) => {
                            Announcement::Committed(Committed { record: None, ..news.clone() })
                        }
                        other => other.clone(),
                    };
                    if !deaf.load(Ordering::SeqCst) {
                        // An error here says that nobody listens.
                        let _ = news.send(Arc::new(heard));
                    }
                }
            }
        });
        Arc::new(Self {
            store,
            trip,
            stops,
            news,
            deaf,
            attached,
            instead: Mutex::default(),
            gate: RwLock::new(()),
            loads: watch::Sender::new(0),
            failing: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            in_sequence: AtomicUsize::new(0),
            hearing,
        })
    }

    /// From now on nothing is heard but what a test says.
    pub fn cut(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    pub fn say(&self, announcement: Announcement) {
        self.news.send(Arc::new(announcement)).expect("an engine listens");
    }

    /// What stands under the id is this, as after a fail-over that lost commits.
    pub fn put_instead(&self, id: CallId, slot: Slot) {
        self.instead.lock().expect("no panic").insert(id, slot);
    }

    async fn trip<T>(
        &self,
        name: &'static str,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.stops.pass(Side::Before, name).await?;
        let others = self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most_at_once.fetch_max(others + 1, Ordering::SeqCst);
        if others == 0 {
            self.in_sequence.fetch_add(1, Ordering::SeqCst);
        }
        if !self.trip.is_zero() {
            tokio::time::sleep(self.trip).await;
        }
        let answer = request.await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        self.stops.pass(Side::After, name).await?;
        answer
    }

    async fn find(&self, id: CallId) -> Result<Slot, StoreError> {
        let instead = self.instead.lock().expect("no panic").get(&id).cloned();
        let found = match instead {
            Some(slot) => Ok(slot),
            None => self.store.load(id).await,
        };
        self.loads.send_modify(|loads| *loads += 1);
        let _open = self.gate.read().await;
        let fails = |left: usize| left.checked_sub(1);
        match self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails) {
            Ok(_) => Err(StoreError::Unavailable("the wire was cut".to_owned())),
            Err(_) => found,
        }
    }
}

#[async_trait]
impl Store for Wire {
    async fn load(&self, id: CallId) -> Result<Slot, StoreError> {
        self.trip("load", self.find(id)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let name = if commit.expected.is_none() { "commit (first)" } else { "commit (next)" };
        self.trip(name, self.store.commit(commit)).await
    }

    async fn bury(&self, id: CallId) -> Result<Slot, StoreError> {
        self.trip("bury", self.store.bury(id)).await
    }

    async fn remove(&self, id: CallId, version: u64) -> Result<(), StoreError> {
        self.trip("remove", self.store.remove(id, version)).await
    }

    async fn due(&self, now: Timestamp, limit: usize, beside: &HashSet<CallId>) -> Result<Vec<CallId>, StoreError> {
        self.trip("due", self.store.due(now, limit, beside)).await
    }

    async fn open_line(
        &self,
        claim: Claim,
        reservation: Option<Reservation>,
        charges: &[Charge],
    ) -> Result<Opening, StoreError> {
        self.trip("open_line", self.store.open_line(claim, reservation, charges)).await
    }

    async fn ring_line(&self, claim: Claim, charges: &[Charge], admits: Admits) -> Result<Callee, StoreError> {
        let user = claim.user.clone();
        let callee = self.trip("ring_line", self.store.ring_line(claim, charges, admits)).await?;
        let attached: Vec<DeviceId> =
            self.attached.borrow().iter().filter(|(owner, _)| *owner == user).map(|(_, id)| id.clone()).collect();
        Ok(Callee { attached: [callee.attached, attached].concat(), ..callee })
    }

    async fn line(&self, user: &UserId) -> Result<Vec<Claim>, StoreError> {
        self.trip("line", self.store.line(user)).await
    }

    async fn free_line(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        self.trip("free_line", self.store.free_line(user, call)).await
    }

    async fn history(&self, user: &UserId, before: Option<CallId>, limit: usize) -> Result<Vec<CallId>, StoreError> {
        self.trip("history", self.store.history(user, before, limit)).await
    }

    async fn put_device(
        &self,
        user: &UserId,
        device: Device,
        most: usize,
        charges: &[Charge],
    ) -> Result<(), StoreError> {
        self.trip("put_device", self.store.put_device(user, device, most, charges)).await
    }

    async fn holder(&self, token: &PushToken) -> Result<Option<(UserId, Device)>, StoreError> {
        self.trip("holder", self.store.holder(token)).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, StoreError> {
        self.trip("devices", self.store.devices(user)).await
    }

    async fn remove_device(&self, user: &UserId, device: &DeviceId) -> Result<bool, StoreError> {
        self.trip("remove_device", self.store.remove_device(user, device)).await
    }

    async fn drop_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        token: &PushToken,
        since: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        self.trip("drop_token", self.store.drop_token(user, device, token, since)).await
    }

    async fn set_environment(
        &self,
        user: &UserId,
        device: &DeviceId,
        environment: Environment,
    ) -> Result<(), StoreError> {
        self.trip("set_environment", self.store.set_environment(user, device, environment)).await
    }

    async fn attach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        let pair = (user.clone(), device.clone());
        let noted = async {
            self.attached.send_if_modified(|attached| attached.insert(pair));
            Ok(())
        };
        self.trip("attach", noted).await
    }

    async fn detach(&self, user: &UserId, device: &DeviceId) -> Result<(), StoreError> {
        let pair = (user.clone(), device.clone());
        let noted = async {
            self.attached.send_if_modified(|attached| attached.remove(&pair));
            Ok(())
        };
        self.trip("detach", noted).await
    }

    async fn forget_missed(&self, callee: &UserId, caller: &UserId) -> Result<(), StoreError> {
        self.trip("forget_missed", self.store.forget_missed(callee, caller)).await
    }

    async fn note_heard(&self, user: &UserId, device: &DeviceId, heard: Heard) -> Result<(), StoreError> {
        self.trip("note_heard", self.store.note_heard(user, device, heard)).await
    }

    async fn count_missed(&self, callee: &UserId, caller: &UserId, call: CallId) -> Result<Missed, StoreError> {
        self.trip("count_missed", self.store.count_missed(callee, caller, call)).await
    }

    async fn set_block(&self, user: &UserId, peer: &UserId, blocked: bool) -> Result<bool, StoreError> {
        self.trip("set_block", self.store.set_block(user, peer, blocked)).await
    }

    async fn blocks(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.trip("blocks", self.store.blocks(user)).await
    }

    async fn put_contacts(&self, user: &UserId, peers: &[UserId]) -> Result<(), StoreError> {
        self.trip("put_contacts", self.store.put_contacts(user, peers)).await
    }

    async fn set_contact(&self, user: &UserId, peer: &UserId, listed: bool, most: usize) -> Result<bool, StoreError> {
        self.trip("set_contact", self.store.set_contact(user, peer, listed, most)).await
    }

    async fn contacts(&self, user: &UserId) -> Result<Vec<UserId>, StoreError> {
        self.trip("contacts", self.store.contacts(user)).await
    }

    async fn put_ban(&self, ban: Ban) -> Result<(), StoreError> {
        self.trip("put_ban", self.store.put_ban(ban)).await
    }

    async fn ban(&self, user: &UserId, now: Timestamp) -> Result<Option<Ban>, StoreError> {
        self.trip("ban", self.store.ban(user, now)).await
    }

    async fn admit(&self, user: &UserId, charges: &[Charge]) -> Result<bool, StoreError> {
        self.trip("admit", self.store.admit(user, charges)).await
    }

    async fn lift_ban(&self, user: &UserId) -> Result<bool, StoreError> {
        self.trip("lift_ban", self.store.lift_ban(user)).await
    }

    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
        self.trip("bans", self.store.bans(now)).await
    }

    async fn load_job(&self, id: &JobId) -> Result<Option<Job>, StoreError> {
        self.trip("load_job", self.store.load_job(id)).await
    }

    async fn commit_job(&self, job: &Job, expected: Option<u64>) -> Result<(), StoreError> {
        self.trip("commit_job", self.store.commit_job(job, expected)).await
    }

    async fn remove_job(&self, id: &JobId, version: u64) -> Result<(), StoreError> {
        self.trip("remove_job", self.store.remove_job(id, version)).await
    }

    async fn due_jobs(&self, now: Timestamp, limit: usize, beside: &HashSet<JobId>) -> Result<Vec<JobId>, StoreError> {
        self.trip("due_jobs", self.store.due_jobs(now, limit, beside)).await
    }

    async fn account(&self, call: CallId, shares: &[DayShare]) -> Result<bool, StoreError> {
        self.trip("account", self.store.account(call, shares)).await
    }

    async fn usage(&self, from: Day, to: Day, peaks_from: Day) -> Result<Vec<DayUsage>, StoreError> {
        self.trip("usage", self.store.usage(from, to, peaks_from)).await
    }

    async fn calls_naming(&self, user: &UserId) -> Result<Vec<CallId>, StoreError> {
        self.trip("calls_naming", self.store.calls_naming(user)).await
    }

    async fn forget_call(&self, user: &UserId, call: CallId) -> Result<(), StoreError> {
        self.trip("forget_call", self.store.forget_call(user, call)).await
    }

    async fn forget_user(&self, user: &UserId) -> Result<Forgotten, StoreError> {
        self.trip("forget_user", self.store.forget_user(user)).await
    }

    async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.trip("waiting", self.store.waiting()).await
    }

    fn announcements(&self) -> broadcast::Receiver<Arc<Announcement>> {
        self.news.subscribe()
    }

    async fn health(&self) -> Result<String, StoreError> {
        self.trip("health", self.store.health()).await
    }

    async fn warnings(&self) -> Vec<String> {
        self.store.warnings().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
