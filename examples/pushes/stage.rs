//! The simulator in a process of its own, and what a client needs to be let in by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bellwire::clock::Clock;
use bellwire::config::Config;
use bellwire::crypto::Es256Key;
use bellwire::domain::Environment;
use bellwire::simulator::{Options, Simulator};
use serde_json::json;

use crate::Failure;
use crate::shared::Process;

pub const APP: &str = "com.example.phone";

/// A simulator that runs, and its files.
pub struct Stage {
    pub url: String,
    pub team_id: String,
    pub key_id: String,
    folder: tempfile::TempDir,
    _simulator: Process,
}

/// The simulator's process: tells where it is, and goes on until it is killed.
pub async fn simulate(folder: &Path) -> Result<(), Failure> {
    let simulator = Simulator::start(Options { log_capacity: 1, ..Options::new(Clock::system()) }).await?;
    let credentials = simulator.credentials();
    credentials.write_to(folder)?;
    println!(
        "{} {} {}",
        simulator.apns_url(Environment::Production),
        credentials.apns_team_id,
        credentials.apns_key_id
    );
    std::future::pending().await
}

impl Stage {
    pub fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        let (simulator, mut output) = Process::spawn(command.arg("simulator").arg(folder.path()))?;
        let line = output.next().ok_or("the simulator said nothing")??;
        let [url, team_id, key_id] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err("unexpected line".into());
        };
        let (url, team_id, key_id) = (url.to_owned(), team_id.to_owned(), key_id.to_owned());
        Ok(Self { url, team_id, key_id, folder, _simulator: simulator })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration with one app at Apple.
    pub fn config(&self) -> Result<Config, Failure> {
        let text = format!(
            r#"
            [auth]
            ticket_secret = "a-secret-for-the-tickets-of-the-bench"
            [livekit]
            rooms = false
            api_key = "devkey"
            api_secret = "a-secret-of-livekit-that-is-long-enough"
            [[push.apns]]
            app = "{APP}"
            team_id = "{}"
            key_id = "{}"
            key_file = "apns.p8"
            endpoint = "{}"
            ca_file = "ca.pem"
            "#,
            self.team_id, self.key_id, self.url
        );
        let path = self.file("bellwire.toml");
        fs::write(&path, text)?;
        Ok(Config::load(Some(&path), [])?)
    }

    /// A provider token, as the value of the `authorization` header.
    pub fn authorization(&self) -> Result<String, Failure> {
        let key = Es256Key::from_pem(&fs::read_to_string(self.file("apns.p8"))?)?;
        let claims = json!({"iss": self.team_id, "iat": Clock::system().now().as_secs()});
        Ok(format!("bearer {}", key.sign_jwt(&json!({"kid": self.key_id}), &claims)?))
    }
}

/// A device token of Apple's shape.
pub fn token(number: u32) -> String {
    format!("{number:064x}")
}
