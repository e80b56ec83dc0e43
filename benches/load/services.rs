//! The services that are measured side by side, and how each is started on the same simulator and Redis.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::client::Transport;
use crate::{Failure, Scenario};

/// The app whose phones ring.
pub const APP: &str = "com.example.phone";
/// Who issues the users' tokens, for whom, and the secret for it.
pub const ISSUER: &str = "load";
pub const AUDIENCE: &str = "bellwire";
pub const USER_SECRET: &str = "a-secret-of-the-identity-provider-00";
const TICKET_SECRET: &str = "a-secret-for-the-tickets-of-the-load";

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Bellwire on Redis.
    Bellwire,
    /// The same in a plain build: that of the profile `dist`, beside this program.
    Plain,
    /// Bellwire on its embedded store.
    Embedded,
    /// What a team would write instead (benches/peers/node), on Redis.
    Node,
    /// The same with the other client for APNs.
    NodeApns2,
    /// The unavoidable work of an invite, with nothing around it (benches/floor), on Redis.
    Floor,
}

/// The programs.
pub struct Programs {
    pub bellwire: PathBuf,
    pub plain: PathBuf,
    pub floor: PathBuf,
    /// The folder of the Node peer.
    pub node: PathBuf,
    pub redis_server: String,
}

impl Service {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bellwire => "bellwire",
            Self::Plain => "plain",
            Self::Embedded => "embedded",
            Self::Node => "node",
            Self::NodeApns2 => "node-apns2",
            Self::Floor => "floor",
        }
    }

    /// Whether it can do what a scenario asks for.
    pub const fn can(self, scenario: Scenario) -> bool {
        match self {
            Self::Bellwire | Self::Embedded => true,
            Self::Node => !matches!(scenario, Scenario::Slow | Scenario::Ringing),
            Self::Plain | Self::NodeApns2 | Self::Floor => matches!(scenario, Scenario::Storm | Scenario::Rates),
        }
    }

    /// Whether it is Bellwire, and not what Bellwire is compared with.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Bellwire | Self::Plain | Self::Embedded)
    }

    /// Whether it knows of cancels.
    pub const fn cancels(self) -> bool {
        !matches!(self, Self::Floor)
    }

    /// How it tells events.
    pub const fn transports(self) -> &'static [Transport] {
        match self {
            Self::Bellwire | Self::Plain | Self::Embedded => &[Transport::WebSocket, Transport::Sse],
            Self::Node | Self::NodeApns2 | Self::Floor => &[Transport::Sse],
        }
    }

    /// The command that starts it, on what the simulator said of itself.
    pub fn command(
        self,
        programs: &Programs,
        simulator: &HashMap<String, String>,
        redis: &str,
        folder: &Path,
    ) -> Result<Command, Failure> {
        let value = |key: &str| simulator.get(key).ok_or_else(|| format!("the simulator says no {key}"));
        if self.is_ours() {
            let store = if self == Self::Embedded { "embedded:calls.redb" } else { redis };
            let config = folder.join("bellwire.toml");
            std::fs::write(&config, configuration(value, store)?)?;
            let mut command = Command::new(if self == Self::Plain { &programs.plain } else { &programs.bellwire });
            command.args(["serve", "--config"]).arg(config);
            return Ok(command);
        }
        let mut command = match self {
            Self::Node | Self::NodeApns2 => {
                let mut command = Command::new("node");
                command.arg(programs.node.join("src/main.js"));
                command
            }
            _ => Command::new(&programs.floor),
        };
        let fixed = [
            ("NODE_ENV", "production"),
            ("LISTEN", "127.0.0.1:0"),
            ("REDIS_URL", redis),
            ("APP", APP),
            ("JWT_ISSUER", ISSUER),
            ("JWT_AUDIENCE", AUDIENCE),
            ("JWT_SECRET", USER_SECRET),
            ("TICKET_SECRET", TICKET_SECRET),
        ];
        let told = [
            ("CA_FILE", "ca_file"),
            ("APNS_ENDPOINT", "apns"),
            ("APNS_TEAM_ID", "team_id"),
            ("APNS_KEY_ID", "key_id"),
            ("APNS_KEY_FILE", "key_file"),
            ("FCM_ENDPOINT", "fcm"),
            ("FCM_SERVICE_ACCOUNT_FILE", "service_account_file"),
        ];
        command.envs(fixed);
        if self == Self::NodeApns2 {
            command.env("APNS_CLIENT", "apns2");
        }
        for (name, key) in told {
            command.env(name, value(key)?);
        }
        Ok(command)
    }
}

/// A configuration with nothing special: the defaults, two connections to each provider, no limits of rates and none of connections.
fn configuration<'a>(value: impl Fn(&str) -> Result<&'a String, String>, store: &str) -> Result<String, Failure> {
    Ok(format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        [auth]
        ticket_secret = "{TICKET_SECRET}"
        [[auth.users]]
        issuer = "{ISSUER}"
        audience = "{AUDIENCE}"
        algorithm = "HS256"
        secret = "{USER_SECRET}"
        name_claim = "name"
        [store]
        url = "{store}"
        [livekit]
        rooms = false
        [limits]
        ip = ""
        invites_per_user = ""
        invites_per_callee = ""
        invites_per_pair = ""
        tokens_per_user = ""
        registrations_per_user = ""
        connections = 1000000
        connections_per_ip = 0
        requests = 1000000
        requests_per_ip = 0
        event_streams = 1000000
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
        team = value("team_id")?,
        key = value("key_id")?,
        key_file = value("key_file")?,
        apns = value("apns")?,
        ca = value("ca_file")?,
        service_account = value("service_account_file")?,
        fcm = value("fcm")?,
    ))
}
