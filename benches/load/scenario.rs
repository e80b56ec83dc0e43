//! The loads: as much as the service takes, a rate whether it keeps up or not, all at once.
//!
//! Latency counts from when a thing was due, so one that had to wait for a connection is as slow as a caller would find it. A scenario lasts
//! until its time or its people are used up, and then until the service is idle: its CPU time is that of all the work, the pushes and their
//! results too.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::sync::{Mutex, mpsc};

use crate::Failure;
use crate::client::Client;
use crate::people::Pair;
use crate::stage::{Stage, Used};

/// A service and the people who call by it. Every call is of a pair of its own, so that nobody is busy.
pub struct Load<'a> {
    pub stage: &'a Stage,
    pub pairs: Vec<Pair>,
    pub connections: usize,
    /// How long calls ring.
    pub ring_seconds: u64,
    clock: Clock,
}

/// When things are due.
#[derive(Clone, Copy)]
pub enum Pace {
    /// The next one on each connection when the one before was answered.
    Greatest,
    /// So many a second.
    Rate(f64),
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
    /// Of each request, or of each whole call, in microseconds.
    pub latencies: Histogram<u64>,
    /// How long it took.
    pub took: Duration,
    /// What was used for it, until the service was idle.
    pub used: Used,
}

impl Calls {
    pub fn per_second(&self) -> f64 {
        count(self.number()) / self.took.as_secs_f64()
    }

    pub fn number(&self) -> usize {
        usize::try_from(self.latencies.len()).unwrap_or(usize::MAX)
    }
}

/// A count as a number to divide by.
pub fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Latencies up to an hour, to one part in a thousand.
pub fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 3_600_000_000, 3)?)
}

/// Which thing is due, and since when.
type Due = (usize, Instant, Timestamp);

/// Where connections find out what is due next.
enum Queue {
    Greatest { next: Cell<usize>, most: usize, until: Option<Instant>, clock: Clock },
    Rate(Mutex<mpsc::UnboundedReceiver<Due>>),
}

impl Queue {
    async fn next(&self) -> Option<Due> {
        match self {
            Self::Greatest { next, most, until, clock } => {
                let now = Instant::now();
                let index = next.replace(next.get() + 1);
                (index < *most && until.is_none_or(|until| now < until)).then(|| (index, now, clock.now()))
            }
            Self::Rate(due) => due.lock().await.recv().await,
        }
    }

    fn new(pace: Pace, most: usize, time: Duration, clock: &Clock) -> Self {
        let (start, clock) = (Instant::now(), clock.clone());
        let Pace::Rate(rate) = pace else {
            return Self::Greatest { next: Cell::new(0), most, until: start.checked_add(time), clock };
        };
        let (send, due) = mpsc::unbounded_channel();
        // A thread, because the runtime's timers are only good to a millisecond.
        std::thread::spawn(move || {
            for index in 0..most {
                let offset = Duration::from_secs_f64(count(index) / rate);
                if offset > time {
                    return;
                }
                std::thread::sleep((start + offset).saturating_duration_since(Instant::now()));
                if send.send((index, start + offset, clock.now())).is_err() {
                    return;
                }
            }
        });
        Self::Rate(Mutex::new(due))
    }
}

impl<'a> Load<'a> {
    pub fn new(stage: &'a Stage, pairs: Vec<Pair>, connections: usize, ring_seconds: u64) -> Self {
        Self { stage, pairs, connections, ring_seconds, clock: Clock::system() }
    }

    /// Registers every callee's devices.
    pub async fn register(&self) -> Result<(), Failure> {
        self.run(Pace::Greatest, self.pairs.len(), Duration::MAX, async |client, index, _| {
            self.pairs[index].register(client, self.stage.devices).await?;
            Ok(None)
        })
        .await
        .map(drop)
    }

    /// At most so many invites in a time.
    pub async fn invites(&self, pace: Pace, most: usize, time: Duration) -> Result<Calls, Failure> {
        self.run(pace, most, time, async |client, pair, due_at| {
            let (call, ring_until) = self.pairs[pair].invite(client, self.ring_seconds).await?;
            Ok(Some(Invited { pair, call, due_at, ring_until }))
        })
        .await
    }

