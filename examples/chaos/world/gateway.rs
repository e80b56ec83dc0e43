//! One place in the row of gateways: a process that is killed and started again, perhaps as another program, and the address that clients
//! find it at.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::Failure;
use crate::child::{Process, ready, terminate};
use crate::dice::Dice;

/// How long a gateway is started again and again where it does not start: a store that is down keeps it from it.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a gateway may take to end after SIGTERM: its grace, and a little.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// Which of two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The one that was built beside the run.
    This,
    /// Another one; an older one, if going there is to be going back.
    Other,
}

impl Version {
    pub fn next(self) -> Self {
        match self {
            Self::This => Self::Other,
            Self::Other => Self::This,
        }
    }
}

/// A program, and the configuration that it gets.
#[derive(Debug, Clone)]
pub struct Program {
    pub bellwire: PathBuf,
    pub config: PathBuf,
}

/// A gateway that runs.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    pub place: usize,
    pub address: SocketAddr,
    pub version: Version,
}

/// The gateways that run, by their places. What a balancer would know.
pub struct Addresses(Mutex<Vec<Option<Running>>>);

impl Addresses {
    pub fn new(places: usize) -> Self {
        Self(Mutex::new(vec![None; places]))
    }

    fn set(&self, place: usize, running: Option<Running>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = running;
    }

    /// Those that run.
    pub fn all(&self) -> Vec<Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().copied().collect()
    }

    /// One that runs, if there is a choice not the one at `but`.
    pub fn choose(&self, dice: &mut Dice, but: Option<usize>) -> Option<Running> {
        let all = self.all();
        let others: Vec<_> = all.iter().filter(|running| Some(running.place) != but).copied().collect();
        let from = if others.is_empty() { all } else { others };
        (!from.is_empty()).then(|| dice.choose(&from))
    }
}

/// One place, with a process or without.
pub struct Gateway {
    pub place: usize,
    /// What it runs from its next start on.
    pub version: Version,
    this: Program,
    /// The same one, if there is but one.
    other: Program,
    addresses: Arc<Addresses>,
    process: Option<Process>,
}

impl Gateway {
    pub fn new(place: usize, version: Version, this: Program, other: Program, addresses: Arc<Addresses>) -> Self {
        Self { place, version, this, other, addresses, process: None }
    }

    /// The file that it logs to, through all its lives.
    pub fn log(&self) -> PathBuf {
        self.this.config.with_file_name("log")
    }

    fn program(&self) -> &Program {
        match self.version {
            Version::This => &self.this,
            Version::Other => &self.other,
        }
    }

    /// Starts it on ports that the system chooses; again and again until the store lets it.
    pub async fn start(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let (program, log, place) = (self.program().clone(), self.log(), self.place);
            match spawn_blocking(move || start(&program, place, &log)).await? {
                Ok((process, address)) => {
                    self.process = Some(process);
                    let running = Running { place: self.place, address, version: self.version };
                    self.addresses.set(self.place, Some(running));
                    return Ok(());
                }
                Err(error) if started.elapsed() > STARTED_WITHIN => {
                    return Err(format!("{error}; {} says why", self.log().display()).into());
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// SIGKILL. Clients find out by themselves.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
        self.addresses.set(self.place, None);
    }

    /// SIGTERM, after which no client is sent there; until it has ended.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        self.addresses.set(self.place, None);
        let Some(mut process) = self.process.take() else { return Ok(()) };
        terminate(process.id())?;
        let status = spawn_blocking(move || process.exit_within(STOPPED_WITHIN)).await??;
        if status.success() { Ok(()) } else { Err(format!("a gateway ended with {status} after SIGTERM").into()) }
    }
}

fn start(Program { bellwire, config }: &Program, place: usize, log: &Path) -> Result<(Process, SocketAddr), Failure> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(bellwire);
    // One and two by turns: they are run in different ways.
    command.env("TOKIO_WORKER_THREADS", (1 + place % 2).to_string());
    let (process, mut lines) = Process::spawn(command.arg("serve").arg("--config").arg(config).stderr(log))?;
    let address = ready(&mut lines)?.get("http").ok_or("no address")?.parse()?;
    Ok((process, address))
}
