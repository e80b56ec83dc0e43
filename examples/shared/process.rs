//! What the system says that a process uses.

use std::process::Command;
use std::time::Duration;

use crate::Failure;

/// Clock ticks a second in `/proc`, the same on every Linux.
const TICKS: f64 = 100.0;
/// Files that a gateway has open beside its streams.
const OTHER_FILES: usize = 512;

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

/// Bytes that came in and went out so far on the TCP connections that a process has open now; none without `ss`.
///
/// `/proc/<pid>/io` does not count what goes by `recv` and `send`.
pub fn traffic(pid: u32) -> Option<(f64, f64)> {
    let output = Command::new("ss").args(["-tinpHO", "state", "established"]).output().ok()?;
    let (text, owner) = (String::from_utf8(output.stdout).ok()?, format!(",pid={pid},"));
    let sum = |key: &str| -> f64 {
        let own = text.lines().filter(|line| line.contains(&owner));
        own.filter_map(|line| line.split_once(key)?.1.split(' ').next()?.parse::<f64>().ok()).sum()
    };
    Some((sum(" bytes_received:"), sum(" bytes_sent:")))
}

/// How many event streams a process may have open that has as many files as this one: an eighth of the places is for ringing phones.
pub fn most_streams() -> Result<usize, Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    Ok(files.ok_or("no limit of files")?.parse::<usize>().unwrap_or(usize::MAX).saturating_sub(OTHER_FILES) / 8 * 7)
}

/// The processes that one has started: the service, if that one is a wrapper around it.
pub fn children_of(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
