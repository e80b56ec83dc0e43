//! A load generator: what an invite costs a gateway that runs for real.
//!
//! Each on the same machine and in a process of its own: this one, a gateway (`bellwire serve`), the providers (`bellwire simulate`) and
//! perhaps a `redis-server`, so that the gateway's CPU time and memory can be told from everybody else's. `docs/PERFORMANCE.md`
//! says how to read the figures.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load
//! ```

mod bad_day;
#[path = "../shared/child.rs"]
mod child;
mod client;
mod figures;
mod people;
mod process;
mod pushes;
mod redis_server;
mod ringing;
mod scenario;
mod stage;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use figures::Figures;
use people::Pair;
use ringing::Plan;
use scenario::Load;
use stage::{Setting, Stage};

/// Whatever went wrong: the run is over then.
type Failure = Box<dyn Error + Send + Sync>;

/// How long the gateway is watched doing nothing, to know when it is idle.
const REST: Duration = Duration::from_secs(4);
/// How long calls ring that somebody ends.
const RING_SECONDS: u64 = 120;
/// How many devices each callee has.
const DEVICES: usize = 2;

/// Measures a gateway under load.
#[derive(Debug, Parser)]
struct Options {
    /// Where calls are kept.
    #[arg(long, value_enum, default_value_t = Stores::Embedded)]
    store: Stores,
    /// Seconds that each scenario takes at most.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections to the gateway, kept open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Callers and callees, and so the most calls of a scenario.
    #[arg(long, default_value_t = 30_000)]
    pairs: usize,
    /// Invites a second of the scenario at a steady rate; half of the greatest load if absent.
    #[arg(long)]
    rate: Option<f64>,
    /// Only this scenario; `ringing` and `bad-day` are not among the others.
    #[arg(long, value_enum)]
    only: Option<Scenario>,
    /// Calls that ring at once in `ringing`, 100,000 unless given, or that are made in `bad-day`, 10,000.
    #[arg(long)]
    calls: Option<usize>,
    /// Seconds over which the invites of `ringing`, and so the ends, are spread.
    #[arg(long, default_value_t = 60)]
    spread: u64,
    /// Seconds for which `ringing` watches the gateway do nothing, without calls and with all of them.
    #[arg(long, default_value_t = 30)]
    rest: u64,
    /// Print one JSON document in place of the table.
    #[arg(long)]
    json: bool,
    /// The gateway; by default the one that was built beside this program.
    #[arg(long)]
    bellwire: Option<PathBuf>,
    /// The program that is started for a store on Redis.
    #[arg(long, default_value = "redis-server")]
    redis_server: String,
    /// A command that the gateway is started with, such as "perf record -o FILE".
    #[arg(long)]
    wrap: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Embedded,
    Redis,
    /// One after the other.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Invites, as many as the gateway takes, and their cancels.
    Peak,
    /// Invites at a steady rate, and their cancels.
    Steady,
    /// Invite, ring, answer, hang-up.
    Whole,
    /// Many calls that ring at once and time out.
    Ringing,
    /// Three devices each, an Apple that takes 50 ms and cuts connections; then 3,000 invites in a second.
    BadDay,
}

impl Options {
    fn wants(&self, scenario: Scenario) -> bool {
        self.only.map_or(!matches!(scenario, Scenario::Ringing | Scenario::BadDay), |only| only == scenario)
    }

    fn bellwire(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.bellwire {
            return Ok(path.clone());
        }
        let own = std::env::current_exe()?;
        Ok(own.parent().and_then(|examples| examples.parent()).ok_or("no folder")?.join("bellwire"))
    }

    /// The stores by name, with the program that each needs.
    fn stores(&self) -> Vec<(&'static str, Option<&str>)> {
        let embedded = (self.store != Stores::Redis).then_some(("embedded", None));
        let redis = (self.store != Stores::Embedded).then_some(("redis", Some(self.redis_server.as_str())));
        embedded.into_iter().chain(redis).collect()
    }

    fn plan(&self) -> Plan {
        Plan { spread: Duration::from_secs(self.spread), rest: Duration::from_secs(self.rest) }
    }
}

