//! The binary as a process of its own: a command as a person calls it, or a gateway that runs on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::SOON;

/// How long a process may take to begin, to say something or to end: it may be one of many that do.
const PATIENCE: Duration = SOON.saturating_mul(3);

/// A process of the binary; killed when dropped.
pub struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Running {
    /// Starts a command with this service key in its environment, and nothing else.
    pub fn start(key: &str, args: &[&str]) -> Self {
        Self::with(&[("BELLWIRE_SERVICE_KEY", key)], args)
    }

    /// Starts a command with these variables in its environment, and nothing else.
    pub fn with(variables: &[(&str, &str)], args: &[&str]) -> Self {
        Self::logging_to(Stdio::piped(), variables, args)
    }

    /// As [`with`](Self::with), where what it logs goes elsewhere.
    pub fn logging_to(stderr: impl Into<Stdio>, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwire"));
        command.args(args).env_clear().envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("bellwire starts");
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal that has a name: `TERM`, `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
    }

    /// Waits for the ready line of a gateway, and gives the URL of its API; none if it ended before.
    pub async fn ready(&mut self) -> Option<String> {
        let mut stdout = self.stdout.take().expect("stdout");
        let reading = spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| (line, stdout))
        });
        let read = timeout(PATIENCE, reading).await.expect("ready in time").expect("no panic");
        let (line, stdout) = read.expect("a line");
        self.stdout = Some(stdout);
        line.split_whitespace().find_map(|word| word.strip_prefix("http=")).map(|address| format!("http://{address}"))
    }

    /// Kills it once it has said this on stderr.
    pub async fn kill_at(mut self, words: &'static str) {
        let mut lines = BufReader::new(self.child.stderr.take().expect("stderr")).lines();
        let reading = spawn_blocking(move || {
            let said = lines.any(|line| line.expect("UTF-8").contains(words));
            assert!(said, "it ended without {words}");
            // What it says on goes nowhere, and it does not notice.
            lines
        });
        let lines = timeout(PATIENCE, reading).await.expect("said in time").expect("no panic");
        drop(self);
        drop(lines);
    }

    /// Waits for its end, which closes its standard output.
    pub async fn exit(&mut self) -> ExitStatus {
        self.rest().await.0
    }

    /// Waits for its end, and gives what it said until then.
    pub async fn end(mut self) -> Ended {
        let (status, stdout, stderr) = self.rest().await;
        Ended { code: status.code(), stdout, stderr }
    }

    async fn rest(&mut self) -> (ExitStatus, String, String) {
        let (stdout, stderr) = (self.stdout.take(), self.child.stderr.take());
        // Both close when the process ends, at the latest when it is killed.
        let (stdout, stderr) = (spawn_blocking(|| text(stdout)), spawn_blocking(|| text(stderr)));
        let both = async { (stdout.await.expect("no panic"), stderr.await.expect("no panic")) };
        let (stdout, stderr) = timeout(PATIENCE, both).await.expect("it ends");
        (self.child.wait().expect("a status"), stdout, stderr)
    }
}

/// What is still to be read, if that is not somebody else's.
fn text(pipe: Option<impl Read>) -> String {
    let mut text = String::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_string(&mut text).expect("UTF-8");
    }
    text
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
