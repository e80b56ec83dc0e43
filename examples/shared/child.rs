//! Processes that an example starts: they end with it, and say by a line when they are ready.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A process, which is killed when this is dropped.
pub struct Process(Child);

/// What it prints.
pub type Output = Lines<BufReader<ChildStdout>>;

impl Process {
    /// Starts a process whose standard output is read.
    pub fn spawn(command: &mut Command) -> Result<(Self, Output), Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        Ok((Self(child), BufReader::with_capacity(1 << 20, output).lines()))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL; it may have ended by itself.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Waits for its end, at most so long.
    pub fn exit_within(&mut self, time: Duration) -> Result<ExitStatus, Failure> {
        let started = Instant::now();
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None if started.elapsed() > time => return Err(format!("a process lives on after {time:?}").into()),
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// SIGTERM to a process.
pub fn terminate(pid: u32) -> Result<(), Failure> {
    Command::new("kill").arg(pid.to_string()).status()?;
    Ok(())
}

/// The values of the line that a process prints when it is ready.
pub fn ready(lines: &mut Output) -> Result<HashMap<String, String>, Failure> {
    let line = lines.next().transpose()?.ok_or("a process ended before it was ready")?;
    let pairs = line.strip_prefix("ready ").ok_or("a process is not ready")?.split(' ');
    Ok(pairs.filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}
