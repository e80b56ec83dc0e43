//! The chaos run: gateways that share a store are killed, their store is killed, their wires are cut and their providers fail, while
//! a thousand users call one another. Then every promise that Bellwire makes is checked from outside.
//!
//! docs/RELIABILITY.md says what is broken, what is checked, and how it was seen that the checks can fail.
//!
//! ```sh
//! cargo build --release && cargo run --release --example chaos -- --seconds 60
//! ```

#[path = "../shared/child.rs"]
mod child;

mod check;
mod client;
mod dice;
mod faults;
mod finish;
mod ledger;
mod people;
mod pushes;
mod reader;
mod report;
mod scene;
mod view;
mod watch;
mod world;

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use clap::Parser;
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use client::Client;
use dice::Dice;
use ledger::Ledger;
use people::Person;
use pushes::Pushes;
use reader::Readers;
use report::Report;
use scene::{Script, Stage};
use watch::Watch;
use world::{Programs, Store, World};

/// Whatever went wrong with the run itself.
type Failure = Box<dyn Error + Send + Sync>;

/// Registrations under way at once.
const AT_ONCE: usize = 16;
/// How long scenes may go on after the last one began.
const SCENES_END_WITHIN: Duration = Duration::from_mins(2);

/// Breaks everything, and checks every promise.
#[derive(Debug, Parser)]
struct Options {
    /// How long things are broken.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Users, each with one phone to three; at least 6.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(6..))]
    users: u32,
    /// Scenes a second; most are one call, some two.
    #[arg(long, default_value_t = 35.0)]
    rate: f64,
    /// Decides who does what; drawn if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Gateways on the store.
    #[arg(long, default_value_t = 3)]
    gateways: usize,
    /// Users who read their events all the time.
    #[arg(long, default_value_t = 250)]
    readers: usize,
    /// Seconds between kills of gateways, about.
    #[arg(long, default_value_t = 4.0)]
    kill_every: f64,
    /// Seconds between restarts of Redis, about.
    #[arg(long, default_value_t = 15.0)]
    restart_redis_every: f64,
    /// What the gateways keep calls in.
    #[arg(long, value_enum, default_value_t = Store::Redis)]
    store: Store,
    /// With fewer calls, the run has failed.
    #[arg(long, default_value_t = 0)]
    calls: usize,
    /// Print one JSON document in place of the table.
    #[arg(long)]
    json: bool,
    /// The gateway; by default the one that was built beside this program.
    #[arg(long)]
    bellwire: Option<PathBuf>,
    /// Another version of the gateway, which an upgrade comes from and goes back to: some gateways are of it, and each becomes the one and
    /// the other. It is not told the keys of the configuration that it does not know.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Keep the files of the run, logs among them, and say where.
    #[arg(long)]
    keep: bool,
}

impl Options {
    fn programs(&self) -> Result<Programs, Failure> {
        let own = std::env::current_exe()?;
        let beside = own.parent().and_then(|examples| examples.parent()).ok_or("no folder")?.join("bellwire");
        Ok(Programs { bellwire: self.bellwire.clone().unwrap_or(beside), other: self.other.clone() })
    }

