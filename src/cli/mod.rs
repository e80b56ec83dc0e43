//! The command line: what each command is called, and the runtime that it runs on.
//!
//! Results go to stdout, logs and errors to stderr. The exit code is 0 where the command did what it says, 1 where it did not,
//! 2 where it was called wrongly.

mod check;
mod demo;
mod explain;
mod gateway;
mod health;
mod migrate_store;
mod push_test;
mod serve;
mod simulate;
mod token;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

use crate::app::StartError;
use crate::config::{Config, ConfigError};

/// Why the number of threads cannot be used.
const THREADS: &str = "TOKIO_WORKER_THREADS must be a number of threads, at least 1";

/// Makes phones ring for LiveKit calls.
#[derive(Debug, Parser)]
#[command(name = "bellwire", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve(serve::Serve),
    /// Print the configuration in force, and try every key, certificate and provider.
    Check(check::Check),
    /// Ask a gateway whether it is alive: exit code 0 if it is.
    Health(health::Health),
    /// Make secrets, keys and tokens.
    Token(token::Token),
    /// Run a simulator of APNs and FCM, for tests and staging.
    Simulate(simulate::Simulate),
    /// Tell why each phone of a call rang or did not.
    Explain(explain::Explain),
    /// Ring a device for real, and follow it: exit code 0 if it says that it rings.
    PushTest(push_test::PushTest),
    /// Show three calls on this machine: no credentials, no network.
    Demo(demo::Demo),
    /// Move what an embedded store holds to Redis.
    MigrateStore(migrate_store::MigrateStore),
    /// Print the `OpenAPI` document.
    Openapi,
}

/// Where the configuration is.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The configuration file; without it only defaults and variables count. Also `BELLWIRE_CONFIG`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CliError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Failed(String),
    /// It was called wrongly.
    #[error("{0}")]
    Usage(String),
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and clap knows where each goes.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bellwire: {}", with_causes(&error));
            if matches!(error, CliError::Usage(_)) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> Result<(), CliError> {
    if let Command::Openapi = command {
        println!("{}", crate::http::openapi_json());
        return Ok(());
    }
    crate::crypto::install().map_err(StartError::from)?;
    runtime(&command)?.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Check(check) => check.run().await,
            Command::Health(health) => health.run().await,
            Command::Token(token) => token.run(),
            Command::Simulate(simulate) => simulate.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::PushTest(test) => test.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::MigrateStore(migrate) => migrate.run().await,
            Command::Openapi => Ok(()),
        }
    })
}

/// The runtime of a gateway, with `TOKIO_WORKER_THREADS` threads or one for two cores; of other commands, which print while they serve, with
/// one for each.
fn runtime(command: &Command) -> Result<Runtime, CliError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match command {
        Command::Serve(_) => wanted_threads()?.unwrap_or(cores.div_ceil(2)),
        _ => cores.max(2),
    };
    if threads == 1 {
        // There a task that is woken waits its turn, so that what many write to one connection goes out by one system call.
        return Ok(Builder::new_current_thread().enable_all().build()?);
    }
    Ok(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?)
}

fn wanted_threads() -> Result<Option<usize>, CliError> {
    let Some(wanted) = std::env::var_os("TOKIO_WORKER_THREADS") else { return Ok(None) };
    let threads = wanted.to_str().and_then(|text| text.parse::<NonZero<usize>>().ok());
    threads.map(|threads| Some(threads.get())).ok_or_else(|| CliError::Usage(THREADS.to_owned()))
}

impl ConfigFile {
    fn path(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| std::env::var_os("BELLWIRE_CONFIG").map(PathBuf::from))
    }

    fn load(&self) -> Result<Config, ConfigError> {
        // Variables that are no UTF-8 are none of ours.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(self.path().as_deref(), variables)
    }
}

/// An error and what caused it, without saying the same twice.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
