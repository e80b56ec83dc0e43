//! One place in the row of gateways: a process that is killed and started again, and the address that clients find it at.

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

/// Where the gateways that run can be reached, by their places. What a balancer would know.
pub struct Addresses(Mutex<Vec<Option<SocketAddr>>>);

impl Addresses {
    pub fn new(places: usize) -> Self {
        Self(Mutex::new(vec![None; places]))
    }

    fn set(&self, place: usize, address: Option<SocketAddr>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = address;
    }

    /// Those that run.
    pub fn all(&self) -> Vec<(usize, SocketAddr)> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.iter().enumerate().filter_map(|(place, address)| Some((place, (*address)?))).collect()
    }

    /// One that runs, if there is a choice not the one at `but`.
    pub fn choose(&self, dice: &mut Dice, but: Option<usize>) -> Option<(usize, SocketAddr)> {
        let all = self.all();
        let others: Vec<_> = all.iter().filter(|(place, _)| Some(*place) != but).copied().collect();
        let from = if others.is_empty() { all } else { others };
        (!from.is_empty()).then(|| dice.choose(&from))
    }
}

/// One place, with a process or without.
pub struct Gateway {
    place: usize,
    bellwire: PathBuf,
    config: PathBuf,
    addresses: Arc<Addresses>,
    process: Option<Process>,
}

impl Gateway {
    pub fn new(place: usize, bellwire: &Path, config: PathBuf, addresses: Arc<Addresses>) -> Self {
        Self { place, bellwire: bellwire.to_owned(), config, addresses, process: None }
    }

    /// The file that it logs to, through all its lives.
    pub fn log(&self) -> PathBuf {
        self.config.with_file_name("log")
    }

    /// Starts it on ports that the system chooses; again and again until the store lets it.
    pub async fn start(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let (bellwire, config, log) = (self.bellwire.clone(), self.config.clone(), self.log());
            match spawn_blocking(move || start(&bellwire, &config, &log)).await? {
                Ok((process, address)) => {
                    self.process = Some(process);
                    self.addresses.set(self.place, Some(address));
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

fn start(bellwire: &Path, config: &Path, log: &Path) -> Result<(Process, SocketAddr), Failure> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::new(bellwire);
    let (process, mut lines) = Process::spawn(command.arg("serve").arg("--config").arg(config).stderr(log))?;
    let address = ready(&mut lines)?.get("http").ok_or("no address")?.parse()?;
    Ok((process, address))
}
