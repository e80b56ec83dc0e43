//! What the providers saw: every push with its time, for the checks, and the tickets in them, for the phones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::domain::{CallId, Timestamp};
use bellwire::simulator::{Log, Provider, Received};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::people::{Person, Phone};

/// One push, as the provider saw it.
#[derive(Debug, Clone)]
pub struct Push {
    /// The token of the phone.
    pub target: String,
    /// It makes the phone ring; else it says that it need not, or of a missed call.
    pub is_ring: bool,
    /// When it had come in.
    pub at: Timestamp,
    /// When the gateway wrote it.
    pub begun: Timestamp,
    /// Until when the provider keeps it.
    pub expires: Timestamp,
    /// What the provider answered; 0 if nothing.
    pub status: u16,
}

impl Push {
    pub fn is_accepted(&self) -> bool {
        self.status == 200
    }

    /// The provider has said that it never will take it.
    pub fn is_refused_for_good(&self) -> bool {
        matches!(self.status, 400 | 404 | 410)
    }

    pub fn is_settled(&self) -> bool {
        self.is_accepted() || self.is_refused_for_good()
    }
}

/// A connection on which a provider has fallen silent.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    pub at: Timestamp,
    pub is_iphone: bool,
}

/// All pushes so far.
#[derive(Default)]
pub struct Pushes(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    calls: HashMap<CallId, OfCall>,
    /// Since when a token has been dead to its provider.
    refused: HashMap<String, Timestamp>,
    silences: Vec<Silence>,
    count: usize,
    /// Requests that left the simulator's log unread: the run proves nothing then.
    missed: u64,
}

#[derive(Default)]
struct OfCall {
    pushes: Vec<Push>,
    /// By token of the phone.
    tickets: HashMap<String, String>,
    arrived: Arc<Notify>,
}

impl Pushes {
    /// Reads the simulator's log for ever.
    pub async fn follow(&self, log: &Log, people: &[Person]) {
        let mut follower = log.follow();
        let mut next = 1;
        loop {
            let received = follower.next().await;
            self.locked().missed += received.number - next;
            next = received.number + 1;
            self.note(&received, people);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, received: &Received, people: &[Person]) {
        let is_iphone = received.provider != Provider::Fcm;
        let data = if is_iphone { &received.body } else { &received.body["message"]["data"] };
        let mut seen = self.locked();
        if received.reason.as_deref() == Some("half-open") {
            seen.silences.push(Silence { at: received.at, is_iphone });
        }
        let Some((call, push)) = push(received, is_iphone, data) else { return };
        if push.is_refused_for_good() {
            seen.refused.entry(push.target.clone()).or_insert(push.at);
            if let Some(phone) = phone(people, &push.target) {
                phone.refuse();
            }
        }
        seen.count += 1;
        let of_call = seen.calls.entry(call).or_default();
        if push.is_ring
            && push.is_accepted()
            && let Some(ticket) = data["ticket"].as_str()
        {
            of_call.tickets.insert(push.target.clone(), ticket.to_owned());
        }
        of_call.pushes.push(push);
        of_call.arrived.notify_waiters();
    }

    /// The ticket in the ring of this token, once the phone has it; not for longer than this.
    pub async fn ticket(&self, call: CallId, token: &str, within: Duration) -> Option<String> {
        let search = async {
            loop {
                let arrived = Arc::clone(&self.locked().calls.entry(call).or_default().arrived);
                let mut next = std::pin::pin!(arrived.notified());
                next.as_mut().enable();
                let found = self.locked().calls.get(&call).and_then(|of_call| of_call.tickets.get(token).cloned());
                if let Some(ticket) = found {
                    return ticket;
                }
                next.await;
            }
        };
        timeout(within, search).await.ok()
    }

    /// The pushes of a call, as they came.
    pub fn of_call(&self, call: CallId) -> Vec<Push> {
        self.locked().calls.get(&call).map(|of_call| of_call.pushes.clone()).unwrap_or_default()
    }

    /// The calls of which there were pushes.
    pub fn calls(&self) -> Vec<CallId> {
        let seen = self.locked();
        seen.calls.iter().filter(|(_, of_call)| !of_call.pushes.is_empty()).map(|(call, _)| *call).collect()
    }

    /// Since when a token has been dead, if it is.
    pub fn refused_at(&self, token: &str) -> Option<Timestamp> {
        self.locked().refused.get(token).copied()
    }

    pub fn silences(&self) -> Vec<Silence> {
        self.locked().silences.clone()
    }

    pub fn count(&self) -> usize {
        self.locked().count
    }

    /// How many requests to the simulator were not read.
    pub fn missed(&self) -> u64 {
        self.locked().missed
    }
}

fn push(received: &Received, is_iphone: bool, data: &Value) -> Option<(CallId, Push)> {
    // APNs' payloads have numbers, FCM's texts.
    let millis = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        Some(Timestamp::from_millis(number))
    };
    let call = CallId::parse(data["call_id"].as_str()?).ok()?;
    let begun = millis(&data["server_time"])?;
    let expires = if is_iphone {
        let seconds: u64 = received.header("apns-expiration")?.parse().ok()?;
        Timestamp::from_millis(seconds * 1000)
    } else {
        let seconds = received.body["message"]["android"]["ttl"].as_str()?.strip_suffix('s')?.parse().ok()?;
        begun + Duration::from_secs(seconds)
    };
    let push = Push {
        target: received.target.clone()?,
        is_ring: data["type"] == "ring",
        at: received.at,
        begun,
        expires,
        status: received.status,
    };
    Some((call, push))
}

fn phone<'a>(people: &'a [Person], token: &str) -> Option<&'a Phone> {
    let mut phones = people.iter().flat_map(|person| &person.phones);
    phones.find(|phone| phone.ring_token() == token || phone.notice_token() == token)
}
