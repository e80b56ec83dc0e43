//! Which keys a running gateway takes when it reads its configuration again, as docs/OPERATIONS.md tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bellwire::app::reload::taken;
use bellwire::config::{Config, DEFAULTS};

use super::{Folder, variables};

/// Every key that is not as in the defaults, or has none there.
const ALL: &str = r#"
    [auth]
    service_keys = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    ticket_secret = "ticket-secret-of-at-least-32-bytes"
    [[auth.users]]
    issuer = "one"
    audience = "app"
    algorithm = "HS256"
    secret = "user-secret-of-at-least-32-bytes-00"
    required_claims = { role = "authenticated" }
    name_claim = "name"
    avatar_claim = "avatar"
    [[auth.users]]
    issuer = "two"
    algorithm = "ES256"
    public_key_file = "jwt.pem"
    [[auth.users]]
    issuer = "three"
    algorithm = "ES256"
    jwks_url = "https://id.example.com/jwks.json"
    [store]
    url = "redis-sentinel://10.0.0.1/main?tls=true"
    encryption_key = "none"
    username = "bellwire"
    password = "password"
    sentinel_username = "bellwire"
    sentinel_password = "password"
    ca_file = "redis.pem"
    [livekit]
    api_url = "http://127.0.0.1:7880"
    [[livekit.webhook_keys]]
    api_key = "further"
    api_secret = "secret"
    [[push.apns]]
    app = "com.example.phone"
    payload = "bellwire"
    team_id = "TEAM123456"
    key_id = "ABC123DEFG"
    key_file = "apns.p8"
    endpoint = "https://api.push.apple.com"
    ca_file = "apple.pem"
    [[push.apns]]
    app = "com.example.second"
    environment = "sandbox"
    team_id = "TEAM123456"
    key_id_file = "key-id"
    key_file = "apns.p8"
    [[push.fcm]]
    app = "com.example.phone"
    payload = "bellwire"
    project_id = "project"
    service_account_file = "fcm.json"
    ca_file = "google.pem"
    [policy]
    url = "https://api.example.com/may-call?token=a"
    secrets = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM="
    [recording]
    policy = "service"
    [recording.s3]
    bucket = "calls"
    region = "eu-central-1"
    endpoint = "https://s3.example.com"
    link_endpoint = "https://links.example.com"
    access_key = "key"
    secret = "secret"
    [[webhooks]]
    url = "https://api.example.com/hook?token=a"
    secrets = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM="
    [history]
    postgres_url = "postgresql://bellwire:password@db.example.com/postgres?sslmode=verify-full"
    ca_file = "postgres.pem"
"#;

