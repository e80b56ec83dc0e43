//! Commands of the binary, as a person calls them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::SOON;

/// A command of the binary under way; killed when dropped.
pub struct Running(Child);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a command with this service key in its environment, and nothing else.
    pub fn start(key: &str, args: &[&str]) -> Self {
        Self::with(&[("BELLWIRE_SERVICE_KEY", key)], args)
    }

    /// Starts a command with these variables in its environment, and nothing else.
    pub fn with(variables: &[(&str, &str)], args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwire"));
        command.args(args).env_clear().envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().expect("bellwire starts"))
    }

    /// Kills it once it has said this on stderr.
    pub async fn kill_at(mut self, words: &'static str) {
        let mut lines = BufReader::new(self.0.stderr.take().expect("stderr")).lines();
        let reading = tokio::task::spawn_blocking(move || {
            let said = lines.any(|line| line.expect("UTF-8").contains(words));
            assert!(said, "it ended without {words}");
            // What it says on goes nowhere, and it does not notice.
            lines
        });
        let lines = tokio::time::timeout(SOON * 3, reading).await.expect("said in time").expect("no panic");
        drop(self);
        drop(lines);
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let (mut out, mut err) = (self.0.stdout.take().expect("stdout"), self.0.stderr.take().expect("stderr"));
        // Both close when the process ends, at the latest when it is killed.
        let reading = tokio::task::spawn_blocking(move || {
            let (mut stdout, mut stderr) = (String::new(), String::new());
            out.read_to_string(&mut stdout).expect("UTF-8");
            err.read_to_string(&mut stderr).expect("UTF-8");
            (stdout, stderr)
        });
        let (stdout, stderr) = tokio::time::timeout(SOON * 3, reading).await.expect("it ends").expect("no panic");
        Ended { code: self.0.wait().expect("a status").code(), stdout, stderr }
    }
}
