//! The demo's folder, and the configuration that the gateway finds in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::stage::APP;
use crate::cli::CliError;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Environment;
use crate::simulator::Simulator;

/// A folder that is removed when this is dropped, unless it was given.
pub(super) struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    /// A new one, for temporary files.
    pub(super) fn create(clock: &Clock) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("bellwire-demo-{}", clock.uuid()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, stays: false })
    }

    /// One that stays.
    pub(super) fn given(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).recursive(true).create(&path)?;
        Ok(Self { path, stays: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The gateway's configuration.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join("bellwire.toml")
    }

    /// Writes it, in one step: a gateway elsewhere may start as soon as it is there.
    pub(super) fn write_config(&self, text: &str) -> Result<Config, CliError> {
        let new = self.path.join("bellwire.toml.new");
        fs::write(&new, text)?;
        fs::rename(&new, self.file())?;
        Ok(Config::load(Some(&self.file()), [])?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("bellwire: {} could not be removed: {error}", self.path.display());
        }
    }
}

/// The configuration; its relative paths start in the folder that it is written to.
pub(super) fn config_text(
    simulator: &Simulator,
    user_secret: &str,
    ticket_secret: &str,
    service_key: &str,
    is_elsewhere: bool,
) -> String {
    // One that is started by somebody else is reached where gateways are by default.
    let (http, ops) = if is_elsewhere { (8080, 9090) } else { (0, 0) };
    let credentials = simulator.credentials();
    let service_key = HEXLOWER.encode(digest(&SHA256, service_key.as_bytes()).as_ref());
    format!(
        r#"[http]
listen = "127.0.0.1:{http}"
ops_listen = "127.0.0.1:{ops}"
shutdown_grace = "5s"

[auth]
ticket_secret = "{ticket_secret}"
service_keys = ["sha256:{service_key}"]

[[auth.users]]
issuer = "demo"
audience = "bellwire"
algorithm = "HS256"
secret = "{user_secret}"
name_claim = "name"

[store]
url = "embedded:calls.redb"

[livekit]
deployment = "demo"
rooms = false

[limits]
invites_per_user = ""
invites_per_callee = ""
invites_per_pair = ""

[[push.apns]]
app = "{APP}"
environment = "production"
team_id = "{team_id}"
key_id = "{key_id}"
key_file = "apns.p8"
endpoint = "{apns}"
ca_file = "ca.pem"

[[push.fcm]]
app = "{APP}"
service_account_file = "fcm-service-account.json"
endpoint = "{fcm}"
ca_file = "ca.pem"
"#,
        team_id = credentials.apns_team_id,
        key_id = credentials.apns_key_id,
        apns = simulator.apns_url(Environment::Production),
        fcm = simulator.fcm_url(),
    )
}
