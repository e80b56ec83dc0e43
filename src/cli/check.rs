//! `bellwire check`: what is in force, and whether every key, certificate and provider can be used, one line each.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::{CliError, ConfigFile, with_causes};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::policy::Allow;
use crate::config::store::{EncryptionKey, StoreUrl};
use crate::crypto::SealingKey;
use crate::domain::Limit;
use crate::http::auth::Authenticator;
use crate::http::connections::too_few_files;
use crate::livekit::rooms::Rooms;
use crate::livekit::storage::Storage;
use crate::outbound::{self, Policy, Postgres};
use crate::push::Pushers;
use crate::store::Store;
use crate::store::embedded::{Embedded, OpenError};
use crate::store::redis::Redis;
use crate::telemetry::Traces;
use crate::telemetry::traces::REQUEST_WITHIN;
use crate::ticket::Tickets;

/// How long LiveKit may take to answer.
const LIVEKIT_WITHIN: Duration = Duration::from_secs(5);

/// The lines of the check so far.
#[derive(Default)]
struct Checks {
    failed: usize,
}

impl Checks {
    fn line(&mut self, what: &str, result: Result<String, String>) {
        match result {
            Ok(detail) => println!("ok    {what}: {detail}"),
            Err(why) => {
                self.failed += 1;
                println!("FAIL  {what}: {why}");
            }
        }
    }
}

/// What is to be checked.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Also push to tokens that nobody has: how they are refused shows whether Apple and Google accept the credentials. Apple counts
    /// each as a push to a bad token.
    #[arg(long = "try")]
    try_out: bool,
}

impl Check {
    pub(super) async fn run(self) -> Result<(), CliError> {
        run(&self.file, self.try_out).await
    }
}

async fn run(file: &ConfigFile, try_out: bool) -> Result<(), CliError> {
    let config = file.load()?;
    for (key, value) in config.describe() {
        println!("{key} = {value}");
    }
    println!();
    let clock = Clock::system();
    let mut checks = Checks::default();
    checks.line("store", check_store(&config, &clock).await);
    note_encryption(&config);
    check_auth(&config, &clock, &mut checks).await;
    check_push(&config, clock.clone(), try_out, &mut checks).await;
    checks.line("livekit", check_livekit(&config, clock.clone()).await);
    check_recording(&config, &clock, &mut checks).await;
    if let Some(url) = &config.history.postgres {
        let probe = Postgres::new(url, &config.history).probe().await;
        let reached = probe.map(|()| format!("{url} can be connected to"));
        checks.line("history.postgres_url", reached.map_err(|error| with_causes(&error)));
    }
    check_policy(&config, clock.clone(), &mut checks).await;
    check_traces(&config, clock, &mut checks).await;
    note_limits(&config);
    match checks.failed {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!("{failed} of the checks failed"))),
    }
}

/// Whether push tokens are encrypted, and by which key.
fn note_encryption(config: &Config) {
    let keys = &config.store.encryption;
    let ids: Vec<String> =
        keys.iter().filter_map(EncryptionKey::bytes).map(|key| SealingKey::new(key).id().to_owned()).collect();
    let how = match keys.first() {
        None => "not set; push tokens are stored as they are".to_owned(),
        Some(EncryptionKey::Plain) => format!("push tokens are stored as they are; read by {}", ids.join(", ")),
        Some(EncryptionKey::Key(_)) => format!("push tokens are encrypted by {}; read by {}", ids[0], ids.join(", ")),
    };
    println!("note  store.encryption_key: {how}");
}

/// Whether traces would be taken.
async fn check_traces(config: &Config, clock: Clock, checks: &mut Checks) {
    let Some(endpoint) = &config.telemetry.otlp_endpoint else {
        return println!("note  telemetry.otlp_endpoint: not set, so nothing is traced");
    };
    let exporter = match outbound::client(REQUEST_WITHIN) {
        Ok(client) => Traces::to(endpoint, 1.0, client, clock, Arc::default()).map_err(|error| with_causes(&error)),
        Err(error) => Err(with_causes(&error)),
    };
    let taken = match exporter {
        Ok((_, exporter)) => exporter.probe().await,
        Err(error) => Err(error),
    };
    checks.line("telemetry.otlp_endpoint", taken.map(|()| format!("{endpoint} takes traces")));
}

async fn check_policy(config: &Config, clock: Clock, checks: &mut Checks) {
    if config.policy.allow == Allow::Contacts {
        println!("note  policy.allow: only contacts that the backend has listed may call a user");
    }
    let began = Instant::now();
    let asked = match Policy::of(&config.policy, clock, Arc::default()) {
        Ok(Some(policy)) => policy.probe().await.map_err(str::to_owned),
        Ok(None) => return println!("note  policy.url: not set, so nobody is asked"),
        Err(error) => Err(with_causes(&error)),
    };
    let took = began.elapsed().as_millis();
    let asked = asked.map(|ruling| format!("a test call of users that nobody has is {ruling}, in {took} ms"));
    checks.line("policy.url", asked.map_err(|why| format!("a question about a test call had no answer: {why}")));
}

