//! The configuration read again while the gateway runs: what can come into force does so at once, what cannot is told.
//!
//! [`taken`] says what can. All of it is checked and made before anything changes, so that a mistake changes nothing; then each part is handed
//! its own. What is under way goes on: calls keep the rules that they began with, streams and connections stay.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use super::StartError;
use super::measure::ca_of_store;
use super::settings::settings;
use crate::config::auth::UserKey;
use crate::config::push::{Apns, Fcm, Push};
use crate::config::{Call, Config, ConfigError, Difference, Limits, LiveKit, Telemetry};
use crate::domain::Timestamp;
use crate::engine::Engine;
use crate::http::auth::Authenticator;
use crate::http::connections::{Connections, too_few_files};
use crate::http::health::Part;
use crate::http::load::Load;
use crate::live::Live;
use crate::livekit::token::TokenMinter;
use crate::livekit::twirp::Twirp;
use crate::livekit::webhook::Webhooks;
use crate::outbound::{Policy, Webhooks as Backend};
use crate::push::Pushers;
use crate::telemetry::{Metrics, logs};
use crate::ticket::Tickets;

/// What is logged of one that cannot be used.
const REFUSED: &str = "the configuration was read again and refused: nothing has changed";

/// What of `new` can come into force in a gateway that runs by `old`, and all else as it was.
pub fn taken(old: &Config, new: &Config) -> Config {
    let (livekit, limits) = (new.livekit.clone(), new.limits.clone());
    Config {
        auth: new.auth.clone(),
        // By these two the store knows how long to keep a call.
        call: Call { max_duration: old.call.max_duration, retention: old.call.retention, ..new.call.clone() },
        livekit: LiveKit {
            api_key: livekit.api_key,
            api_secret: livekit.api_secret,
            webhook_keys: livekit.webhook_keys,
            ..old.livekit.clone()
        },
        push: taken_push(&old.push, &new.push),
        policy: new.policy.clone(),
        devices: new.devices.clone(),
        // By these four the listeners were opened.
        limits: Limits {
            header_timeout: old.limits.header_timeout,
            send_timeout: old.limits.send_timeout,
            idle_timeout: old.limits.idle_timeout,
            body_bytes: old.limits.body_bytes,
            ..limits
        },
        webhooks: new.webhooks.clone(),
        usage: new.usage.clone(),
        telemetry: Telemetry { log_level: new.telemetry.log_level, ..old.telemetry.clone() },
        ..old.clone()
    }
}

/// A section takes the place of one for the same app; which sections there are stays.
fn taken_push(old: &Push, new: &Push) -> Push {
    let of_apple = |push: &Push| {
        push.apns.iter().map(|Apns { app, environment, .. }| (app.clone(), *environment)).collect::<Vec<_>>()
    };
    let of_google = |push: &Push| push.fcm.iter().map(|Fcm { app, .. }| app.clone()).collect::<Vec<_>>();
    Push {
        privacy: old.privacy,
        apns: if of_apple(old) == of_apple(new) { new.apns.clone() } else { old.apns.clone() },
        fcm: if of_google(old) == of_google(new) { new.fcm.clone() } else { old.fcm.clone() },
        ..new.clone()
    }
}

/// What takes another configuration.
pub(super) struct Parts {
    pub auth: Live<Authenticator>,
    pub tickets: Live<Tickets>,
    pub minter: Live<TokenMinter>,
    pub limits: Live<Limits>,
    pub load: Arc<Load>,
    pub doors: Connections,
    pub livekit_webhooks: Arc<Webhooks>,
    pub livekit: Twirp,
    pub backend: Arc<Backend>,
    pub policy: Live<Option<Arc<Policy>>>,
    pub pushers: Arc<Pushers>,
    pub engine: Engine,
    pub metrics: Arc<Metrics>,
}

/// Reads the configuration again, and remembers what came of it.
pub(super) struct Reload {
    parts: Parts,
    in_force: Live<Config>,
    /// Held while a reload is under way.
    files: tokio::sync::Mutex<Digests>,
    last: Mutex<Option<Last>>,
}

/// Digests of files that are read at the start and by a reload alone, by the keys that name them.
type Digests = BTreeMap<String, Vec<u8>>;

/// What came of the last reload.
struct Last {
    at: Timestamp,
    /// The keys that wait for a restart.
    waiting: Vec<String>,
    /// Why it was refused, if it was.
    refused: Option<String>,
}

/// What a configuration changes.
struct Changes {
    in_force: Vec<String>,
    waiting: Vec<Difference>,
}

impl Reload {
    /// A gateway that was started by the configuration in force.
    pub(super) fn new(in_force: Live<Config>, parts: Parts) -> Self {
        let files = digests(&in_force.now()).into();
        Self { parts, in_force, files, last: Mutex::default() }
    }