    /// Invites by every pair at once, of callees who may be busy; and how many of them were not answered as they should.
    pub async fn rush(&self) -> Result<(Calls, usize), Failure> {
        let failed = Cell::new(0);
        let calls =
            self.run(Pace::Rate(f64::INFINITY), self.pairs.len(), Duration::MAX, async |client, pair, due_at| {
                let rings = match self.pairs[pair].try_invite(client, self.ring_seconds).await {
                    Ok(rings) => rings,
                    Err(error) => {
                        if failed.replace(failed.get() + 1) == 0 {
                            eprintln!("the first that failed: {error}");
                        }
                        return Ok(None);
                    }
                };
                Ok(rings.map(|(call, ring_until)| Invited { pair, call, due_at, ring_until }))
            });
        Ok((calls.await?, failed.get()))
    }

    /// Has the callers of all these calls give up.
    pub async fn cancel(&self, calls: &Calls) -> Result<Calls, Failure> {
        self.run(Pace::Greatest, calls.invited.len(), Duration::MAX, async |client, index, _| {
            let one = &calls.invited[index];
            self.pairs[one.pair].cancel(client, &one.call).await?;
            Ok(None)
        })
        .await
    }

    /// Invite, ring, answer and hang-up, one after the other.
    pub async fn whole_calls(&self, pace: Pace, time: Duration) -> Result<Calls, Failure> {
        self.run(pace, self.pairs.len(), time, async |client, pair, due_at| {
            let people = &self.pairs[pair];
            let (call, ring_until) = people.invite(client, self.ring_seconds).await?;
            people.alert(client, &call).await?;
            people.answer(client, &call).await?;
            people.hang_up(client, &call).await?;
            Ok(Some(Invited { pair, call, due_at, ring_until }))
        })
        .await
    }

    /// How late some of these calls timed out, in microseconds, as they say themselves: calls spread evenly over all, at most `most`.
    pub async fn lateness(&self, invited: &[Invited], most: usize) -> Result<Histogram<u64>, Failure> {
        let mut client = Client::connect(self.stage.service.address).await?;
        let mut lateness = histogram()?;
        for one in invited.iter().step_by(invited.len().div_ceil(most).max(1)) {
            let late = self.pairs[one.pair].lateness(&mut client, &one.call).await?;
            lateness.record(u64::try_from(late.as_micros())?)?;
        }
        Ok(lateness)
    }

    /// Does one thing at a time on every connection, at most `most` of them and none after `time`.
    async fn run(
        &self,
        pace: Pace,
        most: usize,
        time: Duration,
        one: impl AsyncFn(&mut Client, usize, Timestamp) -> Result<Option<Invited>, Failure>,
    ) -> Result<Calls, Failure> {
        // Fresh ones for every scenario: a service closes those that were idle meanwhile.
        let clients = (0..self.connections.min(most)).map(|_| Client::connect(self.stage.service.address));
        let mut clients = try_join_all(clients).await?;
        let before = self.stage.usage().await?;
        let (start, queue) = (Instant::now(), Queue::new(pace, most, time, &self.clock));
        let done = try_join_all(clients.iter_mut().map(async |client| {
            let mut done = Vec::new();
            while let Some((index, due, due_at)) = queue.next().await {
                let invited = one(client, index, due_at).await?;
                done.push((invited, due.elapsed()));
            }
            Ok::<_, Failure>(done)
        }));
        let done = done.await?;
        let took = start.elapsed();
        self.stage.idle().await?;
        let used = self.stage.used_since(&before).await?;
        let (mut invited, mut latencies) = (Vec::new(), histogram()?);
        for (call, latency) in done.into_iter().flatten() {
            latencies.record(u64::try_from(latency.as_micros())?)?;
            invited.extend(call);
        }
        Ok(Calls { invited, latencies, took, used })
    }
}
