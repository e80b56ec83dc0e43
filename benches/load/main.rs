//! The load driver: what calls cost a service that runs for real, side by side with what else one could run.
//!
//! Each on the same machine and in a process of its own: this one, a service, the providers (`bellwire simulate`) and perhaps a
//! `redis-server`, so that the service's CPU time and memory can be told from everybody else's. `docs/PERFORMANCE.md` says how to read the
//! figures; `benches/load/run` runs all of it.
//!
//! ```sh
//! cargo build --profile dist && cargo run --profile dist --example load
//! ```

#[path = "../../examples/shared/child.rs"]
mod child;
mod children;
mod client;
mod compare;
mod deadline;
mod figures;
mod people;
mod plan;
#[path = "../../examples/shared/process.rs"]
mod process;
mod pushes;
mod redis_server;
mod ringing;
mod rows;
mod scenario;
mod services;
mod slow;
mod stage;
mod storm;
mod streams;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use figures::Row;
use plan::Turn;
use rows::Rows;
use services::{Programs, Service};

/// Whatever went wrong: the scenario is over then.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures services under load. It fails if a scenario of Bellwire's failed.
#[derive(Debug, Parser)]
#[command(args_override_self = true)]
struct Options {
    /// What is measured, by turns.
    #[arg(long, value_enum, action = ArgAction::Set, num_args = 1, value_delimiter = ',', default_value = "bellwire")]
    service: Vec<Service>,
    /// What is done; `storm` and `rates` in every round, the others once.
    #[arg(long, value_enum, action = ArgAction::Set, num_args = 1, value_delimiter = ',', default_value = "storm,rates")]
    only: Vec<Scenario>,
    /// How often each service is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Invites a second of `rates`, beside half of the greatest load.
    #[arg(long, action = ArgAction::Set, num_args = 1, value_delimiter = ',', default_value = "200,1000")]
    rates: Vec<f64>,
    /// Seconds of load in each scenario, at most.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Seconds after which a scenario is given up, and so is what goes before it; for `memory` and `ringing` two and a half times as many.
    #[arg(long, default_value_t = 120)]
    deadline: u64,
    /// Connections to the service, kept open.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Callers and callees, and so the most calls of a scenario.
    #[arg(long, default_value_t = 12_000)]
    pairs: usize,
    /// Calls of `memory` and `ringing`.
    #[arg(long, default_value_t = 100_000)]
    calls: usize,
    /// Event streams of `streams`; there are fewer where a process may not have as many files open.
    #[arg(long, default_value_t = 20_000)]
    streams: usize,
    /// Where to write the figures as JSON, anew after each row.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway; by default the one that was built beside this program. Given several times, they are measured by turns and compared.
    #[arg(long)]
    bellwire: Vec<PathBuf>,
    /// The folder of the Node peer.
    #[arg(long, default_value = "benches/peers/node")]
    node: PathBuf,
    /// The program that is started as Redis.
    #[arg(long, default_value = "redis-server")]
    redis_server: String,
    /// A command that the service is started with, such as "perf record -o FILE".
    #[arg(long)]
    wrap: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Invites, as many as the service takes, and their cancels.
    Storm,
    /// Invites at rates that it keeps up with.
    Rates,
    /// Invite, ring, answer, hang-up.
    Calls,
    /// 1,000 callers to one user at once.
    Hot,
    /// Memory after many calls.
    Memory,
    /// From start to ready.
    Start,
    /// Idle event streams, and all of them coming back at once.
    Streams,
    /// Three devices each, an Apple that takes 50 ms and cuts connections; then 3,000 invites in a second.
    Slow,
    /// Many calls that ring at once and time out.
    Ringing,
}

impl Scenario {
    /// What it is called before one of its rows is: its name on the command line.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Options {
    /// Each gateway that is to be measured, with the other programs.
    fn programs(&self) -> Result<Vec<Programs>, Failure> {
        let own = std::env::current_exe()?;
        let examples = own.parent().ok_or("no folder")?;
        let built = examples.parent().ok_or("no folder")?.join("bellwire");
        let gateways = if self.bellwire.is_empty() { vec![built.clone()] } else { self.bellwire.clone() };
        let programs = gateways.into_iter().map(|bellwire| Programs {
            bellwire,
            plain: built.clone(),
            floor: examples.join("floor"),
            node: self.node.clone(),
            redis_server: self.redis_server.clone(),
        });
        Ok(programs.collect())
    }
}

// One thread: this program must leave as much of the machine as it can to the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Failure> {
    let options = Options::parse();
    bellwire::crypto::install()?;
    // What is dropped on a signal ends its processes.
    tokio::select! {
        done = measure(&options) => done,
        signal = signalled() => signal,
    }
}

async fn measure(options: &Options) -> Result<ExitCode, Failure> {
    let (programs, mut rows) = (options.programs()?, Rows::new(options.json.clone()));
    println!("{}", Row::head());
    for round in 0..options.rounds {
        for service in options.service.iter().copied() {
            for (number, programs) in programs.iter().enumerate() {
                let compared = programs_are_compared(options, service);
                let name = if compared { format!("{}.{number}", service.name()) } else { service.name().to_owned() };
                rows.turn(service, name, round);
                Turn { options, programs, service, first: round == 0 }.run(&mut rows).await?;
            }
        }
    }
    if programs.len() > 1 {
        print!("{}", compare::ratios(rows.all()));
    }
    Ok(if rows.ours_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Waits for SIGINT or SIGTERM, and gives the status that a shell would.
async fn signalled() -> Result<ExitCode, Failure> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupted.recv() => Ok(ExitCode::from(130)),
        _ = terminated.recv() => Ok(ExitCode::from(143)),
    }
}

fn programs_are_compared(options: &Options, service: Service) -> bool {
    options.bellwire.len() > 1 && service.is_ours()
}
