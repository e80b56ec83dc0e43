//! Many calls that ring at once, until nobody has answered: what they cost while nothing happens to them, and how late they end.

use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Failure;
use crate::figures::{Row, Spread};
use crate::redis_server::RedisServer;
use crate::rows::Rows;
use crate::scenario::{Load, Pace, count};
use crate::stage::{Stage, Used};

/// How long the calls may ring: until all have been invited and the rest is over.
pub const RING_SECONDS: u64 = 120;
/// How long nothing is asked of the service, before the calls and while they ring.
const REST: Duration = Duration::from_secs(10);
/// Between the rest and the first end.
const MARGIN: Duration = Duration::from_secs(3);
/// Calls that are asked how late they ended.
const ASKED: usize = 2000;
/// The scenarios' names.
const INVITES: &str = "ringing: invites";
const TIMEOUTS: &str = "ringing: timeouts";

/// Has every pair call, at this rate, and waits for their end.
pub async fn run(load: &Load<'_>, stage: &Stage, rate: f64, rows: &mut Rows) -> Result<(), Failure> {
    let calls = load.pairs.len();
    rows.doing(INVITES);
    stage.idle().await?;
    let (empty, before) = (stage.rest(REST).await?, memory(stage).await?);
    let invites = load.invites(Pace::Rate(rate), calls, Duration::MAX).await?;
    stage.pushes.after(&invites.invited).await?;
    let first_end = invites.invited.iter().map(|one| one.ring_until).min().ok_or("no call")?;
    let last_end = invites.invited.iter().map(|one| one.ring_until).max().ok_or("no call")?;
    if until(first_end) < REST + MARGIN {
        return Err("the invites took too long: some calls would end while the service is to rest".into());
    }
    let (full, ringing) = (stage.rest(REST).await?, memory(stage).await?);
    let of = |memory: &Value, part: &str| memory[part].as_f64().unwrap_or_default();
    let each = |part: &str| (of(&ringing, part) - of(&before, part)) * 1024.0 / count(calls);
    let facts = json!({"service": each("service"), "store": each("store")});
    rows.add(
        Row::of_calls(INVITES, &invites, stage)?
            .with("memory before, MB", before)
            .with("memory while all ring, MB", ringing)
            .with("each call, KB", facts)
            .with("at rest without a call", at_rest(&empty))
            .with("at rest while all ring", at_rest(&full)),
    )?;

    rows.doing(TIMEOUTS);
    sleep(until(first_end).saturating_sub(Duration::from_secs(1))).await;
    eprintln!("they time out, for {} s", until(last_end).as_secs());
    let start = stage.usage().await?;
    sleep(until(last_end)).await;
    stage.idle().await?;
    let ends = stage.used_since(&start).await?;
    let missed = stage.pushes.after_rings(&invites.invited).await?;
    let late = Spread::of(&load.lateness(&invites.invited, ASKED).await?);
    let ends_a_second = count(calls) / ends.took.as_secs_f64();
    rows.add(
        Row::new(TIMEOUTS, calls, ends_a_second, late, &ends, stage)?
            .with("missed-call push after the ring, ms", Spread::of(&missed).json())
            .with("memory after, MB", memory(stage).await?),
    )
}

/// In megabytes: resident, of the service; the embedded store's file or the data in Redis; resident, of Redis.
async fn memory(stage: &Stage) -> Result<Value, Failure> {
    let redis = stage.redis.as_ref().map(RedisServer::memory).transpose()?;
    Ok(json!({"service": stage.memory()?, "store": stage.store_size().await?, "redis": redis}))
}

/// Parts of a core, and what came to Redis in a second.
pub fn at_rest(used: &Used) -> Value {
    let seconds = used.took.as_secs_f64();
    let redis = used.redis.as_ref().map(|redis| {
        json!({
            "of_core": redis.cpu.as_secs_f64() / seconds, "commands_per_second": redis.all() / seconds,
            "bytes_in_per_second": redis.input / seconds,
        })
    });
    json!({"service_of_core": used.of_core(), "redis": redis})
}

fn until(time: Timestamp) -> Duration {
    time.since(Clock::system().now())
}