/// Where limits are counted, and which there are none of.
fn note_limits(config: &Config) {
    let limits = &config.limits;
    let rates = [
        (Limit::Ip, limits.ip),
        (Limit::InvitesPerUser, limits.invites_per_user),
        (Limit::InvitesPerPair, limits.invites_per_pair),
        (Limit::InvitesPerCallee, limits.invites_per_callee),
        (Limit::TokensPerUser, limits.tokens_per_user),
        (Limit::RegistrationsPerUser, limits.registrations_per_user),
        (Limit::NewTokensPerUser, limits.new_tokens_per_user),
    ];
    println!(
        "note  limits: ip, and what there may be at a time, count for each gateway, the other rates for all on one store"
    );
    let off: Vec<&str> = rates.iter().filter(|(_, rate)| rate.is_none()).map(|(limit, _)| limit.as_str()).collect();
    if !off.is_empty() {
        println!("note  limits: there is none of {}", off.join(", "));
    }
    if limits.ip.is_some() && config.http.trusted_proxies.is_empty() {
        println!("note  limits.ip: http.trusted_proxies is empty; behind a proxy all clients would share one rate");
    }
    if let Some(too_few) = too_few_files(limits) {
        println!("note  limits.connections: {too_few}");
    }
}

async fn check_store(config: &Config, clock: &Clock) -> Result<String, String> {
    match &config.store.url {
        StoreUrl::Embedded(path) => check_embedded(path, config.store.timeout, clock).await,
        StoreUrl::Redis(url) => {
            let store =
                Redis::open(url, config.store.timeout, clock.clone()).await.map_err(|error| with_causes(&error))?;
            let health = store.health().await;
            store.close().await;
            health.map_err(|error| error.to_string())
        }
    }
}

async fn check_embedded(path: &Path, timeout: Duration, clock: &Clock) -> Result<String, String> {
    if !path.exists() {
        return Ok(format!("embedded, {} will be made at the first start", path.display()));
    }
    match Embedded::open(path, timeout, clock.clone()) {
        Ok(store) => {
            store.close().await;
            Ok(format!("embedded, {} can be opened", path.display()))
        }
        Err(error @ OpenError::InUse(_)) => Ok(error.to_string()),
        Err(error) => Err(with_causes(&error)),
    }
}

async fn check_auth(config: &Config, clock: &Clock, checks: &mut Checks) {
    let tickets = match Tickets::new(&config.auth.ticket_secrets) {
        Ok(tickets) => tickets,
        Err(error) => return checks.line("auth.ticket_secret", Err(with_causes(&error))),
    };
    checks.line("auth.ticket_secret", Ok(format!("{} in use", config.auth.ticket_secrets.len())));
    match Authenticator::new(&config.auth, tickets, clock.clone()) {
        Ok(auth) => {
            for (issuer, result) in auth.probe().await {
                checks.line(&format!("auth.users {issuer}"), result);
            }
        }
        Err(error) => checks.line("auth.users", Err(with_causes(&error))),
    }
    if config.auth.users.is_empty() {
        println!("note  auth.users: none, so only services and tickets are let in");
    }
    println!("note  auth.service_keys: {}", config.auth.service_keys.len());
}

async fn check_push(config: &Config, clock: Clock, try_out: bool, checks: &mut Checks) {
    match Pushers::start(&config.push, clock).await {
        Ok(pushers) => {
            for probe in pushers.probe().await {
                checks.line(&probe.name, probe.result);
            }
            let tried = if try_out { pushers.try_out().await } else { Vec::new() };
            for probe in tried {
                checks.line(&probe.name, probe.result);
            }
            if pushers.platforms().is_empty() {
                println!("note  push: no provider, so no phone can be rung");
            }
        }
        Err(error) => checks.line("push", Err(with_causes(&error))),
    }
}

async fn check_recording(config: &Config, clock: &Clock, checks: &mut Checks) {
    let Some(s3) = &config.recording.s3 else { return println!("note  recording: off") };
    let storage = match Storage::new(s3) {
        Ok(storage) => storage.probe(clock.now()).await,
        Err(error) => Err(error),
    };
    checks.line("recording.s3", storage.map_err(|error| with_causes(&error)));
}

async fn check_livekit(config: &Config, clock: Clock) -> Result<String, String> {
    let url = &config.livekit.api_url;
    let address = crate::livekit::reach(url, LIVEKIT_WITHIN).await.map_err(|error| format!("{url}: {error}"))?;
    if !config.livekit.rooms {
        return Ok(format!("{url} answers ({address})"));
    }
    let rooms = Rooms::new(&config.livekit, clock, Arc::default()).map_err(|error| with_causes(&error))?;
    let listed = rooms.list().await.map_err(|error| format!("{url}: {error}"))?;
    Ok(format!("{url} answers ({address}) and takes the key; {} rooms", listed.len()))
}
