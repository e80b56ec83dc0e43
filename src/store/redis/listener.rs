//! Listens to what the other instances announce, and finds out when something was lost.
//!
//! Sharded channels are heard at most once (<https://redis.io/docs/latest/develop/pubsub/#sharded-pubsub>). So the notices of a partition
//! are numbered: a gap shows with the next one, and a last one that was lost shows when the numbers are compared, every few seconds
//! for all partitions at once. That costs the same with one reader and with thousands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use redis::{PushInfo, PushKind, Value, cmd, from_redis_value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{broadcast, oneshot};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use super::client::{Client, Connection};
use super::keys::{Keys, PARTITIONS};
use super::link::{Link, in_words};
use super::notice::{self, Unsure};
use super::unreadable;
use crate::clock::Clock;
use crate::store::{Announcement, StoreError};

/// How often the numbers are compared; a last notice that was lost is repaired within twice this.
const COMPARE_EVERY: Duration = Duration::from_secs(5);
/// The pause before a subscription that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// What listening needs.
pub(super) struct Listener {
    pub(super) client: Arc<Client>,
    pub(super) link: Link,
    pub(super) keys: Arc<Keys>,
    pub(super) clock: Clock,
    pub(super) instance: String,
    pub(super) unsure: Unsure,
    pub(super) events: broadcast::Sender<Arc<Announcement>>,
    pub(super) timeout: Duration,
}

/// A subscription to every partition's channel.
struct Subscription {
    connection: Connection,
    pushes: UnboundedReceiver<PushInfo>,
    channels: HashMap<Vec<u8>, usize>,
    /// Partitions whose channel is not listened to: of a cluster, while their node is away.
    missing: HashSet<usize>,
    /// The last number heard of each partition.
    heard: Vec<u64>,
    /// What stood in the store at the last comparison, to be heard by the next one.
    expected: Vec<u64>,
}