// One thread: this program must leave as much of the machine as it can to the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut runs = Vec::new();
    for (store, redis_server) in options.stores() {
        let bad_day = options.wants(Scenario::BadDay);
        let setting = Setting {
            bellwire: &options.bellwire()?,
            wrap: options.wrap.as_deref(),
            devices: if bad_day { bad_day::DEVICES } else { DEVICES },
            faults: if bad_day { &bad_day::FAULTS } else { &[] },
        };
        let mut stage = Stage::start(&setting, redis_server).await?;
        let mut figures = Figures::new(store, &stage)?;
        figures.add_rest("no device", &stage.learn_rest(REST).await?);
        let measured = if options.wants(Scenario::Ringing) {
            ring(&options, &stage, &mut figures).await
        } else if bad_day {
            have_bad_day(&options, &stage, &mut figures).await
        } else {
            measure(&options, &stage, &mut figures).await
        };
        stage.stop()?;
        measured?;
        runs.push(figures);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&runs.iter().map(Figures::json).collect::<Vec<_>>())?);
    } else {
        for figures in &runs {
            print!("{figures}");
        }
    }
    Ok(())
}

/// A load by people who have registered.
async fn load<'a>(
    options: &Options,
    stage: &'a Stage,
    pairs: usize,
    time: Duration,
    ring_seconds: u64,
) -> Result<Load<'a>, Failure> {
    eprintln!("registering {} devices", pairs * stage.devices);
    let pairs: Vec<Pair> = (0..pairs).map(Pair::new).collect::<Result<_, _>>()?;
    let load = Load::new(stage, pairs, options.connections, time, ring_seconds);
    load.register().await?;
    Ok(load)
}

async fn ring(options: &Options, stage: &Stage, figures: &mut Figures) -> Result<(), Failure> {
    let plan = options.plan();
    let calls = options.calls.unwrap_or(100_000);
    let load = load(options, stage, calls, Duration::MAX, plan.ring_seconds()).await?;
    figures.add_ringing(&ringing::run(&load, stage, plan, calls).await?);
    figures.ended(stage).await
}

async fn have_bad_day(options: &Options, stage: &Stage, figures: &mut Figures) -> Result<(), Failure> {
    let calls = options.calls.unwrap_or(10_000);
    let load = load(options, stage, calls, Duration::MAX, RING_SECONDS).await?;
    figures.add_bad_day(bad_day::run(&load, stage, calls).await?);
    figures.ended(stage).await
}

async fn measure(options: &Options, stage: &Stage, figures: &mut Figures) -> Result<(), Failure> {
    let load = load(options, stage, options.pairs, Duration::from_secs(options.seconds), RING_SECONDS).await?;
    // The first calls pay for what is done once.
    let warm = load.peak(options.pairs.min(500)).await?;
    load.cancel(&warm).await?;

    let mut greatest = options.rate.map(|rate| rate * 2.0);
    if options.wants(Scenario::Peak) || (options.wants(Scenario::Steady) && greatest.is_none()) {
        eprintln!("invites, as many as the gateway takes");
        let peak = load.peak(options.pairs).await?;
        greatest = greatest.or(Some(peak.per_second()));
        figures.add("invites, greatest load", &peak);
        stage.pushes.after(&peak.invited).await?;
        figures.loaded(stage)?;
        figures.add("the caller cancels", &load.cancel(&peak).await?);
    }
    if let Some(greatest) = greatest.filter(|_| options.wants(Scenario::Steady)) {
        let rate = greatest / 2.0;
        eprintln!("invites, {rate:.0} a second");
        let steady = load.steady(rate).await?;
        figures.add("invites, steady", &steady);
        figures.add_pushes(&stage.pushes.after(&steady.invited).await?);
        figures.add("the caller cancels, again", &load.cancel(&steady).await?);
    }
    if options.wants(Scenario::Whole) {
        eprintln!("whole calls");
        figures.add("whole calls", &load.whole_calls().await?);
    }
    figures.ended(stage).await
}
