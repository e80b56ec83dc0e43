//! What the clients saw: every acknowledged call, and what each answer of a gateway said of it.
//!
//! What contradicts a promise by itself is noted as a violation at once; the rest is judged in the end by `check`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{LineWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bellwire::domain::{CallId, Timestamp};
use serde_json::Value;

use crate::client::{Ask, Reply, Rung, Verb};
use crate::report::{Kind, Violation};
use crate::view::View;
use crate::world::gateway::Version;

pub struct Ledger {
    notes: Mutex<Notes>,
    /// Where each request and answer is written, for whoever looks into a violation.
    journal: Option<Mutex<LineWriter<File>>>,
}

/// Everything noted.
#[derive(Default)]
pub struct Notes {
    pub calls: BTreeMap<CallId, Noted>,
    /// By idempotency key: what it was sent to, and the call that it stands for.
    pub invites: HashMap<String, Sent>,
    pub violations: Vec<Violation>,
    pub tally: Tally,
    pub unanswered: Vec<Unanswered>,
}

/// A request that somebody waited for in vain.
#[derive(Debug, Clone, Copy)]
pub struct Unanswered {
    pub gateway: usize,
    pub sent_at: Timestamp,
    pub until: Timestamp,
}

/// An invite on its way, by its key.
#[derive(Default)]
pub struct Sent {
    /// The gateways that it was sent to, and when.
    pub attempts: Vec<(usize, Timestamp)>,
    pub call: Option<CallId>,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub requests: usize,
    /// Answers of 503.
    pub unavailable: usize,
    /// Connections that were refused or broke off, and answers that did not come in time.
    pub broken: usize,
    /// Answers that a client threw away on purpose.
    pub thrown_away: usize,
    /// Requests sent twice at once.
    pub doubled: usize,
    /// Things tried that must be refused.
    pub tried: usize,
    /// Repeated and late inputs.
    pub repeated: usize,
    /// Answers of the other version of the gateway.
    pub of_other: usize,
    /// The longest that an answer took, a 503 included.
    pub slowest_ms: usize,
}

/// What is known of a call.
pub struct Noted {
    /// As it was acknowledged first.
    pub first: View,
    /// How long it was to ring, in seconds.
    pub ring_seconds: Option<u64>,
    /// The other party is on a call, so it may end as busy.
    pub may_be_busy: bool,
    /// The callee's phones.
    pub phones: Vec<Rung>,
    /// The devices that were told that they have answered.
    pub winners: BTreeSet<String>,
    /// The devices that were told that another one has.
    pub losers: BTreeSet<String>,
    /// The devices that have spoken.
    pub spoke: BTreeSet<String>,
    /// What was asked that ends a call, and when first.
    pub wishes: Vec<(Verb, Timestamp)>,
    /// How it ended, as it was told first, and when that was.
    pub over: Option<(View, Timestamp)>,
    /// Who got a token to join, and when they had asked for it.
    pub grants: Vec<Grant>,
    /// The versions of the gateway that have taken a step of it, as far as clients were told.
    pub carried_by: BTreeSet<Version>,
}

/// A token to join a call.
#[derive(Debug, Clone)]
pub struct Grant {
    pub user: String,
    pub device: Option<String>,
    pub asked_at: Timestamp,
}

impl Ledger {
    /// An empty one, with a journal in this file if there is one.
    pub fn new(journal: Option<File>) -> Self {
        Self { notes: Mutex::default(), journal: journal.map(|file| Mutex::new(LineWriter::new(file))) }
    }

    pub fn locked(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line into the journal; a disk that is full ends it.
    pub fn write(&self, line: impl FnOnce() -> String) {
        if let Some(journal) = &self.journal {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(journal, "{}", line());
        }
    }

    pub fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.locked().tally);
    }

    /// A request goes out.
    pub fn sending(&self, ask: &Ask, gateway: usize, at: Timestamp) {
        self.write(|| format!("{at} to {gateway}: {ask}"));
        let mut notes = self.locked();
        notes.tally.requests += 1;
        if let Some(key) = &ask.key {
            notes.invites.entry(key.clone()).or_default().attempts.push((gateway, at));
        }
        if let Some(call) = ask.call {
            notes.wish(call, ask.verb, at);
        }
    }

    /// An earlier call of the caller is to end by what follows.
    pub fn wish(&self, call: CallId, verb: Verb, at: Timestamp) {
        self.locked().wish(call, verb, at);
    }

    /// The phones of this call will say that they are busy.
    pub fn may_be_busy(&self, call: CallId) {
        if let Some(noted) = self.locked().calls.get_mut(&call) {
            noted.may_be_busy = true;
        }
    }

    /// Nothing came back from a gateway.
    pub fn unanswered(&self, gateway: usize, sent_at: Timestamp, until: Timestamp) {
        let mut notes = self.locked();
        notes.tally.broken += 1;
        notes.unanswered.push(Unanswered { gateway, sent_at, until });
    }

    /// A client has read an answer.
    pub fn note(&self, ask: &Ask, reply: &Reply) {
        self.write(|| format!("{} from {}: {ask}: {} {}", reply.at, reply.gateway, reply.status, told(reply)));
        let mut notes = self.locked();
        notes.tally.of_other += usize::from(reply.version == Version::Other);
        if reply.body["code"] == "caller-busy" && !ask.may_be_busy {
            let seen = format!("{} is told to be on a call: {}", ask.user, reply.body["detail"]);
            notes.violation(Kind::Lines, None, seen);
        } else if !is_expected(ask, reply) {
            let seen = format!("{:?} was answered {}: {}", ask.verb, reply.status, reply.body);
            notes.violation(Kind::Answers, ask.call, seen);
        }
        let view = View::of(&reply.body);
        let Some(id) = ask.call.or(view.as_ref().map(|view| view.id)) else { return };
        if ask.verb == Verb::Invite
            && let Some(view) = &view
        {
            notes.acknowledge(ask, view);
        }
        let Some(noted) = notes.calls.get_mut(&id) else { return };
        let mut wrong = noted.read(ask, reply);
        if let Some(view) = view {
            wrong.extend(noted.look(view, reply));
        }
        for (kind, seen) in wrong {
            notes.violation(kind, Some(id), seen);
        }
    }
}