impl Listener {
    /// Listens until it is aborted. `ready` hears when that has begun, or why it cannot.
    pub(super) async fn run(self, ready: oneshot::Sender<Result<(), StoreError>>) {
        let mut subscription = match self.subscribe().await {
            Ok(subscription) => {
                // Nobody waits if the gateway gave up starting.
                let _ = ready.send(Ok(()));
                subscription
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        loop {
            self.listen(subscription).await;
            subscription = loop {
                sleep(self.clock.jitter(AGAIN_AFTER)).await;
                match self.subscribe().await {
                    Ok(subscription) => break subscription,
                    Err(error) => tracing::warn!(%error, "events of other instances cannot be heard"),
                }
            };
            self.announce(Announcement::Lost);
        }
    }

    async fn subscribe(&self) -> Result<Subscription, StoreError> {
        let (sender, pushes) = unbounded_channel();
        let connection = match timeout(self.timeout, self.client.connect(Some(sender))).await {
            Ok(connection) => connection.map_err(|error| StoreError::Unavailable(in_words(&error)))?,
            Err(_) => return Err(StoreError::Unavailable("Redis did not answer in time".into())),
        };
        let channels =
            self.keys.all().map(|partition| (partition.one("events").into_bytes(), partition.number)).collect();
        let missing = (0..PARTITIONS).collect();
        let mut subscription =
            Subscription { connection, pushes, channels, missing, heard: Vec::new(), expected: Vec::new() };
        self.complete(&mut subscription).await?;
        // Notices that came before this are counted in and heard all the same.
        subscription.heard = self.numbers().await?;
        subscription.expected = subscription.heard.clone();
        Ok(subscription)
    }

    /// Listens to the channels that are missing; an error if there is none that can be listened to.
    async fn complete(&self, subscription: &mut Subscription) -> Result<(), StoreError> {
        let results = join_all(subscription.missing.iter().map(async |number| {
            let mut connection = subscription.connection.clone();
            let channel = self.keys.partition(*number).one("events");
            (*number, timeout(self.timeout, connection.subscribe(&channel)).await)
        }));
        let mut failure = String::new();
        for (number, result) in results.await {
            match result {
                Ok(Ok(())) => drop(subscription.missing.remove(&number)),
                Ok(Err(error)) => failure = in_words(&error),
                Err(_) => failure = "Redis did not answer in time".into(),
            }
        }
        if subscription.is_silent() { Err(StoreError::Unavailable(failure)) } else { Ok(()) }
    }

    /// Listens until nothing can be heard.
    async fn listen(&self, mut subscription: Subscription) {
        let (mut comparing, mut completing) = (every(COMPARE_EVERY), every(AGAIN_AFTER));
        while !subscription.is_silent() {
            let is_missing = !subscription.missing.is_empty();
            let complete = tokio::select! {
                push = subscription.pushes.recv() => match push {
                    Some(push) => self.hear(&push, &mut subscription),
                    None => return,
                },
                _ = completing.tick(), if is_missing => {
                    if self.complete(&mut subscription).await.is_err() {
                        return;
                    }
                    false
                }
                _ = comparing.tick() => self.compare(&mut subscription).await,
            };
            if !complete {
                self.announce(Announcement::Lost);
                // The one connection to a server loses nothing as long as it works: it may be half open, and is replaced.
                if matches!(subscription.connection, Connection::Node(_)) {
                    return;
                }
            }
        }
    }

    /// Says whether it shows that nothing was lost before.
    fn hear(&self, push: &PushInfo, subscription: &mut Subscription) -> bool {
        let partition = match push.data.first() {
            Some(Value::BulkString(channel)) => subscription.channels.get(channel).copied(),
            _ => None,
        };
        match (&push.kind, partition, push.data.get(1)) {
            (PushKind::SMessage, Some(partition), Some(Value::BulkString(text))) => {
                let Some((number, announcement)) = notice::read(text, &self.instance, &self.unsure) else {
                    return true;
                };
                if let Some(announcement) = announcement {
                    self.announce(announcement);
                }
                let heard = &mut subscription.heard[partition];
                let follows = number <= *heard + 1;
                *heard = number.max(*heard);
                return follows;
            }
            // The channel's slot has moved to another node.
            (PushKind::SUnsubscribe, Some(partition), _) => drop(subscription.missing.insert(partition)),
            // Of a cluster one cannot tell which channels were its node's.
            (PushKind::Disconnection, ..) => subscription.missing.extend(0..PARTITIONS),
            _ => {}
        }
        true
    }

    /// Says whether everything that stood in the store at the last comparison was heard, and no number went back, as it does
    /// where a fail-over loses commits.
    async fn compare(&self, subscription: &mut Subscription) -> bool {
        // While the store cannot be asked, nothing can be said; the next comparison will.
        let Ok(numbers) = self.numbers().await else { return true };
        let mut complete = true;
        for (partition, number) in numbers.iter().enumerate() {
            let heard = subscription.heard[partition];
            if heard < subscription.expected[partition].min(*number) || *number < heard {
                complete = false;
                subscription.missing.insert(partition);
                subscription.heard[partition] = *number;
            }
        }
        subscription.expected = numbers;
        complete
    }

    /// The number of the last notice of each partition.
    async fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let numbers = self.keys.all().map(async |partition| {
            let answer = self.link.ask(cmd("GET").arg(partition.one("notices"))).await?;
            Ok(from_redis_value::<Option<u64>>(answer).map_err(unreadable)?.unwrap_or_default())
        });
        try_join_all(numbers).await
    }

    fn announce(&self, announcement: Announcement) {
        // Without a reader nobody need know.
        let _ = self.events.send(Arc::new(announcement));
    }
}

impl Subscription {
    /// Whether nothing is listened to. A connection to one server that broke is never whole again; that to a cluster is.
    fn is_silent(&self) -> bool {
        self.missing.len() == PARTITIONS && matches!(self.connection, Connection::Node(_))
            || self.heard.is_empty() && self.missing.len() == PARTITIONS
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