    /// Goes by what was read, if nothing in it is wrong, and says what came of it.
    pub(super) async fn run(&self, read: Result<Config, ConfigError>) {
        let mut files = self.files.lock().await;
        let new = match read {
            Ok(new) => new,
            Err(error) => {
                let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key.as_str()).collect();
                self.note_refusal(&keys.join(", "));
                return tracing::error!(error = error.in_one_line(), "{REFUSED}");
            }
        };
        match self.apply(&mut files, &new).await {
            Ok(changes) => self.note(&changes),
            Err(error) => {
                self.note_refusal("");
                tracing::error!(error = &error as &dyn Error, "{REFUSED}");
            }
        }
    }

    /// Begins to fetch users' keys, so that no request has to wait for that.
    pub(super) fn fetch_keys(&self) {
        let auth = self.parts.auth.now();
        tokio::spawn(async move { auth.prefetch().await });
    }

    /// How the configuration stands, for `/readyz`.
    pub(super) fn part(&self) -> Part {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let detail = match &*last {
            None => "as at the start".to_owned(),
            Some(Last { at, refused: Some(why), .. }) => {
                format!("refused at {at} ({why}); what was in force before still is")
            }
            Some(Last { at, waiting, .. }) if waiting.is_empty() => format!("read again at {at}"),
            Some(Last { at, waiting, .. }) => {
                format!("read again at {at}; for a restart waits: {}", waiting.join(", "))
            }
        };
        let ok = last.as_ref().is_none_or(|last| last.refused.is_none());
        Part { name: "configuration".into(), ok, detail }
    }

    async fn apply(&self, files: &mut Digests, new: &Config) -> Result<Changes, StartError> {
        let (old, parts) = (self.in_force.now(), &self.parts);
        let config = taken(&old, new);
        let mut changes = Changes { in_force: keys(&old.differences(&config)), waiting: config.differences(new) };
        let tickets = Tickets::new(&config.auth.ticket_secrets)?;
        let auth = parts.auth.now().renewed(&config.auth, tickets.clone())?;
        let LiveKit { url, api_key, api_secret, .. } = &config.livekit;
        let minter = TokenMinter::new(url, api_key, api_secret);
        let endpoints = parts.backend.others(&config.webhooks)?;
        let policy = if changes.in_force.iter().any(|key| key.starts_with("policy.")) {
            let clock = parts.engine.clock().clone();
            Policy::of(&config.policy, clock, Arc::clone(&parts.metrics))?.map(Arc::new)
        } else {
            Option::clone(&parts.policy.now())
        };
        parts.pushers.reconfigure(&config.push).await?;
        // From here on nothing can fail, and nothing is waited for.
        changes.note_files(files, digests(&config));
        // Who checks knows a secret before anybody signs by it.
        parts.auth.set(auth);
        parts.livekit_webhooks.set_keys(&config.livekit);
        parts.tickets.set(tickets);
        parts.engine.set(settings(&config, &endpoints, policy.clone()));
        parts.policy.set(policy);
        parts.minter.set(minter);
        parts.livekit.set_key(&config.livekit);
        parts.backend.set(endpoints);
        parts.limits.set(config.limits.clone());
        parts.load.set(&config.limits);
        parts.doors.set(&config.limits);
        logs::set_level(config.telemetry.log_level);
        self.in_force.set(config);
        self.fetch_keys();
        Ok(changes)
    }

    fn note(&self, changes: &Changes) {
        self.parts.metrics.config_reloaded("applied");
        self.remember(keys(&changes.waiting), None);
        for Difference { key, shown } in &changes.waiting {
            let still = shown.as_ref().map(|shown| format!(": still {shown}")).unwrap_or_default();
            tracing::warn!("{key} needs a restart{still}");
        }
        if changes.in_force.is_empty() {
            tracing::info!("the configuration was read again: nothing that is in force has changed");
        } else {
            tracing::info!(
                keys = changes.in_force.join(", "),
                "the configuration was read again, and what has changed is in force"
            );
        }
        if changes.in_force.iter().any(|key| key == "limits.connections")
            && let Some(warning) = too_few_files(&self.in_force.now().limits)
        {
            tracing::warn!("{warning}");
        }
    }

    fn note_refusal(&self, keys: &str) {
        self.parts.metrics.config_reloaded("refused");
        let why = if keys.is_empty() { "the log says why" } else { keys };
        self.remember(Vec::new(), Some(why.to_owned()));
    }

    fn remember(&self, waiting: Vec<String>, refused: Option<String>) {
        let at = self.parts.engine.clock().now();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { at, waiting, refused });
    }
}

impl Changes {
    /// Adds the keys whose files have changed. The store has read its own for good.
    fn note_files(&mut self, known: &mut Digests, mut now: Digests) {
        let changed = now.iter().filter(|(key, digest)| known.get(*key).is_some_and(|known| known != *digest));
        for key in changed.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            if key.starts_with("store.") {
                now.insert(key.clone(), known[&key].clone());
                self.waiting.push(Difference { key, shown: None });
            } else if !self.in_force.contains(&key) {
                self.in_force.push(key);
            }
        }
        *known = now;
    }
}

fn keys(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(|difference| difference.key.clone()).collect()
}

fn digests(config: &Config) -> Digests {
    let users = config.auth.users.iter().enumerate().filter_map(|(index, users)| match &users.key {
        UserKey::PublicKeyFile(_, path) => Some((format!("auth.users[{index}].public_key_file"), path)),
        UserKey::Secret(_) | UserKey::Jwks(..) => None,
    });
    let all = users.chain(ca_of_store(config).map(|path| ("store.ca_file".to_owned(), path)));
    all.filter_map(|(key, path)| Some((key, digest(&SHA256, &fs::read(path).ok()?).as_ref().to_vec()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_store_has_read_waits_for_a_restart() {
        let (users, store) = ("auth.users[0].public_key_file", "store.ca_file");
        let digests = |digest: u8| -> Digests { [users, store].map(|key| (key.to_owned(), vec![digest])).into() };
        let mut known = digests(1);
        for in_force in [&[users][..], &[]] {
            let mut changes = Changes { in_force: Vec::new(), waiting: Vec::new() };
            changes.note_files(&mut known, digests(2));
            assert_eq!(
                (changes.in_force, keys(&changes.waiting)),
                (in_force.iter().map(|key| (*key).to_owned()).collect(), vec![store.to_owned()])
            );
        }
        let mut changes = Changes { in_force: Vec::new(), waiting: Vec::new() };
        changes.note_files(&mut known, digests(1));
        assert_eq!(keys(&changes.waiting), Vec::<String>::new(), "it is again as the store has it");
    }
}
