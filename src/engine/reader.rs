//! One reader of events: it hears of every change of its user's calls, in order and without a gap.
//!
//! What changed comes through its mailbox (`readers`); what is new in it is told by the numbers of the events. How events look on the
//! wire is `http`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::readers::{Mailbox, Waiting};
use super::{Asker, Engine, EngineError};
use crate::domain::{Call, CallId, DeviceId, Event, EventKind, Timestamp, UserId};
use crate::store::Slot;

/// How much later than it happened an event may be announced: the time of a commit, of one that just made it within the store's
/// timeout, say. So events of several calls may come in another order than their times.
pub const ANNOUNCED_WITHIN: Duration = Duration::from_secs(2);

/// How long a reader of a banned user waits for the ends of the live calls, so that the app can say why they ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

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
    /// Whether its device was registered when it began.
    registered: bool,
    seen: HashMap<CallId, Seen>,
    ends: Option<Timestamp>,
    /// Until when it goes on for the ends of live calls, once its user is banned.
    last_words_until: Option<Instant>,
    /// Whether the store may have been told of it.
    attached: AtomicBool,
}

/// What a reader knows of a call.
struct Seen {
    version: u64,
    /// Whether it rings, or rang, for this reader's user.
    is_incoming: bool,
    /// The last event, whole: after a fail-over that lost commits, another one may have its number.
    last: Option<Event>,
}

impl Seen {
    fn of(call: &Call, user: &UserId) -> Self {
        let is_incoming = call.callee.id == *user;
        Self { version: call.version, is_incoming, last: call.events.last().cloned() }
    }

    /// Whether the record has what was seen.
    fn is_in(&self, call: &Call) -> bool {
        let Some(last) = &self.last else { return true };
        call.events.iter().rev().find(|event| event.seq <= last.seq) == Some(last)
    }

    fn is_live(&self) -> bool {
        !matches!(&self.last, Some(Event { kind: EventKind::Ended { .. }, .. }))
    }
}

/// The store has lost what a reader has seen: it must begin with a snapshot.
struct WentBack;

impl Engine {
    /// A reader of the user's calls, on a device if it is named, unless the user has `most` readers here already.
    pub async fn read(&self, user: &UserId, device: Option<DeviceId>, most: usize) -> Result<Reader, EngineError> {
        let reader = self.reader(user, device, None, most).await?;
        reader.attach().await?;
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
        let reader = self.reader(user, Some(device), Some(call), most).await?;
        self.call(call, &asker).await?;
        reader.attach().await?;
        Ok(reader)
    }

    async fn reader(
        &self,
        user: &UserId,
        device: Option<DeviceId>,
        only: Option<CallId>,
        most: usize,
    ) -> Result<Reader, EngineError> {
        let mailbox = self.0.readers.add(user, device, most).ok_or(EngineError::TooManyReaders)?;
        let (engine, user) = (self.clone(), user.clone());
        let mut reader = Reader {
            engine,
            user,
            only,
            mailbox,
            registered: false,
            seen: HashMap::new(),
            ends: None,
            last_words_until: None,
            attached: AtomicBool::new(false),
        };
        // It can be closed by now, so a ban or a removal that comes at the same moment is not missed.
        let (registered, ()) = tokio::try_join!(reader.has_device(), self.refuse_banned(&reader.user))?;
        reader.registered = registered;
        Ok(reader)
    }
}

