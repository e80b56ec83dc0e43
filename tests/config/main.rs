//! The configuration from outside: layers, names, problems, and that no secret is ever shown.
//!
//! Variables are handed in; none of these tests changes the process's own.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

mod layers;
mod policy;
mod problems;
mod recording;
mod redis_url;
mod reload;
mod secrets;
mod store;
mod webhooks;

use std::fs;
use std::path::PathBuf;

use bellwire::config::Config;
use bellwire::config::ConfigError;
use tempfile::TempDir;

const TICKET_SECRET: &str = "ticket-secret-of-at-least-32-bytes";
const TICKET: (&str, &str) = ("BELLWIRE__AUTH__TICKET_SECRET", TICKET_SECRET);

/// Every key of the design's page on configuration, with the values that it has there where they are values.
const EVERY_KEY: &str = r#"
    [http]
    listen = "127.0.0.1:8080"
    ops_listen = "127.0.0.1:9090"
    trusted_proxies = []
    cors_origins = []
    public_url = ""
    shutdown_grace = "15s"

    [[auth.users]]
    issuer = "https://project.supabase.co/auth/v1"
    audience = "authenticated"
    algorithm = "ES256"
    jwks_url = "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    required_claims = { role = "authenticated" }
    user_claim = "sub"
    name_claim = "app_metadata.name"
    avatar_claim = "app_metadata.avatar_url"
    avatar_hosts = []
    user_prefix = ""
    apps = []

    [auth]
    service_keys = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    ticket_secret = "ticket-secret-of-at-least-32-bytes"
    leeway = "30s"

    [store]
    url = "embedded:data/bellwire.redb"
    timeout = "1s"

    [call]
    ring = "45s"
    connect_timeout = "20s"
    reconnect_grace = "30s"
    max_duration = "4h"
    call_waiting = false
    decline = "call"
    retention = "7d"

    [livekit]
    url = "ws://127.0.0.1:7880"
    api_url = "http://127.0.0.1:7880"
    api_key = "devkey"
    api_secret = "secret"

    [push]
    payload = "bellwire"
    privacy = "full"
    missed_call = true
    repush_after = "6s"
    repush_max = 2
    repush_ios = false
    voip_budget = 0

    [[push.apns]]
    app = "com.example.phone"
    environment = "production"
    payload = "callkeep"
    localize = true
    ring_sound = "ring.caf"
    team_id = "TEAM123456"
    key_id = "ABC123DEFG"
    key_file = "apns.p8"
    endpoint = "https://api.push.apple.com"
    ca_file = "ca.pem"
    connections = 2

    [[push.fcm]]
    app = "com.example.phone"
    payload = "flutter-callkit-incoming"
    localize = true
    missed_call_as = "notification"
    project_id = "project"
    service_account_file = "fcm.json"
    endpoint = "https://fcm.googleapis.com"
    ca_file = "ca.pem"

    [recording]
    policy = "party"
    media = "composite"
    audio_format = "ogg"
    retention = "30d"
    link_ttl = "5m"
    prefix = "calls/recordings"

    [recording.s3]
    bucket = "calls"
    region = "auto"
    endpoint = "https://account.r2.cloudflarestorage.com"
    link_endpoint = "https://recordings.example.com"
    access_key = "key"
    secret = "hidden-of-the-storage"
    force_path_style = true

    [limits]
    ip = "50/s"
    invites_per_user = "30/min"
    invites_per_callee = "60/min"
    invites_per_pair = "10/min"
    tokens_per_user = "60/min"
    registrations_per_user = "20/min"
    event_streams_per_user = 20

    [[webhooks]]
    url = "https://api.example.com/bellwire"
    secrets = ["whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM="]
    events = ["call.ended", "call.missed", "user.banned", "usage.warning", "recording.ready"]

    [usage]
    participant_minutes_per_month = 0
    concurrent_participants = 0
    warn_at = [0.8, 1.0]

    [telemetry]
    log_level = "info"
    log_format = "human"
    otlp_endpoint = ""
    trace_ratio = 1.0
"#;

/// A folder with the files of one test.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn variables(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn by_variables(given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(None, variables(given))
}

fn by_file(text: &str, given: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = Folder::with(&[("bellwire.toml", text)]);
    Config::load(Some(&folder.path("bellwire.toml")), variables(given))
}

fn problems(result: Result<Config, ConfigError>) -> Vec<String> {
    let error = result.expect_err("a configuration that cannot be used");
    assert!(matches!(error, ConfigError::Invalid(_)), "{error}");
    error.problems().iter().map(ToString::to_string).collect()
}

fn described(config: &Config, key: &str) -> String {
    let value = config.describe().into_iter().find(|(described, _)| described == key);
    value.unwrap_or_else(|| panic!("{key} is not described")).1
}
