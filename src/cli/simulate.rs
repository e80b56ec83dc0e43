//! `bellwire simulate`: APNs and FCM on this machine, printing each push as it comes.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;

use super::CliError;
use crate::clock::Clock;
use crate::domain::Environment;
use crate::lifecycle;
use crate::simulator::{Follower, Options, Rule, Simulator};

/// How often the file of rules is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Run a simulator of APNs and FCM, for tests and staging.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The name in its URLs and certificate, if others reach it by one.
    #[arg(long)]
    host: Option<String>,
    /// Port of APNs production; 0 lets the system choose, here and below.
    #[arg(long, default_value_t = 0)]
    apns_port: u16,
    /// Port of APNs sandbox.
    #[arg(long, default_value_t = 0)]
    apns_sandbox_port: u16,
    /// Port of FCM and OAuth.
    #[arg(long, default_value_t = 0)]
    fcm_port: u16,
    /// Where to write the keys and the trust root that go with it.
    #[arg(long, value_name = "FOLDER", default_value = "data/simulator")]
    credentials: PathBuf,
    /// A fault, such as "10% of apns 503" or "fcm UNREGISTERED for TOKEN times 1"; may be given several times.
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule>,
    /// A file of faults (docs/SIMULATOR.md); read again whenever it changes.
    #[arg(long = "rules", value_name = "FILE")]
    rule_file: Option<PathBuf>,
    /// Where to take orders and questions by HTTP, such as 127.0.0.1:0; nowhere by default.
    #[arg(long, value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    /// Allow a control address that other machines reach. Whoever reaches it is obeyed.
    #[arg(long)]
    control_from_anywhere: bool,
    /// How many requests to remember, the last ones; each takes about two kilobytes.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    remember: usize,
    /// Print no requests.
    #[arg(long)]
    quiet: bool,
}

impl Simulate {
    pub(super) async fn run(self) -> Result<(), CliError> {
        if let Some(control) = self.control.filter(|control| !control.ip().is_loopback() && !self.control_from_anywhere)
        {
            let why = "is reached by other machines, and whoever reaches it is obeyed";
            return Err(CliError::Failed(format!("--control {control} {why}; --control-from-anywhere allows that")));
        }
        let mut file = self.rule_file.map(RuleFile::new);
        let rules_of_file = file.as_mut().map(RuleFile::read).transpose().map_err(CliError::Failed)?;
        let options = Options {
            listen: self.listen,
            host: self.host,
            apns_port: self.apns_port,
            apns_sandbox_port: self.apns_sandbox_port,
            fcm_port: self.fcm_port,
            control: self.control,
            rules: self.rules,
            log_capacity: self.remember,
            ..Options::new(Clock::system())
        };
        let failed = |error: &dyn std::error::Error| CliError::Failed(super::with_causes(error));
        let simulator = Simulator::start(options).await.map_err(|error| failed(&error))?;
        simulator.replace_file_rules(rules_of_file.unwrap_or_default());
        let ended = lifecycle::asked_to_end()?;
        tokio::pin!(ended);
        println!("{}", ready(&simulator, &self.credentials)?);
        let mut follower = simulator.log().follow();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                printed = print(&mut follower), if !self.quiet => printed?,
                _ = look.tick() => if let Some(file) = &mut file { file.follow(&simulator) },
                () = &mut ended => {
                    simulator.stop().await;
                    return Ok(());
                }
            }
        }
    }
}

/// Writes the credentials, and gives the line with all that a gateway's configuration needs.
fn ready(simulator: &Simulator, folder: &Path) -> io::Result<String> {
    let files = simulator.credentials().write_to(folder)?;
    let credentials = simulator.credentials();
    let mut line = format!(
        "ready apns={} apns_sandbox={} fcm={} team_id={} key_id={} key_file={} service_account_file={} ca_file={}",
        simulator.apns_url(Environment::Production),
        simulator.apns_url(Environment::Sandbox),
        simulator.fcm_url(),
        credentials.apns_team_id,
        credentials.apns_key_id,
        files.apns_key.display(),
        files.service_account.display(),
        files.ca.display(),
    );
    if let Some(control) = simulator.control_url() {
        line.push_str(" control=");
        line.push_str(&control);
    }
    Ok(line)
}

/// Waits for a request, and prints it with all that have come meanwhile.
async fn print(follower: &mut Follower) -> io::Result<()> {
    let mut next = Some(follower.next().await);
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some(received) = next {
        serde_json::to_writer(&mut out, &received)?;
        out.write_all(b"\n")?;
        next = follower.next().now_or_never();
    }
    out.flush()
}

/// The file of rules, and when it was last changed as far as is known.
struct RuleFile {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
}

impl RuleFile {
    fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    fn read(&mut self) -> Result<Vec<Rule>, String> {
        self.seen = self.state();
        let path = self.path.display();
        let text = fs::read_to_string(&self.path).map_err(|error| format!("{path}: {error}"))?;
        let named = |error: crate::simulator::RuleFileError| {
            error.to_string().lines().map(|line| format!("{path}: {line}")).collect::<Vec<_>>().join("\n")
        };
        Rule::parse_file(&text).map_err(named)
    }

    /// Puts what it says now in the place of what it said, if it has changed; what is wrong is told and changes nothing.
    fn follow(&mut self, simulator: &Simulator) {
        if self.state() == self.seen {
            return;
        }
        match self.read() {
            Ok(rules) => {
                eprintln!("bellwire: {} was read again: {} rules", self.path.display(), rules.len());
                simulator.replace_file_rules(rules);
            }
            Err(error) => eprintln!("bellwire: the rules stay as they were: {error}"),
        }
    }

    fn state(&self) -> Option<(SystemTime, u64)> {
        let data = fs::metadata(&self.path).ok()?;
        Some((data.modified().ok()?, data.len()))
    }
}
