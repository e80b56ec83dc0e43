//! A gateway as a process of its own, which can be killed and started again on the same store.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::Timestamp;
use bellwire::simulator::Simulator;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::{EMBEDDED, Http, SOON, Stage, start_simulator, write_config};

/// A running `bellwire serve`; killed when dropped.
pub struct Process {
    child: Child,
    /// Ends when the process does, which closes its standard output.
    closed: JoinHandle<()>,
    /// The address of the API.
    pub http: String,
}

impl Process {
    /// Starts it and waits for its ready line. What it logs goes to `log` in its folder.
    async fn start(config_file: &Path) -> Self {
        let log = config_file.with_file_name("log");
        let open = |path: &Path| -> File { OpenOptions::new().create(true).append(true).open(path).expect("a log") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwire"));
        command.arg("serve").arg("--config").arg(config_file);
        let mut child = command.stdout(Stdio::piped()).stderr(open(&log)).spawn().expect("bellwire starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let reading = spawn_blocking(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            (read.map(|_| line), stdout)
        });
        let (line, mut stdout) = timeout(SOON, reading).await.expect("ready in time").expect("no panic");
        let line = line.expect("a line");
        let told = || std::fs::read_to_string(&log).unwrap_or_default();
        let port = |name: &str| {
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {line:?}: {}", told())).to_owned()
        };
        let closed = spawn_blocking(move || {
            // Whatever comes last, an error included, is the end.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        Self { http: format!("http://{}", port("http=")), child, closed }
    }

    /// SIGKILL: it has no chance to finish anything.
    pub async fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.exit().await;
    }

    /// How much processor time it has had.
    pub fn cpu_time(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let spent = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default()
        });
        Duration::from_nanos(spent.sum())
    }

    /// SIGTERM: it is asked to end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGSTOP: it stands still, and what is sent to it waits.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its end, which must come soon.
    pub async fn exit(&mut self) -> ExitStatus {
        timeout(SOON * 2, &mut self.closed).await.expect("it ends").expect("no panic");
        self.child.wait().expect("a status")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
