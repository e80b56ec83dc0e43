//! What the gateways are configured with, and the secrets that nobody may find in their logs.

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwire::domain::Environment;
use bellwire::simulator::Simulator;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use toml::{Table, Value};

use crate::Failure;

/// The app whose phones ring.
pub const APP: &str = "com.example.chaos";
/// Who issues the users' tokens, for whom, and the secret for it.
pub const ISSUER: &str = "chaos";
pub const AUDIENCE: &str = "bellwire";
pub const USER_SECRET: &str = "chaos-secret-of-the-identity-provider";
/// The backend's key.
pub const SERVICE_KEY: &str = "bw_sk_chaos-chaos-chaos-chaos-chaos";
const TICKET_SECRET: &str = "chaos-secret-that-signs-the-tickets";
const LIVEKIT_SECRET: &str = "chaos-secret-shared-with-livekit";
/// What stands in no log.
pub const SECRETS: [&str; 4] = [USER_SECRET, SERVICE_KEY, TICKET_SECRET, LIVEKIT_SECRET];

/// How long an answered call may last; short, so that forgotten ones end within the run.
pub const LONGEST_CALL_SECONDS: u64 = 8;

/// Writes the configuration of a gateway on a store, and the keys beside it.
pub fn write(folder: &Path, simulator: &Simulator, store: &str) -> Result<PathBuf, Failure> {
    let files = simulator.credentials().write_to(folder)?;
    let credentials = simulator.credentials();
    let text = format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        shutdown_grace = "8s"
        [auth]
        ticket_secret = "{TICKET_SECRET}"
        service_keys = ["sha256:{service_key}"]
        [[auth.users]]
        issuer = "{ISSUER}"
        audience = "{AUDIENCE}"
        algorithm = "HS256"
        secret = "{USER_SECRET}"
        name_claim = "name"
        [store]
        url = "{store}"
        [call]
        ring = "5s"
        max_duration = "{LONGEST_CALL_SECONDS}s"
        [livekit]
        rooms = false
        api_secret = "{LIVEKIT_SECRET}"
        [limits]
        ip = ""
        invites_per_user = ""
        invites_per_callee = ""
        invites_per_pair = ""
        tokens_per_user = ""
        registrations_per_user = ""
        [[push.apns]]
        app = "{APP}"
        environment = "production"
        team_id = "{team}"
        key_id = "{key}"
        key_file = "{key_file}"
        endpoint = "{apns}"
        ca_file = "{ca}"
        [[push.fcm]]
        app = "{APP}"
        service_account_file = "{service_account}"
        endpoint = "{fcm}"
        ca_file = "{ca}"
        "#,
        service_key = HEXLOWER.encode(digest(&SHA256, SERVICE_KEY.as_bytes()).as_ref()),
        team = credentials.apns_team_id,
        key = credentials.apns_key_id,
        key_file = files.apns_key.display(),
        apns = simulator.apns_url(Environment::Production),
        ca = files.ca.display(),
        service_account = files.service_account.display(),
        fcm = simulator.fcm_url(),
    );
    let path = folder.join("bellwire.toml");
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Writes a configuration once more, without the keys that another program does not know and would refuse.
pub fn write_for(bellwire: &Path, config: &Path) -> Result<PathBuf, Failure> {
    let mut table: Table = std::fs::read_to_string(config)?.parse()?;
    let path = config.with_file_name("other.toml");
    loop {
        std::fs::write(&path, table.to_string())?;
        // Something that reads it and ends.
        let output = Command::new(bellwire).args(["token", "user", "nobody", "--config"]).arg(&path).output()?;
        if output.status.success() {
            return Ok(path);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let unknown = said.lines().filter_map(|line| line.trim().split_once(": unknown key"));
        let taken_out = unknown.filter(|(key, _)| take_out(&mut table, key)).count();
        if taken_out == 0 {
            return Err(format!("{} does not take the configuration: {said}", bellwire.display()).into());
        }
    }
}

/// Takes a key of a section out; false if it is not there.
fn take_out(table: &mut Table, key: &str) -> bool {
    let Some((section, key)) = key.split_once('.') else { return table.remove(key).is_some() };
    table.get_mut(section).and_then(Value::as_table_mut).is_some_and(|section| section.remove(key).is_some())
}
