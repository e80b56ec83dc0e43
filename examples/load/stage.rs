//! A gateway, the simulated providers and the store, each in a process of its own.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::Failure;
use crate::child::{Process, ready, terminate};
use crate::process;
use crate::pushes::Pushes;
use crate::redis_server::{Done, RedisServer};

/// The app whose phones ring.
pub const APP: &str = "com.example.phone";
/// Who issues the users' tokens, and the secret for it.
pub const ISSUER: &str = "load";
pub const USER_SECRET: &str = "a-secret-of-the-identity-provider-00";

/// How long a gateway must do no more than at rest to be done.
const IDLE_FOR: Duration = Duration::from_millis(400);
/// How long a gateway may take to stop: its grace, and what a profiler around it writes.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// The processes, and the folder with their files.
pub struct Stage {
    /// How many devices each callee has.
    pub devices: usize,
    pub address: SocketAddr,
    pub pushes: Pushes,
    /// None for the embedded store.
    pub redis: Option<RedisServer>,
    gateway: Process,
    _simulator: Process,
    /// The gateway itself, also if it was started through another command.
    gateway_pid: u32,
    /// The part of a core that it uses when there is nothing to do.
    resting: f64,
    folder: TempDir,
}

/// How all is to be.
pub struct Setting<'a> {
    /// The gateway's program.
    pub bellwire: &'a Path,
    /// A command that goes before it.
    pub wrap: Option<&'a str>,
    /// How many devices each callee has.
    pub devices: usize,
    /// What the providers do wrong, as `bellwire simulate --rule` takes it.
    pub faults: &'a [&'a str],
}

/// What is used.
pub struct Use {
    at: Instant,
    gateway: Duration,
    redis: Option<Done>,
}

/// What was used in a while.
pub struct Used {
    pub took: Duration,
    /// CPU time of the gateway.
    pub cpu: Duration,
    pub redis: Option<Done>,
}

impl Used {
    /// The part of a core that the gateway used.
    pub fn of_core(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }
}

impl Stage {
    /// Starts all; `redis_server` is the program, for a store on Redis.
    pub async fn start(setting: &Setting<'_>, redis_server: Option<&str>) -> Result<Self, Failure> {
        let Setting { bellwire, wrap, devices, faults } = setting;
        bellwire::crypto::install()?;
        // Beside the program, since the folder for temporary files may be in memory, where writing to disk costs nothing.
        let folder = tempfile::tempdir_in(bellwire.parent().ok_or("no folder")?)?;
        let redis = match redis_server {
            Some(program) => Some(RedisServer::start(program, &folder.path().join("redis")).await?),
            None => None,
        };
        let mut command = Command::new(bellwire);
        command.args(["simulate", "--credentials"]).arg(folder.path().join("simulator"));
        for fault in *faults {
            command.args(["--rule", fault]);
        }
        let (simulator, mut lines) = Process::spawn(&mut command)?;
        let store = redis.as_ref().map_or_else(|| "embedded:calls.redb".to_owned(), RedisServer::url);
        let config = folder.path().join("bellwire.toml");
        std::fs::write(&config, configuration(&ready(&mut lines)?, &store)?)?;

        let log = std::fs::File::create(folder.path().join("gateway.log"))?;
        let mut words = wrap.unwrap_or_default().split_whitespace();
        let mut command = match words.next() {
            Some(wrapper) => Command::new(wrapper),
            None => Command::new(bellwire),
        };
        if wrap.is_some() {
            command.args(words).arg(bellwire);
        }
        let (gateway, mut gateway_lines) =
            Process::spawn(command.args(["serve", "--config"]).arg(&config).stderr(log))?;
        let address = ready(&mut gateway_lines)?.get("http").ok_or("no address")?.parse()?;
        let gateway_pid = wrap.and_then(|_| process::child_of(gateway.id())).unwrap_or_else(|| gateway.id());
        let pushes = Pushes::read(lines, *devices);
        Ok(Self {
            devices: *devices,
            address,
            pushes,
            redis,
            gateway,
            _simulator: simulator,
            gateway_pid,
            resting: 0.0,
            folder,
        })
    }

