//! The simulator's memory of what it was asked and what it answered, in order, bounded.
//!
//! Tokens stand in it in full, since tests and developers look for them; nothing here prints an authorization.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tokio::sync::watch;

use super::body::Body;
use super::count::{Count, Counts};
use super::lock;
use crate::domain::Timestamp;

/// Whom a request was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Apple's production host.
    Apns,
    /// Apple's sandbox host.
    ApnsSandbox,
    /// FCM.
    Fcm,
    /// Google's token endpoint.
    #[serde(rename = "oauth")]
    OAuth,
}

impl Provider {
    /// The name that rules, the record and the control port have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::ApnsSandbox => "apns-sandbox",
            Self::Fcm => "fcm",
            Self::OAuth => "oauth",
        }
    }
}

/// One request and its outcome. As JSON its authorization is cut short; `Debug` shows the outcome only.
#[derive(Serialize)]
pub struct Received {
    /// Counts all requests of this simulator, from 1.
    pub number: u64,
    /// When it had come in whole.
    pub at: Timestamp,
    /// Whom it was meant for.
    pub provider: Provider,
    /// Counts the connections of this simulator, from 1.
    pub connection: u64,
    /// The method.
    pub method: String,
    /// The path, with its query if there was one.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Headers,
    /// The body; of a form the fields, without the assertion; null if it is neither.
    pub body: Body,
    /// The size of the body.
    pub bytes: usize,
    /// The device token, installation id, topic or condition.
    pub target: Option<String>,
    /// The bundle id of its topic, or the package that it is restricted to.
    pub app: Option<String>,
    /// The `type` in its payload.
    pub kind: Option<String>,
    /// The call that it is about: `call_id` in its payload, or where there is none `uuid` or `id`.
    pub call: Option<String>,
    /// The status answered; 0 if nothing was.
    pub status: u16,
    /// Why it was not a plain success: the provider's word for it, or the fault's.
    pub reason: Option<String>,
}

impl Received {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// The headers of a request, as they came.
pub struct Headers(Box<[(HeaderName, HeaderValue)]>);

impl Headers {
    /// The first of this name, if it is text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name)?.1.to_str().ok()
    }
}

impl From<HeaderMap> for Headers {
    /// A map takes four times the memory.
    fn from(headers: HeaderMap) -> Self {
        let mut last = None;
        let named = headers.into_iter().filter_map(|(name, value)| {
            last = name.or(last.take());
            Some((last.clone()?, value))
        });
        Self(named.collect())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value))).finish()
    }
}

impl Serialize for Headers {
    /// Each once; the authorization's scheme alone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut texts: Vec<(&HeaderName, String)> = Vec::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            let text = String::from_utf8_lossy(value.as_bytes());
            match texts.last_mut().filter(|(last, _)| *last == name) {
                Some((_, all)) => all.extend([", ", &*text]),
                None => texts.push((name, text.into_owned())),
            }
        }
        let mut map = serializer.serialize_map(Some(texts.len()))?;
        for (name, text) in texts {
            if name == AUTHORIZATION {
                let scheme = text.split(' ').next().filter(|scheme| scheme.len() < text.len()).unwrap_or_default();
                map.serialize_entry(name.as_str(), format!("{scheme} …").trim_start())?;
            } else {
                map.serialize_entry(name.as_str(), &text)?;
            }
        }
        map.end()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("number", &self.number)
            .field("provider", &self.provider)
            .field("connection", &self.connection)
            .field("status", &self.status)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// The last requests of a simulator. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    capacity: usize,
    kept: Mutex<Kept>,
    /// How many there have been; tells followers of new ones.
    count: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    requests: VecDeque<Arc<Received>>,
    /// The number of the last one.
    last: u64,
    counts: Counts,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Inner { capacity: capacity.max(1), kept: Mutex::default(), count: watch::Sender::new(0) }))
    }

    /// Numbers a request and keeps it.
    pub(super) fn push(&self, mut received: Received) {
        let mut kept = lock(&self.0.kept);
        kept.last += 1;
        received.number = kept.last;
        kept.counts.add(&received);
        let number = received.number;
        let gone = if kept.requests.len() == self.0.capacity { kept.requests.pop_front() } else { None };
        kept.requests.push_back(Arc::new(received));
        drop(kept);
        // Without the lock, since it may take the last of it along.
        drop(gone);
        self.0.count.send_modify(|count| *count = number.max(*count));
    }

    /// The requests that are kept, oldest first.
    pub fn all(&self) -> Vec<Arc<Received>> {
        lock(&self.0.kept).requests.iter().cloned().collect()
    }

    /// Those after one of this number, oldest first.
    pub(super) fn after(&self, number: u64) -> Vec<Arc<Received>> {
        let kept = lock(&self.0.kept);
        let first = kept.requests.partition_point(|received| received.number <= number);
        kept.requests.range(first..).cloned().collect()
    }

    /// How many there were of each outcome, since the start or since they were forgotten.
    pub fn counts(&self) -> Vec<Count> {
        lock(&self.0.kept).counts.all()
    }

    /// Forgets all requests and their counts; numbers go on.
    pub fn forget(&self) {
        let mut kept = lock(&self.0.kept);
        let gone = std::mem::take(&mut kept.requests);
        kept.counts = Counts::default();
        drop(kept);
        drop(gone);
    }

    /// How many requests there have been, also those no longer kept.
    pub fn count(&self) -> u64 {
        *self.0.count.borrow()
    }

    /// The first request that `wanted` says yes to, of those that are kept and of those to come `within` a time.
    pub async fn wait_for(&self, within: Duration, wanted: impl Fn(&Received) -> bool) -> Option<Arc<Received>> {
        let mut follower = self.follow();
        let search = async {
            loop {
                let received = follower.next().await;
                if wanted(&received) {
                    return received;
                }
            }
        };
        tokio::time::timeout(within, search).await.ok()
    }

    /// Tells of each new request.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.0.count.subscribe()
    }

    /// Reads the log from the oldest request kept, and goes on with each new one.
    pub fn follow(&self) -> Follower {
        Follower { log: self.clone(), count: self.0.count.subscribe(), next: 1 }
    }

    /// The request of this number, or the oldest after it that is kept.
    fn find(&self, number: u64) -> Option<Arc<Received>> {
        let kept = lock(&self.0.kept);
        let index = number.saturating_sub(kept.requests.front()?.number);
        kept.requests.get(usize::try_from(index).ok()?).cloned()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} requests)", self.count())
    }
}

/// A reader of a [`Log`] who misses nothing, unless it is slower than the log is long.
pub struct Follower {
    log: Log,
    count: watch::Receiver<u64>,
    next: u64,
}

impl Follower {
    /// The next request, waiting for it if need be; for ever, if the simulator has stopped.
    pub async fn next(&mut self) -> Arc<Received> {
        loop {
            // Seen before looking, so that one which comes in between ends the wait.
            self.count.mark_unchanged();
            if let Some(received) = self.log.find(self.next) {
                self.next = received.number + 1;
                return received;
            }
            if self.count.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
