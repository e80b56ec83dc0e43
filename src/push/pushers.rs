//! All configured push services, and which of them is for a device.

use std::path::Path;
use std::sync::Arc;

use http::Uri;

use super::apns::Apns;
use super::endpoint::Endpoint;
use super::fcm::Fcm;
use super::message::{MessageKind, Push};
use super::report::{Probe, Report, Served, State};
use super::tls::Roots;
use super::{Provider, PushError};
use crate::clock::Clock;
use crate::config;
use crate::config::push::Privacy;
use crate::domain::Device;

/// Every push service that the configuration has a section for.
pub struct Pushers {
    providers: Vec<Box<dyn Provider>>,
}

impl Pushers {
    /// Reads keys and certificates, and begins to open connections; whether a provider can be reached is not waited for.
    ///
    /// # Errors
    ///
    /// A key, certificate or value that cannot be used, with the configuration key that names it.
    pub async fn start(config: &config::push::Push, clock: Clock) -> Result<Self, PushError> {
        let setup = Arc::new(Setup { roots: Roots::load(), clock, privacy: config.privacy });
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
        Ok(Self { providers })
    }

    /// Whether such a message can be pushed to the device: a section is for it, and it has the token.
    pub fn can_push(&self, device: &Device, kind: MessageKind) -> bool {
        self.provider(device).is_some_and(|provider| provider.can_push(device, kind))
    }

    /// Makes one attempt to push; it ends within 2 s at Apple and 4 s at Google. Trying again later is the caller's.
    pub async fn send(&self, push: &Push) -> Report {
        match self.provider(&push.device) {
            Some(provider) => provider.send(push).await,
            None => Report::no_provider(),
        }
    }

    /// Connects to each provider and gets its credential, without a push; takes seconds if one is down.
    pub async fn probe(&self) -> Vec<Probe> {
        let probes = self.providers.iter().map(|provider| provider.probe());
        futures_util::future::join_all(probes).await.into_iter().flatten().collect()
    }

    /// How the connections are; reads memory only.
    pub fn states(&self) -> Vec<State> {
        self.providers.iter().flat_map(|provider| provider.states()).collect()
    }

    /// The devices that can be rung.
    pub fn platforms(&self) -> Vec<Served> {
        self.providers.iter().flat_map(|provider| provider.served()).collect()
    }

    fn provider(&self, device: &Device) -> Option<&dyn Provider> {
        self.providers.iter().find(|provider| provider.serves(device)).map(AsRef::as_ref)
    }
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
