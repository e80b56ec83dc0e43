//! `bellwire check`: what is in force, and whether every key, certificate and provider can be used, one line each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{CliError, ConfigFile, with_causes};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::store::StoreUrl;
use crate::http::auth::Authenticator;
use crate::livekit::rooms::Rooms;
use crate::livekit::token::TokenMinter;
use crate::outbound::Postgres;
use crate::push::Pushers;
use crate::store::Store;
use crate::store::embedded::{Embedded, OpenError};
use crate::store::redis::Redis;
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

pub(super) async fn run(file: &ConfigFile) -> Result<(), CliError> {
    let config = file.load()?;
    for (key, value) in config.describe() {
        println!("{key} = {value}");
    }
    println!();
    let clock = Clock::system();
    let mut checks = Checks::default();
    checks.line("store", check_store(&config, &clock).await);
    check_auth(&config, &clock, &mut checks).await;
    check_push(&config, clock.clone(), &mut checks).await;
    checks.line("livekit", check_livekit(&config, clock).await);
    if let Some(url) = &config.history.postgres {
        let probe = Postgres::new(url, &config.history).probe().await;
        let reached = probe.map(|()| format!("{url} can be connected to"));
        checks.line("history.postgres_url", reached.map_err(|error| with_causes(&error)));
    }
    println!(
        "note  limits: requests are bounded in size, and event streams per user; rates are read and not enforced yet"
    );
    match checks.failed {
        0 => Ok(()),
        failed => Err(CliError::Failed(format!("{failed} of the checks failed"))),
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

async fn check_push(config: &Config, clock: Clock, checks: &mut Checks) {
    match Pushers::start(&config.push, clock).await {
        Ok(pushers) => {
            for probe in pushers.probe().await {
                checks.line(&probe.name, probe.result);
            }
            if pushers.platforms().is_empty() {
                println!("note  push: no provider, so no phone can be rung");
            }
        }
        Err(error) => checks.line("push", Err(with_causes(&error))),
    }
}

async fn check_livekit(config: &Config, clock: Clock) -> Result<String, String> {
    TokenMinter::new(&config.livekit.url, &config.livekit.api_key, &config.livekit.api_secret)
        .map_err(|error| with_causes(&error))?;
    let url = &config.livekit.api_url;
    let address = crate::livekit::reach(url, LIVEKIT_WITHIN).await.map_err(|error| format!("{url}: {error}"))?;
    if !config.livekit.rooms {
        return Ok(format!("{url} answers ({address})"));
    }
    let rooms = Rooms::new(&config.livekit, clock, Arc::default()).map_err(|error| with_causes(&error))?;
    let listed = rooms.list().await.map_err(|error| format!("{url}: {error}"))?;
    Ok(format!("{url} answers ({address}) and takes the key; {} rooms", listed.len()))
}
