//! What a push costs: Bellwire's transport beside a bare hyper HTTP/2 client that sends the same requests.
//!
//! `cargo run --release --example pushes [pushes a round] [concurrency] [rounds]`. The simulator is a process of its own; CPU is user and
//! system time of this one. Rounds of the two take turns, so that a machine that slows down slows both.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod bare;
mod ours;
#[path = "../shared/process.rs"]
#[expect(dead_code, reason = "only CPU is measured here")]
mod process;
#[path = "../shared/child.rs"]
#[expect(dead_code, reason = "only started and killed here")]
mod shared;
mod stage;

use std::time::{Duration, Instant};

use bare::Bare;
use ours::Ours;
use stage::Stage;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Ours may cost so many times what the bare client costs.
const TARGET: f64 = 1.5;

/// One client's rounds.
#[derive(Default)]
struct Rounds(Vec<(f64, f64)>);

impl Rounds {
    /// Pushes a second, and CPU microseconds a push, each the median.
    fn medians(&self) -> (f64, f64) {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        (median(self.0.iter().map(|round| round.0).collect()), median(self.0.iter().map(|round| round.1).collect()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, folder] = arguments.as_slice()
        && command == "simulator"
    {
        return stage::simulate(folder.as_ref()).await;
    }
    let number = |index: usize, default: u32| arguments.get(index).map_or(Ok(default), |text| text.parse());
    let (pushes, concurrency, rounds) = (number(0, 100_000)?, number(1, 64)?, number(2, 5)?);
    bellwire::crypto::install()?;
    let stage = Stage::start()?;
    let (ours, bare) = (Ours::start(&stage).await?, Bare::start(&stage).await?);
    println!("{pushes} pushes a round, {concurrency} at a time, {rounds} rounds of each, 2 connections");
    // Handshakes, caches, and the clock of the processor.
    ours.round(pushes / 10, concurrency).await?;
    bare.round(pushes / 10, concurrency).await?;
    let (mut of_ours, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        of_bare.0.push(measured(pushes, bare.round(pushes, concurrency)).await?);
        of_ours.0.push(measured(pushes, ours.round(pushes, concurrency)).await?);
    }
    let (ours, bare) = (of_ours.medians(), of_bare.medians());
    println!("bare hyper  {:>7.0} pushes/s  {:>6.1} us CPU a push", bare.0, bare.1);
    println!("bellwire    {:>7.0} pushes/s  {:>6.1} us CPU a push", ours.0, ours.1);
    let times = ours.1 / bare.1;
    println!("{times:.2} times the CPU; the target is at most {TARGET}");
    Ok(())
}

/// Pushes a second and CPU microseconds a push.
async fn measured(pushes: u32, round: impl Future<Output = Result<(), Failure>>) -> Result<(f64, f64), Failure> {
    let (started, before) = (Instant::now(), used()?);
    round.await?;
    let (took, used) = (started.elapsed(), used()?.saturating_sub(before));
    let pushes = f64::from(pushes);
    Ok((pushes / took.as_secs_f64(), used.as_secs_f64() * 1e6 / pushes))
}

fn used() -> Result<Duration, Failure> {
    process::cpu(std::process::id())
}
