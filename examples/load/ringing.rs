//! Many calls that ring at once, until nobody has answered: what they cost while nothing happens to them, and how late they end.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use tokio::time::sleep;

use crate::Failure;
use crate::redis_server::RedisServer;
use crate::scenario::{Calls, Load, count};
use crate::stage::{Stage, Used};

/// The longest that a call may ring.
const LONGEST_RING: Duration = Duration::from_mins(2);
/// Between the invites and the rest, and between the rest and the first end.
const MARGIN: Duration = Duration::from_secs(5);
/// Calls that are asked how late they ended.
const ASKED: usize = 2000;

/// How it is to go.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Over how long the invites are spread, and so the ends.
    pub spread: Duration,
    /// How long nothing is asked of the gateway, before the calls and while they ring.
    pub rest: Duration,
}

/// What it came to.
pub struct Ringing {
    pub invites: Calls,
    /// Without calls, and with all of them.
    pub at_rest: [Used; 2],
    /// Before the calls, while they ring, and when all have ended.
    pub memory: [Memory; 3],
    /// How late calls said that they ended, in ms.
    pub ended: Vec<f64>,
    /// How long after the end of the ring each missed-call push was on the wire, in ms.
    pub missed: Vec<f64>,
    /// What was used for the ends, from the first one until the gateway was idle.
    pub ends: Used,
}

/// In megabytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Resident, of the gateway.
    pub gateway: f64,
    /// The embedded store's file, or the data in Redis.
    pub store: f64,
    /// Resident, of Redis.
    pub redis: Option<f64>,
}

impl Memory {
    async fn now(stage: &Stage) -> Result<Self, Failure> {
        let redis = stage.redis.as_ref().map(RedisServer::memory).transpose()?;
        Ok(Self { gateway: stage.memory()?, store: stage.store_size().await?, redis })
    }
}

impl Plan {
    /// How long each call rings: until all have been invited and the rest is over.
    pub fn ring_seconds(self) -> u64 {
        (self.spread + self.rest + 4 * MARGIN).min(LONGEST_RING).as_secs()
    }
}

/// Makes `calls` calls and waits for their end.
pub async fn run(load: &Load<'_>, stage: &Stage, plan: Plan, calls: usize) -> Result<Ringing, Failure> {
    eprintln!("nothing, for {} s", plan.rest.as_secs());
    stage.idle().await?;
    let (empty, before) = (stage.rest(plan.rest).await?, Memory::now(stage).await?);

    let rate = count(calls) / plan.spread.as_secs_f64();
    eprintln!("{calls} invites, {rate:.0} a second, each to ring for {} s", plan.ring_seconds());
    let invites = load.steady(rate).await?;
    stage.pushes.after(&invites.invited).await?;
    let first_end = invites.invited.iter().map(|one| one.ring_until).min().ok_or("no call")?;
    let last_end = invites.invited.iter().map(|one| one.ring_until).max().ok_or("no call")?;

    eprintln!("all of them ring; nothing else, for {} s", plan.rest.as_secs());
    if until(first_end) < plan.rest + MARGIN {
        return Err("the invites took too long: some calls would end while the gateway is to rest".into());
    }
    let (full, ringing) = (stage.rest(plan.rest).await?, Memory::now(stage).await?);

    sleep(until(first_end).saturating_sub(Duration::from_secs(1))).await;
    eprintln!("they time out, for {} s", until(last_end).as_secs());
    let start = stage.usage().await?;
    sleep(until(last_end)).await;
    stage.idle().await?;
    let ends = stage.used_since(&start).await?;
    let missed = stage.pushes.after_rings(&invites.invited).await?;
    let after = Memory::now(stage).await?;
    let ended = load.lateness(&invites.invited, ASKED).await?;
    Ok(Ringing { invites, at_rest: [empty, full], memory: [before, ringing, after], ended, missed, ends })
}

fn until(time: Timestamp) -> Duration {
    time.since(Clock::system().now())
}
