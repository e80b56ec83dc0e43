//! Readers of events: each hears of every change of its user's calls, in order and without a gap.
//!
//! One task listens to the store and puts each changed record into the mailboxes of the two parties' readers, so an idle
//! reader costs nothing. A mailbox keeps the newest record of each call, and a record has all its events, so a slow reader misses
//! nothing and holds up nobody. How events look on the wire is `http`'s.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Asker, Engine, EngineError};
use crate::domain::{Call, CallId, DeviceId, Event, Timestamp, UserId};
use crate::store::{Announcement, Slot};

/// How much later than it happened an event may be announced: the time of a commit, of one that just made it within the store's
/// timeout, say. So events of several calls may come in another order than their times.
pub const ANNOUNCED_WITHIN: Duration = Duration::from_secs(2);

/// Every reader of this instance, by user.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<Mutex<HashMap<UserId, Vec<Arc<Mailbox>>>>>);

/// What waits for one reader.
struct Mailbox {
    device: Option<DeviceId>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    changed: BTreeMap<CallId, Arc<Call>>,
    resync: bool,
    closed: bool,
}

/// An event and the record that it belongs to.
#[derive(Debug, Clone)]
pub struct News {
    /// The record as of this event or later.
    pub call: Arc<Call>,
    /// The event.
    pub event: Event,
}

/// What a reader begins with.
#[derive(Debug)]
pub struct Beginning {
    /// Live calls, and those that ended a short while ago.
    pub snapshot: Vec<Arc<Call>>,
    /// The last events that the reader has seen, in the snapshot or before.
    pub seen: Vec<News>,
    /// Events since those.
    pub missed: Vec<News>,
}

/// A reader of a user's events. Dropping it ends it.
pub struct Reader {
    engine: Engine,
    user: UserId,
    only: Option<CallId>,
    mailbox: Arc<Mailbox>,
    seen: HashMap<CallId, u32>,
    ends: Option<Timestamp>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    fn put(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut locked(&self.waiting));
        self.arrived.notify_one();
    }
}