/// A key, as a variable names it, and another value of it.
const OTHERS: &[(&str, &str)] = &[
    ("http.listen", "127.0.0.1:1"),
    ("http.ops_listen", "127.0.0.1:2"),
    ("http.trusted_proxies", "[\"10.0.0.0/8\"]"),
    ("http.cors_origins", "[\"https://app.example.com\"]"),
    ("http.public_url", "https://calls.example.com"),
    ("http.shutdown_grace", "10s"),
    ("auth.service_keys", "[]"),
    ("auth.ticket_secret", "another-secret-of-at-least-32-bytes"),
    ("auth.leeway", "20s"),
    ("auth.users.0.issuer", "other"),
    ("auth.users.0.audience", "other"),
    ("auth.users.1.algorithm", "RS256"),
    ("auth.users.0.secret", "another-secret-of-at-least-32-bytes"),
    ("auth.users.1.public_key_file", "other.pem"),
    ("auth.users.2.jwks_url", "https://other.example.com/jwks.json"),
    ("auth.users.0.required_claims.role", "other"),
    ("auth.users.0.user_claim", "id"),
    ("auth.users.0.name_claim", "other"),
    ("auth.users.0.avatar_claim", "other"),
    ("auth.users.0.avatar_hosts", "[\"cdn.example.com\"]"),
    ("auth.users.0.user_prefix", "u:"),
    ("auth.users.0.apps", "[\"com.example.phone\"]"),
    ("store.url", "redis-sentinel://10.0.0.2/main?tls=true"),
    ("store.timeout", "2s"),
    ("store.encryption_key", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
    ("store.devices_kept", "100d"),
    ("store.username", "other"),
    ("store.password", "other"),
    ("store.sentinel_username", "other"),
    ("store.sentinel_password", "other"),
    ("store.ca_file", "other.pem"),
    ("store.key_prefix", "other"),
    ("call.ring", "30s"),
    ("call.connect_timeout", "10s"),
    ("call.reconnect_grace", "10s"),
    ("call.max_duration", "1h"),
    ("call.call_waiting", "true"),
    ("call.decline", "device"),
    ("call.retention", "8d"),
    ("livekit.url", "wss://livekit.example.com"),
    ("livekit.api_url", "https://livekit.example.com"),
    ("livekit.api_key", "other"),
    ("livekit.api_secret", "other"),
    ("livekit.deployment", "other"),
    ("livekit.rooms", "false"),
    ("livekit.webhook_keys.0.api_key", "other"),
    ("livekit.webhook_keys.0.api_secret", "other"),
    ("push.payload", "callkeep"),
    ("push.privacy", "no_names"),
    ("push.missed_call", "false"),
    ("push.repush_after", "5s"),
    ("push.repush_max", "1"),
    ("push.repush_ios", "true"),
    ("push.voip_budget", "3"),
    ("push.apns.0.app", "com.example.other"),
    ("push.apns.0.environment", "sandbox"),
    ("push.apns.0.payload", "callkeep"),
    ("push.apns.0.localize", "true"),
    ("push.apns.0.ring_sound", "bell.caf"),
    ("push.apns.0.team_id", "TEAM000000"),
    ("push.apns.0.key_id", "ABC0000000"),
    ("push.apns.1.key_id_file", "other"),
    ("push.apns.0.key_file", "other.p8"),
    ("push.apns.0.endpoint", "https://apple.example.com"),
    ("push.apns.0.ca_file", "other.pem"),
    ("push.apns.0.connections", "3"),
    ("push.apns.0.cancel_by_voip", "true"),
    ("push.apns.0.ring_expiration", "5s"),
    ("push.fcm.0.app", "com.example.other"),
    ("push.fcm.0.payload", "callkeep"),
    ("push.fcm.0.missed_call_as", "notification"),
    ("push.fcm.0.localize", "true"),
    ("push.fcm.0.project_id", "other"),
    ("push.fcm.0.service_account_file", "other.json"),
    ("push.fcm.0.endpoint", "https://google.example.com"),
    ("push.fcm.0.ca_file", "other.pem"),
    ("push.fcm.0.connections", "3"),
    ("policy.allow", "contacts"),
    ("policy.url", "https://api.example.com/may-call?token=b"),
    ("policy.secrets", "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzISE="),
    ("policy.timeout", "2s"),
    ("policy.on_failure", "open"),
    ("devices.takeover", "proof"),
    ("recording.policy", "party"),
    ("recording.media", "composite"),
    ("recording.audio_format", "ogg"),
    ("recording.retention", "30d"),
    ("recording.link_ttl", "5m"),
    ("recording.prefix", "other"),
    ("recording.s3.bucket", "other"),
    ("recording.s3.region", "other"),
    ("recording.s3.endpoint", "https://other.example.com"),
    ("recording.s3.link_endpoint", "https://other.example.com"),
    ("recording.s3.access_key", "other"),
    ("recording.s3.secret", "other"),
    ("recording.s3.force_path_style", "true"),
    ("limits.ip", "1/s"),
    ("limits.invites_per_user", "1/s"),
    ("limits.invites_per_callee", "1/s"),
    ("limits.invites_per_pair", "1/s"),
    ("limits.tokens_per_user", "1/s"),
    ("limits.registrations_per_user", "1/s"),
    ("limits.new_tokens_per_user", "1/s"),
    ("limits.event_streams_per_user", "1"),
    ("limits.event_ping", "1s"),
    ("limits.body_bytes", "4096"),
    ("limits.header_timeout", "1s"),
    ("limits.body_timeout", "1s"),
    ("limits.send_timeout", "1s"),
    ("limits.idle_timeout", "1s"),
    ("limits.connections", "1"),
    ("limits.connections_per_ip", "1"),
    ("limits.requests", "1"),
    ("limits.requests_per_ip", "1"),
    ("limits.requests_per_user", "1"),
    ("limits.event_streams", "1"),
    ("webhooks.0.url", "https://api.example.com/hook?token=b"),
    ("webhooks.0.secrets", "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzISE="),
    ("webhooks.0.events", "[\"call.ended\"]"),
    ("history.postgres_url", "postgresql://bellwire:other@db.example.com/postgres?sslmode=verify-full"),
    ("history.ca_file", "other.pem"),
    ("history.schema", "other"),
    ("history.connections", "5"),
    ("history.statement_timeout", "2s"),
    ("history.retention", "30d"),
    ("usage.participant_minutes_per_month", "5"),
    ("usage.concurrent_participants", "5"),
    ("usage.warn_at", "[0.5]"),
    ("telemetry.log_level", "debug"),
    ("telemetry.log_format", "json"),
    ("telemetry.otlp_endpoint", "http://127.0.0.1:4317"),
    ("telemetry.trace_ratio", "0.5"),
];

/// The configuration with one key that is changed.
fn with(file: &Path, key: &str, value: &str) -> Config {
    let name = format!("BELLWIRE__{}", key.to_uppercase().replace('.', "__"));
    Config::load(Some(file), variables(&[(&name, value)])).unwrap_or_else(|error| panic!("{key}: {error}"))
}

/// A key as the table has it: of a list, the same for each.
fn general(key: &str) -> String {
    let steps = key.split('.').filter(|step| step.parse::<usize>().is_err());
    steps.collect::<Vec<_>>().join(".").replace("required_claims.role", "required_claims")
}

/// Whether a change of this key takes effect without a restart; nothing else changes with it, or as it does.
fn takes_effect(file: &Path, key: &str, value: &str) -> bool {
    let (old, new) = (Config::load(Some(file), []).expect("the configuration"), with(file, key, value));
    let in_force = taken(&old, &new);
    let names = |differences: Vec<bellwire::config::Difference>| -> BTreeSet<String> {
        differences.into_iter().map(|difference| difference.key).collect()
    };
    let (changed, waiting) = (names(old.differences(&in_force)), names(in_force.differences(&new)));
    let mut shown = key.to_owned();
    for index in ["0", "1", "2"] {
        shown = shown.replace(&format!(".{index}"), &format!("[{index}]"));
    }
    // The user stands in the URL that is shown.
    let shown = if key == "store.username" { "store.url".to_owned() } else { shown };
    let either = [&changed, &waiting].map(|keys| keys.contains(&shown));
    assert!(either[0] != either[1] && (changed.is_empty() || waiting.is_empty()), "{key}: {changed:?} {waiting:?}");
    either[0]
}

/// The keys of the table, by whether they take effect without a restart.
fn table() -> BTreeMap<String, bool> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).expect("the document");
    let mut keys = BTreeMap::new();
    let rows = text.lines().filter(|line| line.starts_with("| `["));
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [section, live, restart] = cells[..] else { panic!("{row}") };
        let section = section.trim_matches(['`', '[', ']']);
        for (cell, is_live) in [(live, true), (restart, false)] {
            for key in cell.split('`').skip(1).step_by(2) {
                assert_eq!(
                    keys.insert(format!("{section}.{key}"), is_live),
                    None,
                    "{section}.{key} stands there twice"
                );
            }
        }
    }
    keys
}

