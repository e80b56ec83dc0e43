//! The faults in force, and the drawing of lots.
//!
//! Faults befall only requests that would have been accepted: a wrong request always gets the error that it
//! deserves, so that a fault never hides a mistake. Delays add up; of the other faults the first that applies wins.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::Host;
use super::lock;
use super::log::Provider;
use super::rule::{Fault, Rule, Streams};
use crate::clock::Clock;
use crate::domain::Timestamp;

pub(super) struct Rules {
    entries: Mutex<Entries>,
    /// How many there are, to be seen without the lock.
    count: AtomicUsize,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    /// Counts the ids that were given.
    named: u64,
}

/// A rule in force.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) rule: Rule,
    pub(super) origin: Origin,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    /// How often it may still befall.
    left: Option<u32>,
    /// How often it has.
    pub(super) befell: u64,
}

/// Who made a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The rule file, which also takes away.
    File,
    /// Anyone else.
    Order,
}

/// What rules look at in a request.
pub(super) struct Asked<'a> {
    pub(super) provider: Provider,
    pub(super) token: Option<&'a str>,
    pub(super) app: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) push_type: Option<&'a str>,
    pub(super) call: Option<&'a str>,
}

/// What befalls one request.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    /// Never a delay.
    pub(super) fault: Option<Fault>,
}

impl Rules {
    pub(super) fn new(rules: Vec<Rule>, now: Timestamp) -> Self {
        let new = Self { entries: Mutex::default(), count: AtomicUsize::new(0), changed: watch::Sender::new(()) };
        for rule in rules {
            new.add(rule, now);
        }
        new
    }

    /// Adds a rule after all others, or in the place of the one with its id; gives its id, and whether it is new.
    pub(super) fn add(&self, rule: Rule, now: Timestamp) -> (String, bool) {
        self.change(|entries| {
            let entry = entries.entry(rule, Origin::Order, now);
            let id = entry.id.clone();
            let old = entries.list.iter_mut().find(|old| old.id == id);
            let is_new = old.is_none();
            match old {
                Some(old) => *old = entry,
                None => entries.list.push(entry),
            }
            (id, is_new)
        })
    }

    /// Puts these in the place of all that came from a file before.
    pub(super) fn replace_file(&self, rules: Vec<Rule>, now: Timestamp) {
        self.change(|entries| {
            let ids: Vec<_> = rules.iter().filter_map(|rule| rule.id.clone()).collect();
            entries.list.retain(|entry| entry.origin != Origin::File && !ids.contains(&entry.id));
            for rule in rules {
                let entry = entries.entry(rule, Origin::File, now);
                entries.list.push(entry);
            }
        });
    }

    /// Ends one; whether there was one.
    pub(super) fn remove(&self, id: &str) -> bool {
        self.change(|entries| {
            let before = entries.list.len();
            entries.list.retain(|entry| entry.id != id);
            entries.list.len() < before
        })
    }

    pub(super) fn clear(&self) {
        self.change(|entries| entries.list.clear());
    }

    pub(super) fn all(&self) -> Vec<Entry> {
        lock(&self.entries).list.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells of changes.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        let mut entries = lock(&self.entries);
        let result = change(&mut entries);
        self.count.store(entries.list.len(), Ordering::Relaxed);
        drop(entries);
        self.changed.send_replace(());
        result
    }

    /// Decides what befalls a request, and uses up the rules that have a number of times.
    pub(super) fn draw(&self, asked: &Asked<'_>, clock: &Clock, now: Timestamp) -> Fate {
        let mut fate = Fate::default();
        if self.count() == 0 {
            return fate;
        }
        let mut entries = lock(&self.entries);
        let of_requests = entries.list.iter_mut().filter(|entry| !entry.rule.fault.is_of_connection());
        for entry in of_requests.filter(|entry| entry.rule.applies_to(asked)) {
            if !entry.befalls(clock, now) {
                continue;
            }
            match entry.rule.fault {
                Fault::Delay(least, most) => fate.delay += between(least, most, clock),
                fault => {
                    fate.fault = Some(fault);
                    break;
                }
            }
        }
        fate
    }