impl Reader {
    /// The snapshot to begin with, and the events after those that `since` names.
    ///
    /// A reader comes back with the last events that it saw, perhaps not of each of its calls. Events come in the order of their times, up to
    /// [`ANNOUNCED_WITHIN`]; so calls that it does not name are told from that long before its last event, and none of theirs is missed.
    /// A call of which it has seen more than the record has counts as not named: for that one it starts over from the snapshot.
    pub async fn begin(&mut self, since: &[(CallId, u32)]) -> Result<Beginning, EngineError> {
        let snapshot = self.calls().await?;
        let mut named = Vec::new();
        for (id, seq) in since {
            if self.only.is_none_or(|only| only == *id)
                && named.iter().all(|(known, _): &(Arc<Call>, u32)| known.id != *id)
                && let Some(call) = self.find(*id, &snapshot).await?
                && *seq <= call.last_seq()
            {
                named.push((call, *seq));
            }
        }
        let mut seen: Vec<News> =
            named.iter().flat_map(|(call, seq)| self.news(call, |event| event.seq == *seq)).collect();
        let last_seen: Option<Timestamp> = seen.iter().map(|one| one.event.at).max();
        if named.is_empty() {
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

    /// The next events, as soon as there are any. `None`: the reader is over, since it was closed, or since what it has to begin with
    /// again cannot be told by events.
    pub async fn next(&mut self) -> Option<Vec<News>> {
        loop {
            let waiting = self.waiting().await?;
            if waiting.closed {
                return None;
            }
            if waiting.banned {
                self.last_words_until.get_or_insert(Instant::now() + LAST_WORDS);
            }
            let mut fresh = Vec::new();
            for call in waiting.changed.values() {
                // An older one was overtaken on its way. If the store itself went back, it says that something was lost.
                if self.seen.get(&call.id).is_none_or(|seen| seen.version <= call.version) {
                    fresh.extend(self.unseen(call).ok()?);
                }
            }
            if waiting.resync {
                // A store that cannot be read now ends the reader; it comes back with the last number that it saw. Apart, since an idle
                // reader should not have room for it all the time.
                let calls = Box::pin(self.read_again()).await.ok()?;
                if self.misses_any(&calls) {
                    return None;
                }
                for call in &calls {
                    fresh.extend(self.unseen(call).ok()?);
                }
            }
            if !fresh.is_empty() {
                return Some(in_order(fresh));
            }
        }
    }

    /// What arrives next. `None`: nothing more may be heard.
    async fn waiting(&self) -> Option<Waiting> {
        match self.last_words_until {
            None => Some(self.mailbox.wait().await),
            Some(until) if self.seen.values().any(Seen::is_live) => timeout_at(until, self.mailbox.wait()).await.ok(),
            Some(_) => None,
        }
    }

    fn unseen(&mut self, call: &Arc<Call>) -> Result<Vec<News>, WentBack> {
        if self.only.is_some_and(|only| only != call.id) || !self.hears_of(call) {
            return Ok(Vec::new());
        }
        let seen = self.seen.get(&call.id);
        if seen.is_some_and(|seen| !seen.is_in(call)) {
            return Err(WentBack);
        }
        let seq = seen.and_then(|seen| seen.last.as_ref()).map_or(0, |last| last.seq);
        self.take_note(call);
        Ok(self.news(call, |event| event.seq > seq))
    }

    fn take_note(&mut self, call: &Call) {
        self.seen.insert(call.id, Seen::of(call, &self.user));
        if let (Some(_), Some(device)) = (self.only, &self.mailbox.device) {
            self.ends = call.ticket_ends(device);
        }
        if let Some(device) = self.mailbox.device.as_ref().filter(|_| self.user == call.callee.id) {
            self.engine.note_contact(call, device);
            self.engine.note_back(call, device);
        }
    }

    /// Whether a call that lived when this reader last heard of it is not among those that live or ended a short while ago.
    fn misses_any(&self, calls: &[Arc<Call>]) -> bool {
        let is_there = |id: &CallId| calls.iter().any(|call| call.id == *id);
        self.seen.iter().any(|(id, seen)| seen.is_live() && !is_there(id))
    }

    /// The user's calls, when announcements may have been lost: also that of a ban, or that the device was removed. What was attached may
    /// be lost, too.
    async fn read_again(&self) -> Result<Vec<Arc<Call>>, EngineError> {
        let _turn = self.engine.0.readers.turn_to_read().await;
        let (calls, (), is_there, ()) =
            tokio::try_join!(self.calls(), self.engine.refuse_banned(&self.user), self.has_device(), self.attach())?;
        // Who never registered it may read on.
        if self.registered && !is_there { Err(EngineError::UnknownDevice) } else { Ok(calls) }
    }

    /// Whether the device that it reads on is registered.
    async fn has_device(&self) -> Result<bool, EngineError> {
        let Some(device) = &self.mailbox.device else { return Ok(false) };
        Ok(self.engine.devices(&self.user).await?.iter().any(|registered| registered.id == *device))
    }

    async fn attach(&self) -> Result<(), EngineError> {
        let Some(device) = &self.mailbox.device else { return Ok(()) };
        self.attached.store(true, Ordering::Relaxed);
        Ok(self.engine.note_attachment(&self.user, device).await?)
    }

    /// The events of a call that are wanted and that this reader may hear of.
    fn news(&self, call: &Arc<Call>, wanted: impl Fn(&Event) -> bool) -> Vec<News> {
        let by_ticket = self.only.and(self.mailbox.device.as_ref());
        let may_hear = |event: &Event| by_ticket.is_none_or(|device| call.concerns(device, event));
        let chosen = call.events.iter().filter(|event| wanted(event) && may_hear(event)).cloned();
        chosen.map(|event| News { call: Arc::clone(call), event }).collect()
    }

    fn hears_of(&self, call: &Call) -> bool {
        call.is_announced_to(&self.user, self.mailbox.device.as_ref())
    }

    async fn calls(&self) -> Result<Vec<Arc<Call>>, EngineError> {
        if let Some(id) = self.only {
            return Ok(self.find(id, &[]).await?.into_iter().collect());
        }
        let mut calls = self.engine.recent_calls(&self.user).await?;
        calls.retain(|call| self.hears_of(call));
        Ok(calls)
    }

    async fn find(&self, id: CallId, known: &[Arc<Call>]) -> Result<Option<Arc<Call>>, EngineError> {
        if let Some(call) = known.iter().find(|call| call.id == id) {
            return Ok(Some(Arc::clone(call)));
        }
        Ok(match self.engine.store().load(id).await? {
            Slot::Call(call) if call.is_visible_to(&self.user) && self.hears_of(&call) => Some(Arc::from(call)),
            _ => None,
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.engine.0.readers.remove(&self.user, &self.mailbox);
        let Some(device) = self.mailbox.device.clone() else { return };
        if !self.attached.load(Ordering::Relaxed) {
            return;
        }
        // Without a runtime the instance is at its end, and what it attached goes with it.
        if let Ok(runtime) = Handle::try_current()
            && !self.engine.0.readers.has(&self.user, &device)
        {
            let (engine, user) = (self.engine.clone(), self.user.clone());
            let rings = self.seen.iter().filter(|(_, seen)| seen.is_incoming && seen.is_live());
            let rings = rings.map(|(call, _)| *call).collect();
            runtime.spawn(async move { engine.note_closed(&user, &device, rings).await });
        }
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