/// What an answer says, in few words.
fn told(reply: &Reply) -> String {
    let body = &reply.body;
    match View::of(body) {
        Some(view) => format!("{} {} {:?} {:?}", view.id, view.state, view.end_reason, view.answered_by),
        None => format!("{} {}", body["code"], body["detail"]),
    }
}

/// What may be answered: what was asked for, or that it comes too late. What must be refused is refused in more ways.
fn is_expected(ask: &Ask, reply: &Reply) -> bool {
    match reply.status {
        200 | 201 | 409 => true,
        403 => ask.verb == Verb::Token,
        404 => ask.is_tried,
        _ => false,
    }
}

impl Notes {
    pub fn violation(&mut self, kind: Kind, call: Option<CallId>, seen: impl Into<String>) {
        self.violations.push(Violation { kind, call, seen: seen.into() });
    }

    /// How many calls both versions of the gateway have taken steps of.
    pub fn carried_by_both(&self) -> usize {
        self.calls.values().filter(|noted| noted.carried_by.len() == 2).count()
    }

    fn wish(&mut self, call: CallId, verb: Verb, at: Timestamp) {
        if let Some(noted) = self.calls.get_mut(&call)
            && verb.ends()
        {
            noted.wishes.push((verb, at));
        }
    }

    /// An invite has its call.
    fn acknowledge(&mut self, ask: &Ask, view: &View) {
        let Some(key) = &ask.key else { return };
        let sent = self.invites.entry(key.clone()).or_default();
        let known = *sent.call.get_or_insert(view.id);
        if known != view.id {
            self.violation(Kind::Replay, Some(view.id), format!("the same invite gave the call {known} before"));
        }
        let from_asker = view.caller == ask.user;
        let noted = self.calls.entry(view.id).or_insert_with(|| Noted {
            first: view.clone(),
            ring_seconds: None,
            may_be_busy: false,
            phones: Vec::new(),
            winners: BTreeSet::new(),
            losers: BTreeSet::new(),
            spoke: BTreeSet::new(),
            wishes: Vec::new(),
            over: None,
            grants: Vec::new(),
            carried_by: BTreeSet::new(),
        });
        if from_asker && noted.ring_seconds.is_none() {
            noted.ring_seconds = ask.body["ring_seconds"].as_u64();
            noted.phones.clone_from(&ask.rung);
            noted.may_be_busy = ask.may_be_busy;
        }
    }
}

impl Noted {
    /// Notes what an answer says to who asked.
    fn read(&mut self, ask: &Ask, reply: &Reply) -> Vec<(Kind, String)> {
        let mut wrong = Vec::new();
        if ask.verb.is_step() && matches!(reply.status, 200 | 201) {
            self.carried_by.insert(reply.version);
        }
        if reply.body["livekit"]["token"].is_string() {
            let (user, device) = (ask.user.clone(), ask.device.clone());
            self.grants.push(Grant { user, device, asked_at: reply.sent_at });
        }
        if let Some(device) = ask.device.clone().filter(|_| ask.verb.is_of_device()) {
            match (reply.status, reply.body["code"].as_str()) {
                (200, _) => {
                    if ask.verb == Verb::Answer {
                        self.winners.insert(device.clone());
                    }
                    self.spoke.insert(device);
                }
                (409, Some("answered-elsewhere")) => {
                    self.losers.insert(device);
                }
                _ => {}
            }
        }
        if let (Value::String(reason), Some((view, _))) = (&reply.body["end_reason"], &self.over)
            && reply.status == 409
            && !view.ended_as(reason)
        {
            wrong.push((Kind::Replay, format!("it ended as {:?}, and later as {reason}", view.end_reason)));
        }
        wrong
    }

    /// Notes what is seen of the call.
    fn look(&mut self, view: View, reply: &Reply) -> Option<(Kind, String)> {
        match &self.over {
            None if view.is_ended() => self.over = Some((view, reply.at)),
            Some((over, _)) if view.is_ended() && *over != view => {
                return Some((Kind::Replay, format!("it had ended, and changed: {over:?}, then {view:?}")));
            }
            Some((_, seen_at)) if !view.is_ended() && reply.sent_at > *seen_at => {
                return Some((Kind::Replay, format!("it had ended, and is {} again", view.state)));
            }
            _ => {}
        }
        None
    }
}
