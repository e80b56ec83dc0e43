//! The loads: as much as the gateway takes, a steady rate, whole calls.
//!
//! Every call is of a pair of its own, so that nobody is busy. A scenario lasts until its time or its pairs are used up, and
//! then until the gateway is idle: its CPU time is that of all the work, the pushes and their results too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::Client;
use crate::people::Pair;
use crate::stage::{Stage, Use, Used};

/// A gateway and the people who call by it.
pub struct Load<'a> {
    stage: &'a Stage,
    pairs: Arc<[Pair]>,
    connections: usize,
    time: Duration,
    ring_seconds: u64,
    clock: Clock,
}

/// A call that was made.
pub struct Invited {
    pub pair: usize,
    pub call: String,
    /// When its invite was to be sent.
    pub due_at: Timestamp,
    pub ring_until: Timestamp,
}

/// What a scenario came to.
pub struct Calls {
    pub invited: Vec<Invited>,
    /// Of each request, or of each whole call, in ms.
    pub latencies: Vec<f64>,
    /// How long it took.
    pub took: Duration,
    /// What was used for it, until the gateway was idle.
    pub used: Used,
}

impl Calls {
    pub fn per_second(&self) -> f64 {
        count(self.latencies.len()) / self.took.as_secs_f64()
    }
}

/// A count as a number to divide by.
pub fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// One thing done on a connection, from when it was due.
struct Done {
    invited: Option<Invited>,
    latency: Duration,
}

impl<'a> Load<'a> {
    /// Each scenario takes at most `time`; calls ring for `ring_seconds`.
    pub fn new(stage: &'a Stage, pairs: Vec<Pair>, connections: usize, time: Duration, ring_seconds: u64) -> Self {
        Self { stage, pairs: pairs.into(), connections, time, ring_seconds, clock: Clock::system() }
    }

    /// Registers every callee's devices.
    pub async fn register(&self) -> Result<(), Failure> {
        let (pairs, devices) = (Arc::clone(&self.pairs), self.stage.devices);
        self.all(self.pairs.len(), Duration::MAX, move |pair, client| {
            let pairs = Arc::clone(&pairs);
            async move {
                pairs[pair].register(&mut *client.lock().await, devices).await?;
                Ok(None)
            }
        })
        .await
        .map(drop)
    }

    /// Invites, the next one on each connection when the one before was answered.
    pub async fn peak(&self, most: usize) -> Result<Calls, Failure> {
        let (pairs, clock, ring_seconds) = (Arc::clone(&self.pairs), self.clock.clone(), self.ring_seconds);
        self.all(most, self.time, move |pair, client| {
            let (pairs, due_at) = (Arc::clone(&pairs), clock.now());
            async move {
                let (call, ring_until) = pairs[pair].invite(&mut *client.lock().await, ring_seconds).await?;
                Ok(Some(Invited { pair, call, due_at, ring_until }))
            }
        })
        .await
    }

    /// How late some of these calls timed out, in ms, as they say themselves: calls spread evenly over all, at most `most`.
    pub async fn lateness(&self, invited: &[Invited], most: usize) -> Result<Vec<f64>, Failure> {
        let mut client = Client::connect(self.stage.address).await?;
        let mut lateness = Vec::new();
        for one in invited.iter().step_by(invited.len().div_ceil(most).max(1)) {
            lateness.push(self.pairs[one.pair].lateness(&mut client, &one.call).await?);
        }
        Ok(lateness)
    }

    /// Has the callers of all these calls give up.
    pub async fn cancel(&self, calls: &Calls) -> Result<Calls, Failure> {
        let ringing: Arc<[_]> = calls.invited.iter().map(|one| (one.pair, one.call.clone())).collect();
        let pairs = Arc::clone(&self.pairs);
        self.all(ringing.len(), Duration::MAX, move |index, client| {
            let (pairs, ringing) = (Arc::clone(&pairs), Arc::clone(&ringing));
            async move {
                let (pair, call) = &ringing[index];
                pairs[*pair].cancel(&mut *client.lock().await, call).await?;
                Ok(None)
            }
        })
        .await
    }

