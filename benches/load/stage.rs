//! A service, the simulated providers and the store, each in a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::Failure;
use crate::child::{Output, Process};
use crate::children;
use crate::deadline::{IDLE, within};
use crate::process;
use crate::pushes::Pushes;
use crate::redis_server::{Done, RedisServer};
use crate::services::{Programs, Service};

/// How long a service must do no more than at rest to be done.
const IDLE_FOR: Duration = Duration::from_millis(400);

/// The processes, and the folder with their files.
pub struct Stage {
    /// How many devices each callee has.
    pub devices: usize,
    pub pushes: Pushes,
    /// None for the embedded store.
    pub redis: Option<RedisServer>,
    pub service: Running,
    _simulator: Process,
    /// The part of a core that it uses when there is nothing to do.
    resting: f64,
    folder: TempDir,
    command: Box<dyn Fn() -> Result<Command, Failure>>,
}

/// The service's process.
pub struct Running {
    pub address: SocketAddr,
    /// From its start until it said that it was ready.
    pub ready_after: Duration,
    process: Process,
    /// The service itself, also if it was started through another command.
    pid: u32,
    _output: Output,
}

/// How all is to be.
pub struct Setting<'a> {
    pub service: Service,
    /// A command that goes before it, or nothing.
    pub wrap: &'a str,
    /// How many devices each callee has.
    pub devices: usize,
    /// What the providers do wrong, as `bellwire simulate --rule` takes it.
    pub faults: &'a [&'a str],
}

/// What is used.
pub struct Use {
    at: Instant,
    cpu: Duration,
    traffic: Option<(f64, f64)>,
    redis: Option<Done>,
}

/// What was used in a while.
pub struct Used {
    pub took: Duration,
    /// CPU time of the service.
    pub cpu: Duration,
    /// Bytes that came into the service and went out of it, on connections that are still open.
    pub traffic: Option<(f64, f64)>,
    pub redis: Option<Done>,
}

impl Used {
    /// The part of a core that the service used.
    pub fn of_core(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }
}

impl Stage {
    /// Starts all.
    pub async fn start(programs: &Programs, setting: &Setting<'_>) -> Result<Self, Failure> {
        let Setting { service, wrap, devices, faults } = *setting;
        // Beside the program, since the folder for temporary files may be in memory, where writing to disk costs nothing.
        let folder = tempfile::tempdir_in(programs.bellwire.parent().ok_or("no folder")?)?;
        let redis = match service {
            Service::Embedded => None,
            _ => Some(RedisServer::start(&programs.redis_server, &folder.path().join("redis")).await?),
        };
        let mut command = children::bound(&programs.bellwire);
        command.args(["simulate", "--remember", "20000", "--credentials"]).arg(folder.path().join("simulator"));
        for fault in faults {
            command.args(["--rule", fault]);
        }
        let (simulator, output) = Process::spawn(&mut command)?;
        let (told, lines) = children::ready(output).await.map_err(|error| format!("the simulator: {error}"))?;
        let url = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        let plain = service.command(programs, &told, &url, folder.path())?;
        let (wrap, log) = (wrap.to_owned(), folder.path().join("service.log"));
        let command = Box::new(move || command_of(&plain, &wrap, &log));
        let service = Running::start(&mut command()?).await?;
        let pushes = Pushes::read(lines, devices);
        Ok(Self { devices, pushes, redis, service, _simulator: simulator, resting: 0.0, folder, command })
    }

    /// Ends the service, as an operator would, and starts it again.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.service.end().await?;
        self.service = Running::start(&mut (self.command)()?).await?;
        Ok(())
    }

    /// What service and Redis have used so far.
    pub async fn usage(&self) -> Result<Use, Failure> {
        let redis = match &self.redis {
            Some(redis) => Some(redis.done().await?),
            None => None,
        };
        Ok(Use { at: Instant::now(), traffic: process::traffic(self.service.pid), cpu: self.cpu()?, redis })
    }

    pub async fn used_since(&self, before: &Use) -> Result<Used, Failure> {
        let now = self.usage().await?;
        let redis = now.redis.zip(before.redis.as_ref()).map(|(now, before)| now.since(before));
        let traffic = now.traffic.zip(before.traffic);
        let traffic = traffic.map(|(now, before)| ((now.0 - before.0).max(0.0), (now.1 - before.1).max(0.0)));
        Ok(Used { took: now.at - before.at, cpu: now.cpu.saturating_sub(before.cpu), traffic, redis })
    }

    /// What is used for a while in which nothing is asked of the service.
    pub async fn rest(&self, time: Duration) -> Result<Used, Failure> {
        let before = self.usage().await?;
        sleep(time).await;
        self.used_since(&before).await
    }

    /// Learns what a service uses that has nothing to do: this one, now.
    pub async fn learn_rest(&mut self, time: Duration) -> Result<Used, Failure> {
        let used = self.rest(time).await?;
        self.resting = used.of_core();
        Ok(used)
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu(self.service.pid)
    }

    /// Resident memory of the service now, in megabytes.
    pub fn memory(&self) -> Result<f64, Failure> {
        process::memory(self.service.pid)
    }

    /// The size of the data, in megabytes: of the embedded store's file, or in the memory of Redis.
    pub async fn store_size(&self) -> Result<f64, Failure> {
        if let Some(redis) = &self.redis {
            return redis.data().await;
        }
        let bytes = std::fs::metadata(self.folder.path().join("calls.redb"))?.len();
        Ok(f64::from(u32::try_from(bytes / 1024)?) / 1024.0)
    }

    /// Waits until the service has nothing left to do.
    pub async fn idle(&self) -> Result<(), Failure> {
        // The system counts in steps of 10 ms.
        let most = IDLE_FOR.mul_f64(self.resting * 1.5) + Duration::from_millis(10);
        within(IDLE, "idle", async {
            loop {
                let before = self.cpu()?;
                sleep(IDLE_FOR).await;
                if self.cpu()?.saturating_sub(before) <= most {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// Ends the service as an operator would, then the others. To drop it instead is to kill all.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.service.end().await
    }
}

impl Running {
    async fn start(command: &mut Command) -> Result<Self, Failure> {
        let started = Instant::now();
        let (process, output) = Process::spawn(command)?;
        let (said, output) = children::ready(output).await?;
        let ready_after = started.elapsed();
        let address = said.get("http").ok_or("no address")?.parse()?;
        let pid = process::children_of(process.id()).last().copied().unwrap_or_else(|| process.id());
        Ok(Self { address, ready_after, process, pid, _output: output })
    }

    async fn end(&mut self) -> Result<(), Failure> {
        children::end(&mut self.process, self.pid).await
    }
}

/// A command once more, behind a wrapper if there is one, bound to this program, with its errors in a file.
fn command_of(plain: &Command, wrap: &str, log: &Path) -> Result<Command, Failure> {
    let mut command = children::wrapped(wrap, plain.get_program());
    command.args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stderr(File::options().create(true).append(true).open(log)?);
    Ok(command)
}
