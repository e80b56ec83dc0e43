//! The load driver: what calls cost a service that runs for real, side by side with what else one could run.
//!
//! Each on the same machine and in a process of its own: this one, a service, the providers (`bellwire simulate`) and perhaps a
//! `redis-server`, so that the service's CPU time and memory can be told from everybody else's. `docs/PERFORMANCE.md` says how to read the
//! figures; `benches/load/run` runs all of it.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load
//! ```

#[path = "../../examples/shared/child.rs"]
mod child;
mod client;
mod compare;
mod figures;
mod people;
mod plan;
#[path = "../../examples/shared/process.rs"]
mod process;
mod pushes;
mod redis_server;
mod ringing;
mod scenario;
mod services;
mod slow;
mod stage;
mod storm;
mod streams;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde_json::json;

use figures::Row;
use services::{Programs, Service};

/// Whatever went wrong: the run is over then.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures services under load.
#[derive(Debug, Parser)]
struct Options {
    /// What is measured, by turns.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "bellwire")]
    service: Vec<Service>,
    /// What is done; `storm` and `rates` in every round, the others once.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "storm,rates")]
    only: Vec<Scenario>,
    /// How often each service is measured.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Invites a second of `rates`, beside half of the greatest load.
    #[arg(long, value_delimiter = ',', default_value = "200,1000")]
    rates: Vec<f64>,
    /// Seconds that each scenario takes at most.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
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
    /// Where to write the figures as JSON.
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

impl Options {
    /// Each gateway that is to be measured, with the other programs.
    fn programs(&self) -> Result<Vec<Programs>, Failure> {
        let own = std::env::current_exe()?;
        let examples = own.parent().ok_or("no folder")?;
        let built = examples.parent().ok_or("no folder")?.join("bellwire");
        let gateways = if self.bellwire.is_empty() { vec![built] } else { self.bellwire.clone() };
        let programs = gateways.into_iter().map(|bellwire| Programs {
            bellwire,
            floor: examples.join("floor"),
            node: self.node.clone(),
            redis_server: self.redis_server.clone(),
        });
        Ok(programs.collect())
    }
}

// One thread: this program must leave as much of the machine as it can to the others.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    bellwire::crypto::install()?;
    let (programs, mut rows) = (options.programs()?, Vec::new());
    println!("{}", Row::head());
    for round in 0..options.rounds {
        for service in &options.service {
            for (number, programs) in programs.iter().enumerate() {
                let name = if programs_are_compared(&options, *service) { format!(".{number}") } else { String::new() };
                for mut row in plan::run(&options, programs, *service, round).await? {
                    (row.service, row.round) = (format!("{}{name}", service.name()), round);
                    println!("{row}");
                    rows.push(row);
                }
            }
        }
    }
    if programs.len() > 1 {
        print!("{}", compare::ratios(&rows));
    }
    if let Some(path) = &options.json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        std::fs::write(path, serde_json::to_vec_pretty(&json!({"rows": rows}))?)?;
    }
    Ok(())
}

fn programs_are_compared(options: &Options, service: Service) -> bool {
    options.bellwire.len() > 1 && matches!(service, Service::Bellwire | Service::Embedded)
}
