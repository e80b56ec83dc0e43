//! A gateway as a process of its own, which can be killed and started again on the same store.

use std::fs::File;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use bellwire::simulator::Simulator;

use super::command::Running;
use super::{EMBEDDED, Http, Stage, start_simulator, write_config};

/// A running `bellwire serve`; killed when dropped.
pub struct Process {
    running: Running,
    /// The address of the API.
    pub http: String,
}

impl Process {
    /// Starts it and waits for its ready line. What it logs goes to `log` in its folder.
    async fn start(config_file: &Path) -> Self {
        let log = config_file.with_file_name("log");
        let stderr = File::options().create(true).append(true).open(&log).expect("a log");
        let config_file = config_file.to_str().expect("text");
        let mut running = Running::logging_to(stderr, &[], &["serve", "--config", config_file]);
        let http = running.ready().await;
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        Self { http: http.unwrap_or_else(|| panic!("not ready: {}", told())), running }
    }

    /// SIGKILL: it has no chance to finish anything.
    pub async fn kill(&mut self) {
        self.running.kill();
        self.exit().await;
    }

    /// SIGTERM: it is asked to end.
    pub fn terminate(&self) {
        self.running.signal("TERM");
    }

    /// SIGSTOP: it stands still, and what is sent to it waits.
    pub fn pause(&self) {
        self.running.signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.running.signal("CONT");
    }

    /// Waits for its end, which must come soon.
    pub async fn exit(&mut self) -> ExitStatus {
        self.running.exit().await
    }
}

impl Stage<Process> {
    /// A stage whose gateway is a process of its own, with these configuration lines too.
    pub async fn of_process(extra: &str) -> Self {
        let clock = Clock::system();
        Self::on_store(EMBEDDED, start_simulator(&clock).await, clock, extra).await
    }

    /// As [`of_process`](Self::of_process), on this store and with a simulator that others may share.
    pub(super) async fn on_store(store: &str, simulator: Arc<Simulator>, clock: Clock, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let quiet = if extra.contains("[telemetry]") { "" } else { "[telemetry]\nlog_level = \"warn\"" };
        let extra = format!("{extra}\n{quiet}");
        let config_file = write_config(folder.path(), &simulator, store, &extra);
        let gateway = Process::start(&config_file).await;
        let http = Http::new(gateway.http.clone());
        Self { gateway, simulator, clock, http, config_file, _folder: folder }
    }

    /// Starts the gateway again on the same store, and gives the time when it was ready.
    pub async fn start_again(&mut self) -> Timestamp {
        self.gateway = Process::start(&self.config_file).await;
        self.http = Http::new(self.gateway.http.clone());
        self.clock.now()
    }

    /// What the gateway has logged.
    pub fn told(&self) -> String {
        std::fs::read_to_string(self.config_file.with_file_name("log")).unwrap_or_default()
    }
}
