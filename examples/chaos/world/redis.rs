//! A Redis of this run's own: every write is on disk before it is answered, so that SIGKILL loses nothing acknowledged.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::child::{Output, Process};

/// How long it may take to start, its AOF read.
const STARTED_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Redis {
    pub address: SocketAddr,
    folder: PathBuf,
    process: Option<(Process, Output)>,
}

impl Redis {
    /// Starts it on a free port, with its files in this folder.
    pub async fn start(folder: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut redis = Self { address, folder: folder.to_owned(), process: None };
        redis.start_again().await?;
        Ok(redis)
    }

    /// Starts it where it was; returns once it takes commands.
    pub async fn start_again(&mut self) -> Result<(), Failure> {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string(), "--dir"]).arg(&self.folder);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy"]);
        command.args(["noeviction", "--loglevel", "warning", "--logfile", "log"]).stdin(Stdio::null());
        self.process =
            Some(Process::spawn(&mut command).map_err(|error| format!("redis-server does not start: {error}"))?);
        let started = Instant::now();
        while !matches!(timeout(Duration::from_secs(1), ping(self.address)).await, Ok(Ok(true))) {
            if started.elapsed() > STARTED_WITHIN {
                return Err(format!("redis-server does not answer; {} says why", self.folder.display()).into());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }
}

/// Whether it takes commands: while it reads its AOF, it says LOADING.
async fn ping(address: SocketAddr) -> Result<bool, std::io::Error> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    Ok(answer == *b"+PONG\r\n")
}