impl Readers {
    /// Listens to what a store announces.
    pub(super) fn new(mut announcements: Receiver<Arc<Announcement>>) -> Self {
        let readers = Self::default();
        let listening = readers.clone();
        tokio::spawn(async move {
            loop {
                match announcements.recv().await {
                    Ok(news) => listening.tell(&news.call),
                    Err(RecvError::Lagged(_)) => listening.resync(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        readers
    }

    fn tell(&self, call: &Arc<Call>) {
        let readers = locked(&self.0);
        let parties = [&call.caller.id, &call.callee.id].into_iter().filter(|user| call.is_visible_to(user));
        for mailbox in parties.filter_map(|user| readers.get(user)).flatten() {
            mailbox.put(|waiting| {
                waiting.changed.insert(call.id, Arc::clone(call));
            });
        }
    }

    fn resync(&self) {
        for mailbox in locked(&self.0).values().flatten() {
            mailbox.put(|waiting| waiting.resync = true);
        }
    }

    /// Ends the readers of a user, or of one of their devices.
    pub(super) fn close(&self, user: &UserId, device: Option<&DeviceId>) {
        for mailbox in locked(&self.0).get(user).into_iter().flatten() {
            if device.is_none() || mailbox.device.as_ref() == device {
                mailbox.put(|waiting| waiting.closed = true);
            }
        }
    }

    /// The devices of a user that read here.
    pub(super) fn devices_of(&self, user: &UserId) -> HashSet<DeviceId> {
        locked(&self.0).get(user).into_iter().flatten().filter_map(|mailbox| mailbox.device.clone()).collect()
    }

    fn add(&self, user: &UserId, device: Option<DeviceId>, most: usize) -> Option<Arc<Mailbox>> {
        let mut readers = locked(&self.0);
        let mailboxes = readers.entry(user.clone()).or_default();
        if mailboxes.len() >= most {
            return None;
        }
        let mailbox = Arc::new(Mailbox { device, waiting: Mutex::default(), arrived: Notify::new() });
        mailboxes.push(Arc::clone(&mailbox));
        Some(mailbox)
    }

    fn remove(&self, user: &UserId, mailbox: &Arc<Mailbox>) {
        let mut readers = locked(&self.0);
        if let Some(mailboxes) = readers.get_mut(user) {
            mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
            if mailboxes.is_empty() {
                readers.remove(user);
            }
        }
    }
}

impl Engine {
    /// A reader of the user's calls, on a device if it is named, unless the user has `most` readers here already.
    pub async fn read(&self, user: &UserId, device: Option<DeviceId>, most: usize) -> Result<Reader, EngineError> {
        let reader = self.reader(user, device, None, most)?;
        // It can be closed by now, so a ban that comes at the same moment is not missed.
        self.refuse_banned(user).await?;
        Ok(reader)
    }

    /// A reader by the ticket of a device, of its call only.
    pub async fn read_by_ticket(
        &self,
        user: &UserId,
        device: DeviceId,
        call: CallId,
        most: usize,
    ) -> Result<Reader, EngineError> {
        let asker = Asker::Ticket(user.clone(), device.clone());
        let reader = self.reader(user, Some(device), Some(call), most)?;
        self.refuse_banned(user).await?;
        self.call(call, &asker).await?;
        Ok(reader)
    }

    fn reader(
        &self,
        user: &UserId,
        device: Option<DeviceId>,
        only: Option<CallId>,
        most: usize,
    ) -> Result<Reader, EngineError> {
        let mailbox = self.0.readers.add(user, device, most).ok_or(EngineError::TooManyReaders)?;
        Ok(Reader { engine: self.clone(), user: user.clone(), only, mailbox, seen: HashMap::new(), ends: None })
    }
}

impl Reader {
    /// The snapshot to begin with, and the events after those that `since` names.
    ///
    /// A reader comes back with the last events that it saw, perhaps not of each of its calls. Events come in the order of their times, up to
    /// [`ANNOUNCED_WITHIN`]; so calls that it does not name are told from that long before its last event, and none of theirs is missed.
    pub async fn begin(&mut self, since: &[(CallId, u32)]) -> Result<Beginning, EngineError> {
        let snapshot = self.calls().await?;
        let mut named = Vec::new();
        for (id, seq) in since {
            if self.only.is_none_or(|only| only == *id)
                && named.iter().all(|(known, _): &(Arc<Call>, u32)| known.id != *id)
                && let Some(call) = self.find(*id, &snapshot).await?
            {
                named.push((call, *seq));
            }
        }
        let mut seen: Vec<News> =
            named.iter().flat_map(|(call, seq)| self.news(call, |event| event.seq == *seq)).collect();
        let last_seen: Option<Timestamp> = seen.iter().map(|one| one.event.at).max();
        if since.is_empty() {
            seen = snapshot.iter().flat_map(|call| self.news(call, |event| event.seq == call.last_seq())).collect();
        }
        let mut missed = Vec::new();
        for (call, seq) in &named {
            missed.extend(self.news(call, |event| event.seq > *seq));
        }
        if let Some(last_seen) = last_seen {
            let unnamed = snapshot.iter().filter(|call| named.iter().all(|(known, _)| known.id != call.id));
            for call in unnamed {
                missed.extend(self.news(call, |event| event.at + ANNOUNCED_WITHIN >= last_seen));
            }
        }
        for call in snapshot.iter().chain(named.iter().map(|(call, _)| call)) {
            self.take_note(call);
        }
        Ok(Beginning { snapshot, seen, missed: in_order(missed) })
    }

    /// When what this reader may hear is over, if that is known: a ticket is good for a while after its ring.
    pub fn ends(&self) -> Option<Timestamp> {
        self.ends
    }

    /// The next events, as soon as there are any. `None`: the reader was closed.
    pub async fn next(&mut self) -> Option<Vec<News>> {
        loop {
            self.mailbox.arrived.notified().await;
            let waiting = std::mem::take(&mut *locked(&self.mailbox.waiting));
            if waiting.closed {
                return None;
            }
            let mut changed: Vec<_> = waiting.changed.into_values().collect();
            if waiting.resync {
                // A store that cannot be read now ends the reader; it comes back with the last number that it saw.
                changed.extend(self.calls().await.ok()?);
            }
            let fresh: Vec<News> = changed.iter().flat_map(|call| self.unseen(call)).collect();
            if !fresh.is_empty() {
                return Some(in_order(fresh));
            }
        }
    }

    fn unseen(&mut self, call: &Arc<Call>) -> Vec<News> {
        if self.only.is_some_and(|only| only != call.id) {
            return Vec::new();
        }
        let seen = self.seen.get(&call.id).copied().unwrap_or_default();
        self.take_note(call);
        self.news(call, |event| event.seq > seen)
    }

    fn take_note(&mut self, call: &Call) {
        let seen = self.seen.entry(call.id).or_default();
        *seen = call.last_seq().max(*seen);
        if let (Some(_), Some(device)) = (self.only, &self.mailbox.device) {
            self.ends = call.ticket_ends(device);
        }
    }

    /// The events of a call that are wanted and that this reader may hear of.
    fn news(&self, call: &Arc<Call>, wanted: impl Fn(&Event) -> bool) -> Vec<News> {
        let by_ticket = self.only.and(self.mailbox.device.as_ref());
        let may_hear = |event: &Event| by_ticket.is_none_or(|device| call.concerns(device, event));
        let chosen = call.events.iter().filter(|event| wanted(event) && may_hear(event)).cloned();
        chosen.map(|event| News { call: Arc::clone(call), event }).collect()
    }

    async fn calls(&self) -> Result<Vec<Arc<Call>>, EngineError> {
        match self.only {
            Some(id) => Ok(self.find(id, &[]).await?.into_iter().collect()),
            None => self.engine.recent_calls(&self.user).await,
        }
    }

    async fn find(&self, id: CallId, known: &[Arc<Call>]) -> Result<Option<Arc<Call>>, EngineError> {
        if let Some(call) = known.iter().find(|call| call.id == id) {
            return Ok(Some(Arc::clone(call)));
        }
        Ok(match self.engine.store().load(id).await? {
            Slot::Call(call) if call.is_visible_to(&self.user) => Some(Arc::from(call)),
            _ => None,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.engine.0.readers.remove(&self.user, &self.mailbox);
    }
}

/// Events of several calls by time: the last one that a reader has seen tells what it has not seen of the others. Each
/// call's own stay in their order, also where a clock went back.
fn in_order(news: Vec<News>) -> Vec<News> {
    let mut latest: HashMap<CallId, Timestamp> = HashMap::new();
    let mut timed: Vec<(Timestamp, News)> = Vec::with_capacity(news.len());
    for one in news {
        let at = latest.entry(one.call.id).or_default();
        *at = one.event.at.max(*at);
        timed.push((*at, one));
    }
    timed.sort_by_key(|(at, _)| *at);
    timed.into_iter().map(|(_, news)| news).collect()
}
