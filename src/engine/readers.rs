//! The mailboxes of this instance's readers of events, and the task that fills them with what the store announces.
//!
//! It puts each changed record into the mailboxes of the two parties' readers, so an idle reader costs nothing. A mailbox keeps the
//! newest record of each call, and a record has all its events, so a slow reader misses nothing and holds up nobody. A record that
//! was committed at another instance is loaded here only where somebody reads it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::domain::{Call, CallId, DeviceId, UserId};
use crate::store::{Announcement, Committed, Slot, Store};

/// How many readers read their calls again at once, when announcements may have been lost: all of them are told so together.
const READ_AGAIN_AT_ONCE: usize = 32;

/// Every reader of this instance, by user.
#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    mailboxes: Mutex<HashMap<UserId, Vec<Arc<Mailbox>>>>,
    /// Calls whose record is being loaded, and whether it has changed again since.
    loading: Mutex<HashMap<CallId, bool>>,
    turns: Semaphore,
}

/// What waits for one reader.
pub(super) struct Mailbox {
    pub(super) device: Option<DeviceId>,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) changed: BTreeMap<CallId, Arc<Call>>,
    pub(super) resync: bool,
    /// The device that it reads on is gone.
    pub(super) closed: bool,
    /// Its user was banned.
    pub(super) banned: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    /// Waits until something arrives, and takes all that is there.
    pub(super) async fn wait(&self) -> Waiting {
        self.arrived.notified().await;
        std::mem::take(&mut locked(&self.waiting))
    }

    fn put(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut locked(&self.waiting));
        self.arrived.notify_one();
    }
}

impl Waiting {
    /// Announcements and loads overtake one another; an older record never replaces a newer one.
    fn change(&mut self, call: &Arc<Call>) {
        let newest = self.changed.entry(call.id).or_insert_with(|| Arc::clone(call));
        if newest.version < call.version {
            *newest = Arc::clone(call);
        }
    }
}

impl Readers {
    /// Listens to what a store announces.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        let mut announcements = store.announcements();
        let inner = Arc::new(Inner {
            store,
            mailboxes: Mutex::default(),
            loading: Mutex::default(),
            turns: Semaphore::new(READ_AGAIN_AT_ONCE),
        });
        // Weak: an engine that is dropped gives its store free, which ends this.
        let listening = Arc::downgrade(&inner);
        tokio::spawn(async move {
            loop {
                let heard = announcements.recv().await;
                let Some(inner) = listening.upgrade() else { return };
                match heard {
                    Ok(announcement) => Self(inner).hear(&announcement),
                    Err(RecvError::Lagged(_)) => Self(inner).resync_all(),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self(inner)
    }

    fn hear(&self, announcement: &Announcement) {
        match announcement {
            Announcement::Committed(Committed { record: Some(call), .. }) => self.tell(call),
            Announcement::Committed(news) => self.load(news),
            Announcement::Closed { user, device } => self.close(user, device.as_ref()),
            Announcement::Lost => self.resync_all(),
        }
    }

    fn tell(&self, call: &Arc<Call>) {
        let parties = [&call.caller.id, &call.callee.id].into_iter().filter(|user| call.is_visible_to(user));
        self.put(parties, |waiting| waiting.change(call));
    }

    /// Changes what waits for the readers of these users.
    fn put<'a>(&self, users: impl IntoIterator<Item = &'a UserId>, change: impl Fn(&mut Waiting)) {
        let mailboxes = locked(&self.0.mailboxes);
        for mailbox in users.into_iter().filter_map(|user| mailboxes.get(user)).flatten() {
            mailbox.put(&change);
        }
    }

    fn resync_all(&self) {
        for mailbox in locked(&self.0.mailboxes).values().flatten() {
            mailbox.put(|waiting| waiting.resync = true);
        }
    }

    /// Ends the readers of a user who was banned, or of one of their devices.
    fn close(&self, user: &UserId, device: Option<&DeviceId>) {
        for mailbox in locked(&self.0.mailboxes).get(user).into_iter().flatten() {
            if device.is_none() || mailbox.device.as_ref() == device {
                mailbox.put(|waiting| if device.is_none() { waiting.banned = true } else { waiting.closed = true });
            }
        }
    }

    /// Loads a record that changed, if somebody reads it here. While it is being loaded, another change of it has it loaded once more.
    fn load(&self, news: &Committed) {
        let mailboxes = locked(&self.0.mailboxes);
        if news.parties.iter().all(|user| !mailboxes.contains_key(user)) {
            return;
        }
        match locked(&self.0.loading).entry(news.call) {
            Entry::Occupied(mut again) => {
                again.insert(true);
            }
            Entry::Vacant(first) => {
                first.insert(false);
                let (readers, call, parties) = (self.clone(), news.call, news.parties.clone());
                // A task of its own: a store that is slow must not hold up what others are told.
                tokio::spawn(async move { readers.load_until_told(call, &parties).await });
            }
        }
    }

    async fn load_until_told(&self, id: CallId, parties: &[UserId]) {
        loop {
            match self.0.store.load(id).await {
                Ok(Slot::Call(call)) => self.tell(&Arc::from(call)),
                // The readers find out what they missed, or that they cannot.
                Ok(Slot::Vacant | Slot::Tombstone) | Err(_) => self.put(parties, |waiting| waiting.resync = true),
            }
            let mut loading = locked(&self.0.loading);
            match loading.get_mut(&id) {
                Some(again) if *again => *again = false,
                _ => {
                    loading.remove(&id);
                    return;
                }
            }
        }
    }

    /// Waits for a turn to read a user's calls again, which lasts until it is dropped.
    pub(super) async fn turn_to_read(&self) -> Option<SemaphorePermit<'_>> {
        self.0.turns.acquire().await.ok()
    }

    /// The devices of a user that read here.
    pub(super) fn devices_of(&self, user: &UserId) -> HashSet<DeviceId> {
        locked(&self.0.mailboxes).get(user).into_iter().flatten().filter_map(|mailbox| mailbox.device.clone()).collect()
    }

    /// Whether a device reads here.
    pub(super) fn has(&self, user: &UserId, device: &DeviceId) -> bool {
        let mailboxes = locked(&self.0.mailboxes);
        mailboxes.get(user).into_iter().flatten().any(|mailbox| mailbox.device.as_ref() == Some(device))
    }

    pub(super) fn add(&self, user: &UserId, device: Option<DeviceId>, most: usize) -> Option<Arc<Mailbox>> {
        let mut readers = locked(&self.0.mailboxes);
        let mailboxes = readers.entry(user.clone()).or_default();
        if mailboxes.len() >= most {
            return None;
        }
        let mailbox = Arc::new(Mailbox { device, waiting: Mutex::default(), arrived: Notify::new() });
        mailboxes.push(Arc::clone(&mailbox));
        Some(mailbox)
    }

    pub(super) fn remove(&self, user: &UserId, mailbox: &Arc<Mailbox>) {
        let mut readers = locked(&self.0.mailboxes);
        if let Some(mailboxes) = readers.get_mut(user) {
            mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
            if mailboxes.is_empty() {
                readers.remove(user);
            }
        }
    }
}
