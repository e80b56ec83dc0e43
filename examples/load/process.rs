//! Processes that end with this one, and what the system says that they use.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Failure;

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;

/// A process that ends with this one.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Result<Self, Failure> {
        Ok(Self(command.spawn()?))
    }

    /// Starts a process, and reads what it prints.
    pub fn spawn_to_read(command: &mut Command) -> Result<(Self, Output), Failure> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        Ok((Self(child), BufReader::with_capacity(1 << 20, output).lines()))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The process that this one started, if it is no more than a wrapper.
    pub fn child(&self) -> Option<u32> {
        let id = self.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }

    pub fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<(), Failure> {
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process prints.
pub type Output = Lines<BufReader<ChildStdout>>;

/// CPU time of a process so far, user and system.
pub fn cpu(pid: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold blanks; utime and stime are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let used = ticks(11).zip(ticks(12)).ok_or("/proc/PID/stat is not as expected")?;
    Ok(Duration::from_secs_f64((used.0 + used.1) / TICKS))
}

/// Resident memory of a process now, in megabytes.
pub fn memory(pid: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
