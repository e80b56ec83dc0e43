//! A Redis server for one run, set up as docs/OPERATIONS.md says, and what it says that it did.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::time::sleep;

use crate::Failure;
use crate::child::Process;
use crate::children;
use crate::process;

/// Commands that a gateway sends for a call. Its scripts use neither, in these scenarios; all others run in scripts, or are the sweep's.
const SENT: [&str; 2] = ["evalsha", "get"];
/// What a gateway sends now and then, whatever calls there are.
const REGULAR: [&str; 4] = ["zrange", "time", "zremrangebyscore", "info"];

/// How long it may take to start, and to answer while it is busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server, in a folder of its own.
pub struct RedisServer {
    process: Process,
    connection: MultiplexedConnection,
    port: u16,
}

/// What a server has done so far.
#[derive(Clone, Default)]
pub struct Done {
    pub cpu: Duration,
    /// How often each command was run, in scripts too.
    commands: BTreeMap<String, f64>,
    /// Bytes that came in, and went out.
    pub input: f64,
    pub output: f64,
}

impl RedisServer {
    /// Starts one that keeps its data in this folder.
    pub async fn start(program: &str, folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = children::bound(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(folder);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--logfile", "log"]);
        let (process, _) = Process::spawn(&mut command).map_err(|error| format!("{program}: {error}"))?;
        let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let started = Instant::now();
        let connection = loop {
            match client.get_multiplexed_async_connection_with_config(&patient).await {
                Ok(connection) => break connection,
                Err(_) if started.elapsed() < PATIENCE => sleep(Duration::from_millis(20)).await,
                Err(error) => return Err(format!("{program} does not start: {error}").into()),
            }
        };
        Ok(Self { process, connection, port })
    }

    /// As `store.url` names it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn done(&self) -> Result<Done, Failure> {
        let info = self.info(&["stats", "commandstats"]).await?;
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        Ok(Done {
            cpu: process::cpu(self.process.id())?,
            commands: info.lines().filter_map(calls).collect(),
            input: field(&info, "total_net_input_bytes")?,
            output: field(&info, "total_net_output_bytes")?,
        })
    }

    /// Memory that its data takes, in megabytes, as it counts it itself.
    pub async fn data(&self) -> Result<f64, Failure> {
        Ok(field(&self.info(&["memory"]).await?, "used_memory")? / 1024.0 / 1024.0)
    }

    /// Resident memory, in megabytes.
    pub fn memory(&self) -> Result<f64, Failure> {
        process::memory(self.process.id())
    }

    async fn info(&self, sections: &[&str]) -> Result<String, Failure> {
        Ok(redis::cmd("INFO").arg(sections).query_async(&mut self.connection.clone()).await?)
    }
}

/// A line of INFO.
fn field(info: &str, name: &str) -> Result<f64, Failure> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("INFO says no {name}"))?.parse()?)
}

impl Done {
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |name: &str| before.commands.get(name).copied().unwrap_or_default();
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            commands: self.commands.iter().map(|(name, calls)| (name.clone(), calls - earlier(name))).collect(),
            input: self.input - before.input,
            output: self.output - before.output,
        }
    }

    /// All commands, in scripts too.
    pub fn all(&self) -> f64 {
        self.commands.values().sum()
    }

    /// Commands that were sent for calls.
    pub fn sent(&self) -> f64 {
        SENT.iter().filter_map(|name| self.commands.get(*name)).sum()
    }

    /// Of each command how many there were for each of `count` calls; what is hardly ever sent is left out.
    pub fn each(&self, count: f64) -> BTreeMap<&str, f64> {
        let of_calls = self.commands.iter().filter(|(name, _)| !REGULAR.contains(&name.as_str()));
        of_calls.map(|(name, calls)| (name.as_str(), calls / count)).filter(|(_, each)| *each >= 0.01).collect()
    }
}