    fn check(&self) -> Result<(), Failure> {
        match (self.store, self.gateways) {
            (_, 0) => Err("there must be a gateway".into()),
            (Store::Embedded, 2..) => Err("the embedded store is for one gateway: --gateways 1".into()),
            _ => Ok(()),
        }
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| {
            let mut bytes = [0; 4];
            Clock::system().random(&mut bytes);
            u32::from_le_bytes(bytes).into()
        })
    }

    fn people(&self) -> Result<Arc<[Person]>, Failure> {
        let mut dice = Dice::new(self.seed.unwrap_or_default(), 5);
        (0..self.users as usize).map(|number| Person::new(number, &mut dice)).collect()
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    bellwire::crypto::install()?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = Options::parse();
    options.check()?;
    options.seed = Some(options.seed());
    let programs = options.programs()?;
    // Beside the program, since the folder for temporary files may be in memory, where writing to disk costs nothing.
    let folder = tempfile::tempdir_in(programs.bellwire.parent().ok_or("no folder")?)?;
    let interrupted = bellwire::lifecycle::asked_to_end()?;
    let outcome = tokio::select! {
        outcome = run(&options, folder.path(), &programs) => outcome,
        // Whatever was started ends with the run.
        () = interrupted => Err("interrupted".into()),
    };
    if options.keep {
        eprintln!("files: {}", folder.keep().display());
    }
    let report = outcome?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        print!("{report}");
    }
    if report.calls() < options.calls {
        eprintln!("{} calls are fewer than --calls {}", report.calls(), options.calls);
        return Ok(ExitCode::FAILURE);
    }
    if options.other.is_some() && report.carried_by_both == 0 {
        eprintln!("no call was carried on by both versions");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options, folder: &Path, programs: &Programs) -> Result<Report, Failure> {
    let seed = options.seed();
    eprintln!("seed {seed}: {} gateways, {} users", options.gateways, options.users);
    let mut world = World::start(folder, programs, options.gateways, options.store).await?;
    let journal = options.keep.then(|| File::create(folder.join("requests.log"))).transpose()?;
    let ledger = Arc::new(Ledger::new(journal));
    let client = Client::new(Arc::clone(&world.addresses), Arc::clone(&ledger))?;
    let (people, pushes) = (options.people()?, Arc::new(Pushes::default()));
    let stage = Arc::new(Stage { people, client, pushes, ledger, seed });
    let mut background = JoinSet::new();
    background.spawn({
        let (stage, log) = (Arc::clone(&stage), world.simulator.log().clone());
        async move { stage.pushes.follow(&log, &stage.people).await }
    });
    let watch = Watch::default();
    background.spawn(watch.clone().look(world.redis.as_ref().map(|redis| redis.address)));
    register(&stage).await?;
    let readers = read(&stage, options.readers);

    let started = Instant::now();
    let plan = faults::Plan {
        kill_every: Duration::from_secs_f64(options.kill_every),
        restart_redis_every: Duration::from_secs_f64(options.restart_redis_every),
        until: started + Duration::from_secs(options.seconds),
        two_versions: options.other.is_some(),
    };
    eprintln!("{} s of faults begin", options.seconds);
    let (faults, scenes) = tokio::join!(faults::rage(&mut world, plan, seed), drive(&stage, options.rate, plan.until));
    let mut faults = faults?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("the faults are over");
    timeout(SCENES_END_WITHIN, scenes.join_all()).await.map_err(|_| "scenes do not end")?;
    finish::call_once_more(&stage).await;
    faults.slow = watch.slow();
    finish::finish(&stage, world, &readers, faults, seconds).await
}

async fn register(stage: &Arc<Stage>) -> Result<(), Failure> {
    let all = stream::iter(0..stage.people.len()).map(|person| {
        let mut dice = Dice::new(stage.seed, 1_000_000 + person as u64);
        async move { stage.register_all(person, &mut dice).await }
    });
    let results: Vec<_> = all.buffer_unordered(AT_ONCE).collect().await;
    if results.iter().all(Result::is_ok) { Ok(()) } else { Err("phones cannot be registered".into()) }
}

fn read(stage: &Stage, count: usize) -> Readers {
    let mut readers = Readers::default();
    for (number, person) in stage.people.iter().enumerate().take(count) {
        let dice = Dice::new(stage.seed, 2_000_000 + number as u64);
        readers.add(person, stage.client.clone(), Arc::clone(&stage.ledger), dice);
    }
    readers
}

/// Lets scenes begin at a rate, until a time; those that go on.
async fn drive(stage: &Arc<Stage>, rate: f64, until: Instant) -> JoinSet<()> {
    let (mut scenes, mut script) = (JoinSet::new(), Script::new(stage.seed, stage.people.len()));
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
    while Instant::now() < until {
        ticks.tick().await;
        scenes.spawn(scene::play(Arc::clone(stage), script.next()));
        while scenes.try_join_next().is_some() {}
    }
    scenes
}