    /// What gateway and Redis have used so far.
    pub async fn usage(&self) -> Result<Use, Failure> {
        let redis = match &self.redis {
            Some(redis) => Some(redis.done().await?),
            None => None,
        };
        Ok(Use { at: Instant::now(), gateway: self.cpu()?, redis })
    }

    pub async fn used_since(&self, before: &Use) -> Result<Used, Failure> {
        let now = self.usage().await?;
        let redis = now.redis.zip(before.redis.as_ref()).map(|(now, before)| now.since(before));
        Ok(Used { took: now.at - before.at, cpu: now.gateway.saturating_sub(before.gateway), redis })
    }

    /// What is used for a while in which nothing is asked of the gateway.
    pub async fn rest(&self, time: Duration) -> Result<Used, Failure> {
        let before = self.usage().await?;
        sleep(time).await;
        self.used_since(&before).await
    }

    /// Learns what a gateway uses that has nothing to do: this one, now.
    pub async fn learn_rest(&mut self, time: Duration) -> Result<Used, Failure> {
        let used = self.rest(time).await?;
        self.resting = used.of_core();
        Ok(used)
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu(self.gateway_pid)
    }

    /// Resident memory of the gateway now, in megabytes.
    pub fn memory(&self) -> Result<f64, Failure> {
        process::memory(self.gateway_pid)
    }

    /// The size of the data, in megabytes: of the embedded store's file, or in the memory of Redis.
    pub async fn store_size(&self) -> Result<f64, Failure> {
        if let Some(redis) = &self.redis {
            return redis.data().await;
        }
        let bytes = std::fs::metadata(self.folder.path().join("calls.redb"))?.len();
        Ok(f64::from(u32::try_from(bytes / 1024)?) / 1024.0)
    }

    /// Waits until the gateway has nothing left to do.
    pub async fn idle(&self) -> Result<(), Failure> {
        // The system counts in steps of 10 ms.
        let most = IDLE_FOR.mul_f64(self.resting * 1.5) + Duration::from_millis(10);
        loop {
            let before = self.cpu()?;
            sleep(IDLE_FOR).await;
            if self.cpu()?.saturating_sub(before) <= most {
                return Ok(());
            }
        }
    }

    /// Ends all, the gateway as an operator would.
    pub fn stop(mut self) -> Result<(), Failure> {
        terminate(self.gateway_pid)?;
        self.gateway.exit_within(STOPPED_WITHIN)?;
        Ok(())
    }
}

/// A configuration with nothing special: the defaults, two connections to each provider.
fn configuration(simulator: &HashMap<String, String>, store: &str) -> Result<String, Failure> {
    let value = |key: &str| simulator.get(key).ok_or_else(|| format!("the simulator says no {key}"));
    Ok(format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        [auth]
        ticket_secret = "a-secret-for-the-tickets-of-the-load"
        [[auth.users]]
        issuer = "{ISSUER}"
        audience = "bellwire"
        algorithm = "HS256"
        secret = "{USER_SECRET}"
        name_claim = "name"
        [store]
        url = "{store}"
        [livekit]
        rooms = false
        [limits]
        ip = ""
        invites_per_user = ""
        invites_per_callee = ""
        invites_per_pair = ""
        tokens_per_user = ""
        registrations_per_user = ""
        [[push.apns]]
        app = "{APP}"
        environment = "production"
        team_id = "{team}"
        key_id = "{key}"
        key_file = "{key_file}"
        endpoint = "{apns}"
        ca_file = "{ca}"
        [[push.fcm]]
        app = "{APP}"
        service_account_file = "{service_account}"
        endpoint = "{fcm}"
        ca_file = "{ca}"
        "#,
        team = value("team_id")?,
        key = value("key_id")?,
        key_file = value("key_file")?,
        apns = value("apns")?,
        ca = value("ca_file")?,
        service_account = value("service_account_file")?,
        fcm = value("fcm")?,
    ))
}