    /// Decides whether a new connection is refused or not shaken hands with.
    pub(super) fn draw_connection(&self, host: Host, clock: &Clock, now: Timestamp) -> Option<Fault> {
        let is_at_once = |fault: &Fault| matches!(fault, Fault::RefuseConnection | Fault::NoHandshake);
        self.draw_of_connection(host, is_at_once, clock, now)
    }

    /// Decides how many streams a new connection allows.
    pub(super) fn draw_streams(&self, host: Host, clock: &Clock, now: Timestamp) -> Option<Streams> {
        match self.draw_of_connection(host, |fault| matches!(fault, Fault::Streams(_)), clock, now) {
            Some(Fault::Streams(streams)) => Some(streams),
            _ => None,
        }
    }

    /// Decides after how many errors a new connection is ended.
    pub(super) fn draw_errors(&self, host: Host, clock: &Clock, now: Timestamp) -> Option<u32> {
        match self.draw_of_connection(host, |fault| matches!(fault, Fault::Errors(_)), clock, now) {
            Some(Fault::Errors(most)) => Some(most),
            _ => None,
        }
    }

    fn draw_of_connection(
        &self,
        host: Host,
        is_wanted: impl Fn(&Fault) -> bool,
        clock: &Clock,
        now: Timestamp,
    ) -> Option<Fault> {
        if self.count() == 0 {
            return None;
        }
        let mut entries = lock(&self.entries);
        let of_host = entries.list.iter_mut().filter(|entry| {
            entry.rule.fault.is_of_connection() && is_wanted(&entry.rule.fault) && entry.rule.is_of_host(host)
        });
        let mut befallen = of_host.filter_map(|entry| entry.befalls(clock, now).then_some(entry.rule.fault));
        befallen.next()
    }

    /// Whether a port is closed now: all connections to it are refused, without lots or a number.
    pub(super) fn is_closed(&self, host: Host, now: Timestamp) -> bool {
        self.count() > 0
            && lock(&self.entries).list.iter().any(|entry| {
                entry.rule.fault == Fault::RefuseConnection
                    && entry.rule.share >= 100.0
                    && entry.rule.times.is_none()
                    && entry.rule.is_of_host(host)
                    && entry.is_in_time(now)
            })
    }
}

impl Entries {
    fn entry(&mut self, rule: Rule, origin: Origin, now: Timestamp) -> Entry {
        let id = rule.id.clone().unwrap_or_else(|| self.free_id());
        let moment = |moment: Option<super::rule::Moment>| moment.map(|moment| moment.seen_from(now));
        let (from, until, left) = (moment(rule.from), moment(rule.until), rule.times);
        Entry { id, rule, origin, from, until, left, befell: 0 }
    }

    fn free_id(&mut self) -> String {
        loop {
            self.named += 1;
            let id = format!("rule-{}", self.named);
            if self.list.iter().all(|entry| entry.id != id) {
                return id;
            }
        }
    }
}

impl Entry {
    fn is_in_time(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// Whether it befalls what it applies to, which uses it up by one.
    fn befalls(&mut self, clock: &Clock, now: Timestamp) -> bool {
        if self.left == Some(0) || !self.is_in_time(now) || !is_drawn(self.rule.share, clock) {
            return false;
        }
        self.left = self.left.map(|left| left - 1);
        self.befell += 1;
        true
    }
}

impl Rule {
    fn applies_to(&self, asked: &Asked<'_>) -> bool {
        let only = &self.only;
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        self.host.is(asked.provider)
            && is(&only.token, asked.token)
            && is(&only.app, asked.app)
            && (is(&only.kind, asked.kind) || is(&only.kind, asked.push_type))
            && is(&only.call, asked.call)
    }

    fn is_of_host(&self, host: Host) -> bool {
        host.providers().iter().any(|provider| self.host.is(*provider))
    }
}

/// A share of 100 draws nothing.
fn is_drawn(share: f64, clock: &Clock) -> bool {
    share >= 100.0 || lot(clock) < share / 100.0
}

fn between(least: Duration, most: Duration, clock: &Clock) -> Duration {
    if least == most { least } else { least + most.saturating_sub(least).mul_f64(lot(clock)) }
}

/// Evenly from 0 to just below 1.
fn lot(clock: &Clock) -> f64 {
    let mut random = [0; 4];
    clock.random(&mut random);
    f64::from(u32::from_le_bytes(random)) / (f64::from(u32::MAX) + 1.0)
}
