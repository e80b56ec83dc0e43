//! `bellwire` as a process of its own, on a `[store]` that is given by variables.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::support::SOON;

/// What a process said until it ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A running process; killed when dropped.
pub struct Running(Child);

/// Starts a command of `bellwire`.
pub fn start(arguments: &[&str], store: &[(&str, &str)]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwire"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(store.iter().map(|(key, value)| (format!("BELLWIRE__STORE__{}", key.to_uppercase()), *value)));
    command.env("BELLWIRE__AUTH__TICKET_SECRET", "a-secret-for-the-tickets-of-the-tests");
    command.env("BELLWIRE__HTTP__LISTEN", "127.0.0.1:0").env("BELLWIRE__HTTP__OPS_LISTEN", "127.0.0.1:0");
    // What is said in full may say too much.
    command.env("BELLWIRE__TELEMETRY__LOG_LEVEL", "trace");
    Running(command.spawn().expect("bellwire starts"))
}

/// Runs `bellwire serve`, which must end by itself.
pub async fn serve(store: &[(&str, &str)]) -> Ended {
    start(&["serve", "--without-push"], store).ended().await
}

/// Runs `bellwire check`.
pub async fn check(store: &[(&str, &str)]) -> Ended {
    start(&["check"], store).ended().await
}

impl Running {
    /// Waits until it has ended.
    pub async fn ended(mut self) -> Ended {
        let (mut stdout, mut stderr) = (self.0.stdout.take().expect("a pipe"), self.0.stderr.take().expect("a pipe"));
        let mut read = [String::new(), String::new()];
        let [mut out, mut err] = read.clone();
        let out = spawn_blocking(move || stdout.read_to_string(&mut out).map(|_| out));
        let err = spawn_blocking(move || stderr.read_to_string(&mut err).map(|_| err));
        let both = timeout(SOON, async { (out.await, err.await) }).await.expect("it ends by itself");
        read = [both.0.expect("no panic").expect("text"), both.1.expect("no panic").expect("text")];
        let [stdout, stderr] = read;
        Ended { code: self.0.wait().expect("a status").code(), stdout, stderr }
    }

    /// Waits for the ready line, and gives the URL of its API.
    pub async fn ready(&mut self) -> String {
        let mut stdout = BufReader::new(self.0.stdout.take().expect("a pipe"));
        let line = spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        });
        let line = timeout(SOON, line).await.expect("ready in time").expect("no panic").expect("a line");
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("http=")).expect("an address");
        format!("http://{address}")
    }

    /// Ends it, and gives what it logged.
    pub async fn log_to_its_end(mut self) -> String {
        let asked = Command::new("kill").args(["-s", "TERM", &self.0.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        let (mut stderr, mut log) = (self.0.stderr.take().expect("a pipe"), String::new());
        let read = spawn_blocking(move || stderr.read_to_string(&mut log).map(|_| log));
        timeout(SOON, read).await.expect("in time").expect("no panic").expect("text")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
