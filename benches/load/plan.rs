//! What is done to a service in a round: which scenarios share a stage, and how many people each has.

use std::time::Duration;

use crate::figures::{Row, Spread};
use crate::people::Pair;
use crate::scenario::{Load, count, histogram};
use crate::services::{Programs, Service};
use crate::stage::{Setting, Stage};
use crate::storm::Crowd;
use crate::{Failure, Options, Scenario, ringing, slow, streams};

/// How long a service is watched doing nothing, to know when it is idle.
const REST: Duration = Duration::from_secs(2);
/// How long calls ring that somebody ends.
const RING_SECONDS: u64 = 120;
/// How many devices each callee has.
const DEVICES: usize = 2;
/// How often it is tried how long a start takes.
const STARTS: usize = 5;
/// Callees of `slow`.
const SLOW_CALLS: usize = 10_000;
/// Invites a second of `ringing`.
const RINGING_RATE: f64 = 1500.0;

/// Runs what was asked for and what this service can do.
pub async fn run(options: &Options, programs: &Programs, service: Service, round: usize) -> Result<Vec<Row>, Failure> {
    use Scenario::{Calls, Hot, Memory, Rates, Ringing, Slow, Start, Storm, Streams};
    let wants = |scenario: Scenario| options.only.contains(&scenario) && service.can(scenario);
    let (mut rows, first) = (Vec::new(), round == 0);
    let plain = Setting { service, wrap: options.wrap.as_deref(), devices: DEVICES, faults: &[] };
    let measured_once = [Calls, Hot, Memory].into_iter().filter(|scenario| wants(*scenario) && first);
    let together: Vec<Scenario> =
        [Storm, Rates].into_iter().filter(|scenario| wants(*scenario)).chain(measured_once).collect();
    if !together.is_empty() {
        let stage = stage(programs, &plain).await?;
        let started = stage.memory()?;
        let load = load(options, &stage, options.pairs, RING_SECONDS).await?;
        let crowd = Crowd { options, load, started, cancels: service.can(Calls) };
        rows.extend(crowd.run(&together).await?);
        drop(crowd);
        stage.stop()?;
    }
    if first && (wants(Streams) || wants(Start)) {
        let mut stage = stage(programs, &plain).await?;
        if wants(Streams) {
            for transport in service.transports() {
                stage.restart()?;
                rows.extend(streams::run(&stage, options.streams, *transport).await?);
            }
        }
        if wants(Start) {
            rows.push(starts(&mut stage).await?);
        }
        stage.stop()?;
    }
    if first && wants(Slow) {
        let setting = Setting { devices: slow::DEVICES, faults: &slow::FAULTS, ..plain };
        let stage = stage(programs, &setting).await?;
        rows.extend(slow::run(&load(options, &stage, SLOW_CALLS, RING_SECONDS).await?, &stage).await?);
        stage.stop()?;
    }
    if first && wants(Ringing) {
        let stage = stage(programs, &plain).await?;
        let load = load(options, &stage, options.calls, ringing::RING_SECONDS).await?;
        rows.extend(ringing::run(&load, &stage, RINGING_RATE).await?);
        drop(load);
        stage.stop()?;
    }
    Ok(rows)
}

async fn stage(programs: &Programs, setting: &Setting<'_>) -> Result<Stage, Failure> {
    let mut stage = Stage::start(programs, setting).await?;
    stage.learn_rest(REST).await?;
    Ok(stage)
}

/// A load by people who have registered.
async fn load<'a>(options: &Options, stage: &'a Stage, pairs: usize, ring_seconds: u64) -> Result<Load<'a>, Failure> {
    let pairs = (0..pairs).map(Pair::new).collect::<Result<_, _>>()?;
    let load = Load::new(stage, pairs, options.connections, ring_seconds);
    load.register().await?;
    Ok(load)
}

/// How soon it is ready, with everything else there already.
async fn starts(stage: &mut Stage) -> Result<Row, Failure> {
    let (mut times, before) = (histogram()?, stage.usage().await?);
    for _ in 0..STARTS {
        stage.restart()?;
        times.record(u64::try_from(stage.service.ready_after.as_micros())?)?;
    }
    let used = stage.used_since(&before).await?;
    Row::new("start to ready", STARTS, count(STARTS) / used.took.as_secs_f64(), Spread::of(&times), &used, stage)
}
