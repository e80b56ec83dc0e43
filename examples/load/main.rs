//! A load generator: what an invite costs a gateway that runs for real.
//!
//! Three processes on one machine: this one, a gateway (`bellwire serve`) and the providers (`bellwire simulate`), so that the
//! gateway's CPU time and memory can be told from everybody else's. `docs/PERFORMANCE.md` says how to read the figures.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load
//! ```

#[path = "../shared/child.rs"]
mod child;
mod client;
mod figures;
mod people;
mod process;
mod pushes;
mod scenario;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use figures::Figures;
use people::Pair;
use process::Stage;
use scenario::{Calls, Load};

/// Whatever went wrong: the run is over then.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures a gateway under load.
#[derive(Debug, Parser)]
struct Options {
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
    /// Only this scenario: peak, steady or whole.
    #[arg(long)]
    only: Option<String>,
    /// Print one JSON document in place of the table.
    #[arg(long)]
    json: bool,
    /// The gateway; by default the one that was built beside this program.
    #[arg(long)]
    bellwire: Option<PathBuf>,
    /// A command that the gateway is started with, such as "perf record -o FILE".
    #[arg(long)]
    wrap: Option<String>,
}

impl Options {
    fn wants(&self, scenario: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == scenario)
    }

    fn bellwire(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.bellwire {
            return Ok(path.clone());
        }
        let own = std::env::current_exe()?;
        Ok(own.parent().and_then(|examples| examples.parent()).ok_or("no folder")?.join("bellwire"))
    }
}

// One thread: this program must leave as much of the machine as it can to the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let stage = Stage::start(&options.bellwire()?, options.wrap.as_deref())?;
    let figures = measure(&options, &stage).await;
    stage.stop()?;
    let figures = figures?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures.json())?);
    } else {
        print!("{figures}");
    }
    Ok(())
}

async fn measure(options: &Options, stage: &Stage) -> Result<Figures, Failure> {
    let mut figures = Figures::new(stage)?;
    eprintln!("registering {} devices", options.pairs * 2);
    let pairs: Vec<Pair> = (0..options.pairs).map(Pair::new).collect::<Result<_, _>>()?;
    let load = Load::new(stage, pairs, options.connections, Duration::from_secs(options.seconds));
    load.register().await?;
    // The first calls pay for what is done once.
    let warm = load.peak(options.pairs.min(500)).await?;
    load.cancel(&warm).await?;

    let mut greatest = options.rate.map(|rate| rate * 2.0);
    if options.wants("peak") || greatest.is_none() {
        eprintln!("invites, as many as the gateway takes");
        let peak = load.peak(options.pairs).await?;
        greatest = greatest.or(Some(peak.per_second()));
        figures.add("invites, greatest load", &peak);
        stage.pushes.after(&peak.invited).await?;
        figures.loaded(stage)?;
        finish(&load, &mut figures, "the caller cancels", &peak).await?;
    }
    if let Some(greatest) = greatest.filter(|_| options.wants("steady")) {
        let rate = greatest / 2.0;
        eprintln!("invites, {rate:.0} a second");
        let steady = load.steady(rate).await?;
        figures.add("invites, steady", &steady);
        figures.add_pushes(&stage.pushes.after(&steady.invited).await?);
        finish(&load, &mut figures, "the caller cancels, again", &steady).await?;
    }
    if options.wants("whole") {
        eprintln!("whole calls");
        figures.add("whole calls", &load.whole_calls().await?);
    }
    figures.ended(stage)?;
    Ok(figures)
}

async fn finish(load: &Load<'_>, figures: &mut Figures, name: &'static str, calls: &Calls) -> Result<(), Failure> {
    let cancels = load.cancel(calls).await?;
    figures.add(name, &cancels);
    Ok(())
}
