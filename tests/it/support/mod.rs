//! A stage for tests of the whole: a real gateway on the embedded store, real pushes over TLS to the simulator, and
//! people with phones.
//!
//! Every test has a stage of its own, on ports that the system chose and in a folder of its own. Its clock can be moved forward.

pub mod child;
pub mod collector;
pub mod command;
mod dice;
mod fleet;
mod http;
pub mod livekit;
pub mod livekit_fake;
mod observe;
pub mod panics;
pub mod people;
pub mod ports;
pub mod postgres;
mod process;
pub mod proxy;
mod reader;
pub mod receiver;
pub mod redis;
mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bellwire::app::Gateway;
use bellwire::clock::Clock;
use bellwire::config::Config;
use bellwire::domain::Environment;
use bellwire::simulator::{Log, Options, Simulator};

pub use dice::Dice;
pub use fleet::{Fleet, STORE_TIMEOUT};
pub use http::{Http, Reply, plain_client};
pub use observe::{claims, expect_ended, rfc3339};
pub use people::{Device, Sse, bearer, service_bearer, user_token};
pub use process::Process;
pub use reader::Reader;
pub use socket::Socket;

/// How long is waited for what should happen at once or within some retries: enough for a busy machine, so that only what hangs fails.
pub const SOON: Duration = Duration::from_secs(30);
/// How late something may be on a busy machine that is promised to be at most two seconds late on one that is not.
pub const BUSY: Duration = Duration::from_secs(10);
/// The app whose devices ring.
pub const APP: &str = "com.example.phone";
/// The secret of the users' identity provider.
pub const USER_SECRET: &str = "a-secret-of-the-identity-provider-00";
/// The backend's key.
pub const SERVICE_KEY: &str = "bw_sk_tests-tests-tests-tests-tests";

/// The lines of `[store]` for a stage of one gateway. It waits longer than by default, since a disk that is busy may take seconds for
/// what is written.
const EMBEDDED: &str = "url = \"embedded:calls.redb\"\ntimeout = \"20s\"";

/// A running gateway, in this process or as a [`Process`] of its own, and what surrounds it.
pub struct Stage<G = Gateway> {
    pub gateway: G,
    pub simulator: Arc<Simulator>,
    pub clock: Clock,
    pub http: Http,
    pub config_file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// A stage with the defaults.
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// A stage whose configuration has these lines too: whole sections other than `[http]`, `[auth]`, `[store]`.
    pub async fn with(extra: &str) -> Self {
        Self::configured(extra, |_| {}).await
    }

    /// As [`with`](Self::with), and `change` has the last word on the configuration.
    pub async fn configured(extra: &str, change: impl FnOnce(&mut Config)) -> Self {
        let clock = Clock::system();
        Self::on(EMBEDDED, start_simulator(&clock).await, clock, extra, change).await
    }

    /// As [`with`](Self::with), on a clock that others share.
    pub async fn on_clock(clock: Clock, extra: &str) -> Self {
        Self::on(EMBEDDED, start_simulator(&clock).await, clock, extra, |_| {}).await
    }

    /// A stage on this store, with a simulator that others may share.
    pub async fn on(
        store: &str,
        simulator: Arc<Simulator>,
        clock: Clock,
        extra: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config_file = write_config(folder.path(), &simulator, store, extra);
        let mut config = Config::load(Some(&config_file), []).expect("the configuration");
        change(&mut config);
        let gateway = Gateway::start(&config, clock.clone(), false).await.expect("the gateway");
        let http = Http::new(gateway.url());
        Self { gateway, simulator, clock, http, config_file, _folder: folder }
    }
}

impl<G> Stage<G> {
    /// What the providers received.
    pub fn pushes(&self) -> &Log {
        self.simulator.log()
    }
}

async fn start_simulator(clock: &Clock) -> Arc<Simulator> {
    bellwire::crypto::install().expect("the JWT provider");
    Arc::new(Simulator::start(Options::new(clock.clone())).await.expect("the simulator"))
}

/// The lines with every rate that they do not set so high that nobody meets it: tests make more calls than people do, and all from one
/// address.
fn with_high_rates(extra: &str) -> String {
    const HIGH: [(&str, &str); 9] = [
        ("ip", "\"1000000/h\""),
        ("invites_per_user", "\"1000000/h\""),
        ("invites_per_callee", "\"1000000/h\""),
        ("invites_per_pair", "\"1000000/h\""),
        ("tokens_per_user", "\"1000000/h\""),
        ("registrations_per_user", "\"1000000/h\""),
        ("new_tokens_per_user", "\"1000000/h\""),
        ("connections_per_ip", "0"),
        ("requests_per_ip", "0"),
    ];
    let is_set = |key: &str| extra.lines().any(|line| line.trim().starts_with(&format!("{key} =")));
    let high = HIGH.into_iter().filter(|(key, _)| !is_set(key)).map(|(key, value)| format!("{key} = {value}\n"));
    let section = format!("[limits]\n{}", high.collect::<String>());
    if extra.contains("[limits]\n") { extra.replace("[limits]\n", &section) } else { format!("{extra}\n{section}") }
}

/// Writes a configuration for this simulator and this `[store]` into a folder, and the keys beside it.
fn write_config(folder: &std::path::Path, simulator: &Simulator, store: &str, extra: &str) -> PathBuf {
    let files = simulator.credentials().write_to(folder).expect("the credentials");
    let credentials = simulator.credentials();
    let service_key_hash =
        data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, SERVICE_KEY.as_bytes()).as_ref());
    let apns = [Environment::Production, Environment::Sandbox]
        .into_iter()
        .map(|environment| {
            format!(
                r#"
                [[push.apns]]
                app = "{APP}"
                environment = "{}"
                team_id = "{}"
                key_id = "{}"
                key_file = "{}"
                endpoint = "{}"
                ca_file = "{}"
                "#,
                environment.as_str(),
                credentials.apns_team_id,
                credentials.apns_key_id,
                files.apns_key.display(),
                simulator.apns_url(environment),
                files.ca.display(),
            )
        })
        .collect::<Vec<_>>()
        .concat();
    let extra = with_high_rates(extra);
    let text = format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        [auth]
        ticket_secret = "a-secret-for-the-tickets-of-the-tests"
        service_keys = ["sha256:{service_key_hash}"]
        [[auth.users]]
        issuer = "tests"
        audience = "bellwire"
        algorithm = "HS256"
        secret = "{USER_SECRET}"
        name_claim = "name"
        [store]
        {store}
        {apns}
        [[push.fcm]]
        app = "{APP}"
        service_account_file = "{service_account}"
        endpoint = "{fcm}"
        ca_file = "{ca}"
        {livekit}
        {extra}
        "#,
        livekit = if extra.contains("[livekit]") { "" } else { "[livekit]\nrooms = false" },
        service_account = files.service_account.display(),
        fcm = simulator.fcm_url(),
        ca = files.ca.display(),
    );
    let path = folder.join("bellwire.toml");
    std::fs::write(&path, text).expect("the configuration file");
    path
}
