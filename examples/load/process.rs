//! The gateway and the simulator, each in a process of its own, and what the system says that they use.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use crate::Failure;
use crate::child::{Process, ready, terminate};
use crate::pushes::Pushes;

/// The app whose phones ring.
pub const APP: &str = "com.example.phone";
/// Who issues the users' tokens, and the secret for it.
pub const ISSUER: &str = "load";
pub const USER_SECRET: &str = "a-secret-of-the-identity-provider-00";

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;
/// How long a gateway must be idle to be done.
const IDLE_FOR: Duration = Duration::from_millis(400);
/// How long a gateway may take to stop: its grace, and what a profiler around it writes.
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// The two processes, and the folder with their files.
pub struct Stage {
    pub address: SocketAddr,
    pub pushes: Pushes,
    gateway: Process,
    _simulator: Process,
    /// The gateway itself, also if it was started through another command.
    gateway_pid: u32,
    folder: TempDir,
}

impl Stage {
    /// Starts both; `wrap` goes before the gateway's command.
    pub fn start(bellwire: &Path, wrap: Option<&str>) -> Result<Self, Failure> {
        bellwire::crypto::install()?;
        // Beside the program, since the folder for temporary files may be in memory, where writing to disk costs nothing.
        let folder = tempfile::tempdir_in(bellwire.parent().ok_or("no folder")?)?;
        let credentials = folder.path().join("simulator");
        let mut command = Command::new(bellwire);
        let (simulator, mut lines) = Process::spawn(command.args(["simulate", "--credentials"]).arg(&credentials))?;
        let simulated = ready(&mut lines)?;
        let config = folder.path().join("bellwire.toml");
        std::fs::write(&config, configuration(&simulated)?)?;

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
        let started = gateway.id();
        let gateway_pid = if wrap.is_some() { child_of(started).unwrap_or(started) } else { started };
        Ok(Self { address, pushes: Pushes::read(lines), gateway, _simulator: simulator, gateway_pid, folder })
    }

    /// CPU time of the gateway so far, user and system.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.gateway_pid))?;
        // The second field is the name in parentheses, which may hold blanks; utime and stime are fields 14 and 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let used = ticks(11).zip(ticks(12)).ok_or("/proc/PID/stat is not as expected")?;
        Ok(Duration::from_secs_f64((used.0 + used.1) / TICKS))
    }

    /// Resident memory of the gateway now, in megabytes.
    pub fn memory(&self) -> Result<f64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway_pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// The size of the store's file, in megabytes.
    pub fn store_size(&self) -> Result<f64, Failure> {
        let bytes = std::fs::metadata(self.folder.path().join("calls.redb"))?.len();
        Ok(f64::from(u32::try_from(bytes / 1024)?) / 1024.0)
    }

    /// Waits until the gateway has nothing left to do.
    pub async fn idle(&self) -> Result<(), Failure> {
        loop {
            let before = self.cpu()?;
            sleep(IDLE_FOR).await;
            if self.cpu()?.saturating_sub(before) <= Duration::from_millis(10) {
                return Ok(());
            }
        }
    }

    /// Ends both, the gateway as an operator would.
    pub fn stop(mut self) -> Result<(), Failure> {
        terminate(self.gateway_pid)?;
        self.gateway.exit_within(STOPPED_WITHIN)?;
        Ok(())
    }
}

/// The process that a wrapper started.
fn child_of(pid: u32) -> Option<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?.split_whitespace().next()?.parse().ok()
}

/// A configuration with nothing special: the defaults, two connections to each provider.
fn configuration(simulator: &HashMap<String, String>) -> Result<String, Failure> {
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
        url = "embedded:calls.redb"
        [limits]
        ip = ""
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