/// Every key of the defaults, those too that are commented out; of a secret and its file, the secret.
fn every_key() -> BTreeSet<String> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in DEFAULTS.lines() {
        let line = line.trim_start_matches("# ");
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c))
        };
        if line.starts_with('[') && is_name(line.trim_matches(['[', ']'])) {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| is_name(key)) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    let is_file_of_secret = |key: &str| {
        key.strip_suffix("_file").is_some_and(|secret| keys.contains(secret) && !secret.ends_with("key_id"))
    };
    keys.iter().filter(|key| !is_file_of_secret(key)).cloned().collect()
}

#[test]
fn every_key_is_in_the_table_and_does_what_that_says() {
    let folder = Folder::with(&[("bellwire.toml", ALL)]);
    let file = folder.path("bellwire.toml");
    let table = table();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), every_key(), "of the table, and of the defaults");
    assert_eq!(OTHERS.iter().map(|(key, _)| general(key)).collect::<BTreeSet<_>>(), every_key(), "of this test");
    for (key, value) in OTHERS {
        assert_eq!(takes_effect(&file, key, value), table[&general(key)], "{key}");
    }
}

#[test]
fn a_section_that_comes_or_goes_is_named_once() {
    let folder = Folder::with(&[("bellwire.toml", ALL)]);
    fs::write(folder.path("fewer.toml"), ALL.split("[[push.fcm]]").next().expect("a part")).expect("written");
    let load = |name: &str| Config::load(Some(&folder.path(name)), []).expect("a configuration");
    let (all, fewer) = (load("bellwire.toml"), load("fewer.toml"));
    let named = |one: &Config, other: &Config| {
        let differences = one.differences(other).into_iter();
        differences.filter(|one| one.key.starts_with("push")).map(|one| (one.key, one.shown)).collect::<Vec<_>>()
    };
    let gone = [("push.fcm[0]".to_owned(), None)];
    assert_eq!((named(&all, &fewer), named(&fewer, &all)), (gone.to_vec(), gone.to_vec()));
    assert_eq!(taken(&all, &fewer).push.fcm.len(), 1, "that needs a restart");
    assert_eq!(all.differences(&all), []);
}

#[test]
fn no_difference_shows_a_secret() {
    let folder = Folder::with(&[("bellwire.toml", ALL)]);
    let old = Config::load(Some(&folder.path("bellwire.toml")), []).expect("a configuration");
    for (key, value) in OTHERS {
        let new = with(&folder.path("bellwire.toml"), key, value);
        let shown = format!("{:?}{:?}", old.differences(&new), new.differences(&old));
        for secret in ["password", "secret-of", "whsec_", "token=", "BwcHBw"] {
            let hidden = shown.replace("sentinel_password", "").replace("store.password", "");
            assert!(!hidden.contains(secret), "{shown}");
        }
    }
}
