//! What every program tells of itself, under the names that Prometheus's client libraries use, from `/proc`; elsewhere than on Linux nothing.
//!
//! Sources: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics> and proc(5).

use std::fmt;
use std::fs;
use std::sync::LazyLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::metrics::Description;

/// Linux counts a process's time in ticks of this many a second, on every machine that Rust builds for (`USER_HZ`).
const TICKS: f64 = 100.0;

/// One of them: its name (of a count, without `_total`), what it is, and what it says.
type Row = (&'static str, MetricType, &'static str, fn() -> Option<f64>);

const ROWS: [Row; 7] = [
    (
        "process_cpu_seconds",
        MetricType::Counter,
        "Time of processors that this process has used, its own and the system's for it",
        cpu_seconds,
    ),
    ("process_resident_memory_bytes", MetricType::Gauge, "Memory that this process has in use", || memory("VmRSS:")),
    ("process_virtual_memory_bytes", MetricType::Gauge, "Memory that this process has addresses for", || {
        memory("VmSize:")
    }),
    ("process_threads", MetricType::Gauge, "Threads of this process", || status("Threads:")),
    ("process_open_fds", MetricType::Gauge, "Files and connections that this process has open", open_files),
    ("process_max_fds", MetricType::Gauge, "Files and connections that this process may have open", most_files),
    ("process_start_time_seconds", MetricType::Gauge, "Unix time at which this process was started", started_at),
];

/// What is told of the process.
pub(super) fn descriptions() -> impl Iterator<Item = Description> {
    ROWS.into_iter().map(|(name, kind, help, _)| Description { name: name.to_owned(), kind, help })
}

/// A registry without our prefix, which reads when it is encoded.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, kind, help, read) in ROWS {
            let Some(value) = read() else { continue };
            let encoder = encoder.encode_descriptor(name, &format!("{help}."), None, kind)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(encoder)?,
                _ => ConstGauge::new(value).encode(encoder)?,
            }
        }
        Ok(())
    }
}

/// A field of `/proc/self/stat`, by its number in proc(5), from 3. The second one may have blanks and brackets in it.
fn stat(field: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(field.checked_sub(3)?)?.trim().parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat(14)? + stat(15)?) / TICKS)
}

fn started_at() -> Option<f64> {
    // Once: on machines with many cores it takes the system milliseconds to write.
    static STARTED_AT: LazyLock<Option<f64>> = LazyLock::new(|| {
        let stat_of_all = fs::read_to_string("/proc/stat").ok()?;
        let booted_at = stat_of_all.lines().find_map(|line| line.strip_prefix("btime "))?;
        Some(booted_at.trim().parse::<f64>().ok()? + stat(22)? / TICKS)
    });
    *STARTED_AT
}

/// The number after a word at the beginning of a line of `/proc/self/status`.
fn status(word: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let rest = status.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The same of a line in kB, in bytes.
fn memory(word: &str) -> Option<f64> {
    Some(status(word)? * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "nobody has that many files open")]
fn open_files() -> Option<f64> {
    // Since Linux 6.2 the folder's size is their number; reading it takes milliseconds where there are many.
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    let count = if size > 0 { size } else { fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
    Some(count as f64)
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_and_uses_what_it_is_seen_to_use() {
        let read = |name: &str| ROWS.iter().find(|row| row.0 == name).and_then(|row| row.3()).expect("it is on Linux");
        let (cpu, started) = (read("process_cpu_seconds"), read("process_start_time_seconds"));
        let mut kept = Vec::new();
        while read("process_cpu_seconds") < cpu + 0.05 {
            kept.push(vec![1_u8; 1 << 16]);
        }
        assert!(read("process_resident_memory_bytes") > 1_000_000.0, "{}", kept.len());
        assert!(read("process_virtual_memory_bytes") >= read("process_resident_memory_bytes"));
        assert!(read("process_threads") >= 2.0);
        let now = crate::clock::Clock::system().now().as_secs();
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let age = now as f64 - started;
        // Linux tells of its own start in whole seconds.
        assert!((-2.0..3600.0 * 24.0).contains(&age), "started {age} s ago");
        let open = read("process_open_fds");
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/proc/self/stat").expect("a file")).collect();
        assert!(read("process_open_fds") > open + 20.0, "{} more are open", files.len());
        assert!(read("process_max_fds") > read("process_open_fds"));
    }
}
