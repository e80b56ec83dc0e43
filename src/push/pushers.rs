//! All configured push services, and which of them is for a device; made anew when a key or certificate changes.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::apns::Apns;
use super::endpoint::Endpoint;
use super::error::chain;
use super::fcm::Fcm;
use super::message::{MessageKind, Push};
use super::report::{Probe, Report, Served, State};
use super::tls::Roots;
use super::{Provider, PushError};
use crate::clock::Clock;
use crate::config;
use crate::config::push::Privacy;
use crate::domain::Device;

/// Whether a key or certificate has changed is looked up this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);

type Providers = Arc<[Box<dyn Provider>]>;

/// Every push service that the configuration has a section for.
pub struct Pushers {
    shared: Arc<Shared>,
    watch: AbortHandle,
}

struct Shared {
    config: config::push::Push,
    clock: Clock,
    /// Of the files that `providers` were made from.
    stamps: Mutex<Vec<Stamp>>,
    providers: RwLock<Providers>,
}

impl Pushers {
    /// Reads keys and certificates, and begins to open connections; whether a provider can be reached is not waited for.
    /// Files that change later are read again within 30 s; until they can be used, what was read before goes on.
    ///
    /// # Errors
    ///
    /// A key, certificate or value that cannot be used, with the configuration key that names it.
    pub async fn start(config: &config::push::Push, clock: Clock) -> Result<Self, PushError> {
        let stamps = Mutex::new(stamps(config).await);
        let providers = RwLock::new(providers(config, &clock).await?);
        let shared = Arc::new(Shared { config: config.clone(), clock, stamps, providers });
        let watch = tokio::spawn(shared.clone().watch()).abort_handle();
        Ok(Self { shared, watch })
    }

    /// Reads keys and certificates again now, if any file has changed, and says whether one had.
    pub async fn reload(&self) -> Result<bool, PushError> {
        self.shared.reload().await
    }

    /// Whether such a message can be pushed to the device: a section is for it, and it has the token.
    pub fn can_push(&self, device: &Device, kind: MessageKind) -> bool {
        self.shared.providers().iter().any(|provider| provider.serves(device) && provider.can_push(device, kind))
    }

    /// Makes one attempt to push; it ends within 2 s at Apple and 4 s at Google. Trying again later is the caller's.
    pub async fn send(&self, push: &Push) -> Report {
        let providers = self.shared.providers();
        match providers.iter().find(|provider| provider.serves(&push.device)) {
            Some(provider) => provider.send(push).await,
            None => Report::no_provider(),
        }
    }

    /// Connects to each provider and gets its credential, without a push; takes seconds if one is down.
    pub async fn probe(&self) -> Vec<Probe> {
        let providers = self.shared.providers();
        let probes = providers.iter().map(|provider| provider.probe());
        futures_util::future::join_all(probes).await.into_iter().flatten().collect()
    }

    /// How the connections are; reads memory only.
    pub fn states(&self) -> Vec<State> {
        self.shared.providers().iter().flat_map(|provider| provider.states()).collect()
    }

    /// The devices that can be rung.
    pub fn platforms(&self) -> Vec<Served> {
        self.shared.providers().iter().flat_map(|provider| provider.served()).collect()
    }
}

impl Drop for Pushers {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Shared {
    fn providers(&self) -> Providers {
        self.providers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn watch(self: Arc<Self>) {
        loop {
            sleep(LOOK_EVERY).await;
            match self.reload().await {
                Ok(true) => tracing::info!("keys and certificates for pushes have changed and are in use"),
                Ok(false) => {}
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "changed keys or certificates cannot be used; the old ones stay");
                }
            }
        }
    }

    async fn reload(&self) -> Result<bool, PushError> {
        let found = stamps(&self.config).await;
        let mut stamps = self.stamps.lock().await;
        if *stamps == found {
            return Ok(false);
        }
        let providers = providers(&self.config, &self.clock).await?;
        *self.providers.write().unwrap_or_else(PoisonError::into_inner) = providers;
        *stamps = found;
        Ok(true)
    }
}

async fn providers(config: &config::push::Push, clock: &Clock) -> Result<Providers, PushError> {
    let setup = Arc::new(Setup { roots: Roots::load(), clock: clock.clone(), privacy: config.privacy });
    let mut providers: Vec<Box<dyn Provider>> = Vec::new();
    for apns in Apns::all(&config.apns, &setup).await? {
        providers.push(Box::new(apns));
    }
    for (index, section) in config.fcm.iter().enumerate() {
        if config.fcm[..index].iter().any(|earlier| earlier.app == section.app) {
            let key = format!("push.fcm[{index}].app");
            return Err(PushError::Value { key, problem: "another section has this app" });
        }
        providers.push(Box::new(Fcm::start(index, section, &setup).await?));
    }
    Ok(providers.into())
}

/// When a file was changed last, and its size.
type Stamp = Option<(SystemTime, u64)>;

/// The stamps of every file that the sections name, in their order.
async fn stamps(config: &config::push::Push) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for path in files(config) {
        let file = tokio::fs::metadata(path).await;
        stamps.push(file.ok().and_then(|file| Some((file.modified().ok()?, file.len()))));
    }
    stamps
}

fn files(config: &config::push::Push) -> Vec<&Path> {
    let apns = config.apns.iter().flat_map(|section| [Some(&section.key_file), section.ca_file.as_ref()]);
    let fcm = config.fcm.iter().flat_map(|section| [section.service_account_file.as_ref(), section.ca_file.as_ref()]);
    apns.chain(fcm).flatten().map(AsRef::as_ref).collect()
}

/// What the sections have in common.
pub(super) struct Setup {
    roots: Roots,
    pub clock: Clock,
    pub privacy: Privacy,
}

impl Setup {
    /// The endpoint of a section; `key` makes the full name of one of its configuration keys.
    pub(super) async fn endpoint(
        &self,
        key: impl Fn(&str) -> String,
        url: &str,
        ca_file: Option<&Path>,
    ) -> Result<Endpoint, PushError> {
        let tls = self.roots.client(&key("ca_file"), ca_file).await?;
        let uri: Uri = url.parse().map_err(|_| PushError::Value { key: key("endpoint"), problem: "must be a URL" })?;
        Endpoint::new(&key("endpoint"), &uri, tls)
    }
}
