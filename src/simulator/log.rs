//! The simulator's memory of what it was asked and what it answered, in order, bounded.
//!
//! Tokens stand in it in full, since tests and developers look for them; nothing here prints an authorization.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::watch;

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
    #[serde(serialize_with = "printable")]
    pub headers: HeaderMap,
    /// The body; of a form the fields, without the assertion; null if it is neither.
    pub body: Value,
    /// The size of the body.
    pub bytes: usize,
    /// The device token, installation id, topic or condition.
    pub target: Option<String>,
    /// The status answered; 0 if nothing was.
    pub status: u16,
    /// Why it was not a plain success: the provider's word for it, or the fault's.
    pub reason: Option<String>,
}

impl Received {
    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
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
    kept: Mutex<VecDeque<Arc<Received>>>,
    /// How many there have been; tells followers of new ones.
    count: watch::Sender<u64>,
}

impl Log {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Inner { capacity: capacity.max(1), kept: Mutex::default(), count: watch::Sender::new(0) }))
    }

    /// Numbers a request and keeps it.
    pub(super) fn push(&self, mut received: Received) {
        let mut kept = lock(&self.0.kept);
        received.number = kept.back().map_or(1, |last| last.number + 1);
        let number = received.number;
        if kept.len() == self.0.capacity {
            kept.pop_front();
        }
        kept.push_back(Arc::new(received));
        drop(kept);
        self.0.count.send_modify(|count| *count = number.max(*count));
    }

    /// The requests that are kept, oldest first.
    pub fn all(&self) -> Vec<Arc<Received>> {
        lock(&self.0.kept).iter().cloned().collect()
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

    /// Reads the log from the oldest request kept, and goes on with each new one.
    pub fn follow(&self) -> Follower {
        Follower { log: self.clone(), count: self.0.count.subscribe(), next: 1 }
    }

    /// The request of this number, or the oldest after it that is kept.
    fn find(&self, number: u64) -> Option<Arc<Received>> {
        let kept = lock(&self.0.kept);
        let index = number.saturating_sub(kept.front()?.number);
        kept.get(usize::try_from(index).ok()?).cloned()
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

/// Each header once; the authorization's scheme alone.
fn printable<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(headers.keys_len()))?;
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let text = values.collect::<Vec<_>>().join(", ");
        if name == http::header::AUTHORIZATION {
            let scheme = text.split(' ').next().filter(|scheme| scheme.len() < text.len()).unwrap_or_default();
            map.serialize_entry(name.as_str(), format!("{scheme} …").trim_start())?;
        } else {
            map.serialize_entry(name.as_str(), &text)?;
        }
    }
    map.end()
}
