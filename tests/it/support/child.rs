//! A server process that cannot outlive the tests, however they end.
//!
//! A shell waits beside it for the end of a pipe that the tests hold open. The system closes the pipe with the process of
//! the tests, a killed one too; then the shell ends the server and removes its folder.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Becomes the server, so that both have one process id. A line on the pipe says that there is nothing left to do.
const WATCH: &str = r#"
folder=$1; signal=$2; shift 2; exec 3<&0
( read -r _ <&3 || { kill -"$signal" $$; [ "$signal" = KILL ] || sleep 2; rm -rf "$folder"; } ) </dev/null >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"#;

/// A running server process; killed when dropped.
pub struct Child {
    /// Its standard input is the pipe.
    process: std::process::Child,
}

impl Child {
    /// Starts a program with these arguments. What it prints goes to `log` in its folder.
    pub fn spawn(program: &Path, arguments: &[&str], folder: &Path) -> Self {
        Self::ended_by("KILL", program, arguments, folder)
    }

    /// As [`spawn`](Self::spawn); should the tests be killed, this signal ends it and gets two seconds.
    pub fn ended_by(signal: &str, program: &Path, arguments: &[&str], folder: &Path) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log");
        let process = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(folder)
            .arg(signal)
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            // What ends the tests from a terminal must leave the shell alive.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { process }
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("its state").is_some()
    }

    /// Closes the pipe, as the system does when the tests are killed.
    pub fn abandon(&mut self) {
        self.process.stdin = None;
    }

    /// Sends a signal that has a name: `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already. The shell is sent away first: it would kill whoever has the process id after that.
        let _ = self.process.stdin.as_mut().map(|pipe| pipe.write_all(b"\n"));
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