    /// Invite, ring, answer and hang-up, one after the other.
    pub async fn whole_calls(&self) -> Result<Calls, Failure> {
        let (pairs, clock, ring_seconds) = (Arc::clone(&self.pairs), self.clock.clone(), self.ring_seconds);
        self.all(self.pairs.len(), self.time, move |pair, client| {
            let (pairs, due_at) = (Arc::clone(&pairs), clock.now());
            async move {
                let (client, people) = (&mut *client.lock().await, &pairs[pair]);
                let (call, ring_until) = people.invite(client, ring_seconds).await?;
                people.alert(client, &call).await?;
                people.answer(client, &call).await?;
                people.hang_up(client, &call).await?;
                Ok(Some(Invited { pair, call, due_at, ring_until }))
            }
        })
        .await
    }

    /// Invites at a rate for as long as a scenario lasts.
    pub async fn steady(&self, rate: f64) -> Result<Calls, Failure> {
        self.at_rate(rate, self.pairs.len(), self.time).await
    }

    /// At most so many invites in a time at a rate, whether the gateway keeps up or not. Latency counts from when an invite was due,
    /// so one that had to wait for a connection is as slow as a caller would find it.
    pub async fn at_rate(&self, rate: f64, most: usize, time: Duration) -> Result<Calls, Failure> {
        let (due, ticks) = mpsc::unbounded_channel();
        let ticks = Arc::new(Mutex::new(ticks));
        let (most, ring_seconds, clock) = (most.min(self.pairs.len()), self.ring_seconds, self.clock.clone());
        let (connections, measure) = (self.connect().await?, self.measure().await?);
        // A thread, because the runtime's timers are only good to a millisecond.
        std::thread::spawn(move || {
            let start = Instant::now();
            for pair in 0..most {
                let offset = Duration::from_secs_f64(count(pair) / rate);
                if offset > time {
                    return;
                }
                std::thread::sleep((start + offset).saturating_duration_since(Instant::now()));
                if due.send((pair, start + offset, clock.now())).is_err() {
                    return;
                }
            }
        });
        let mut workers = JoinSet::new();
        for mut client in connections {
            let (ticks, pairs) = (Arc::clone(&ticks), Arc::clone(&self.pairs));
            workers.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let Some((pair, due, due_at)) = ticks.lock().await.recv().await else { return Ok(done) };
                    let (call, ring_until) = pairs[pair].invite(&mut client, ring_seconds).await?;
                    let invited = Some(Invited { pair, call, due_at, ring_until });
                    done.push(Done { invited, latency: due.elapsed() });
                }
            });
        }
        measure.finish(workers).await
    }

    /// Does one thing after the other on every connection, at most `most` and for at most `time`.
    async fn all<F, R>(&self, most: usize, time: Duration, one: F) -> Result<Calls, Failure>
    where
        F: Fn(usize, Arc<Mutex<Client>>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Option<Invited>, Failure>> + Send,
    {
        let (connections, measure) = (self.connect().await?, self.measure().await?);
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for client in connections {
            let client = Arc::new(Mutex::new(client));
            let (next, one, start) = (Arc::clone(&next), one.clone(), measure.start);
            workers.spawn(async move {
                let mut done = Vec::new();
                while start.elapsed() < time {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= most {
                        break;
                    }
                    let due = Instant::now();
                    let invited = one(index, Arc::clone(&client)).await?;
                    done.push(Done { invited, latency: due.elapsed() });
                }
                Ok(done)
            });
        }
        measure.finish(workers).await
    }

    /// Fresh ones for every scenario: the gateway closes those that were idle meanwhile.
    async fn connect(&self) -> Result<Vec<Client>, Failure> {
        let mut clients = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            clients.push(Client::connect(self.stage.address).await?);
        }
        Ok(clients)
    }

    async fn measure(&self) -> Result<Measure<'_>, Failure> {
        Ok(Measure { stage: self.stage, before: self.stage.usage().await?, start: Instant::now() })
    }
}

/// A scenario under way.
struct Measure<'a> {
    stage: &'a Stage,
    before: Use,
    start: Instant,
}

impl Measure<'_> {
    async fn finish(self, mut workers: JoinSet<Result<Vec<Done>, Failure>>) -> Result<Calls, Failure> {
        let mut all = Vec::new();
        while let Some(done) = workers.join_next().await {
            all.append(&mut done??);
        }
        let took = self.start.elapsed();
        self.stage.idle().await?;
        let used = self.stage.used_since(&self.before).await?;
        let latencies = all.iter().map(|one| one.latency.as_secs_f64() * 1e3).collect();
        Ok(Calls { invited: all.into_iter().filter_map(|one| one.invited).collect(), latencies, took, used })
    }
}
