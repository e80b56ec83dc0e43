//! Apple's push service: one app, at one or both of Apple's hosts.

mod host;
pub(super) mod payload;
mod token;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;

use self::host::Host;
use self::payload::{Notification, PushType};
use self::token::ProviderToken;
use super::error::read;
use super::message::{Message, MessageKind, Push};
use super::report::{Action, Outcome, Probe, Report, Served, State, Verdict};
use super::{Provider, PushError, Setup};
use crate::config::push::Apns as Config;
use crate::crypto::Es256Key;
use crate::domain::{AppId, Device, Environment, Platform, PushToken};

const NAME: &str = "apns";
const DEADLINE: Duration = Duration::from_secs(2);

/// One app at Apple.
pub(super) struct Apns {
    app: AppId,
    hosts: Vec<Host>,
    setup: Arc<Setup>,
}

impl Apns {
    /// The apps of all `[[push.apns]]` sections; sections with the same team and key share their token.
    pub(super) async fn all(sections: &[Config], setup: &Arc<Setup>) -> Result<Vec<Self>, PushError> {
        let mut all: Vec<Self> = Vec::new();
        let mut tokens = HashMap::new();
        for (index, section) in sections.iter().enumerate() {
            let key = |name: &str| format!("push.apns[{index}].{name}");
            let owner = (section.team_id.as_str(), section.key_id.as_str());
            // Each file is read, so that a bad one is found, also where another section has the same key.
            let token = provider_token(&key("key_file"), section, setup).await?;
            let token = tokens.entry(owner).or_insert(token).clone();
            let host = Host::start(&key, section, token, setup).await?;
            match all.iter_mut().find(|apns| apns.app == section.app) {
                None => all.push(Self { app: section.app.clone(), hosts: vec![host], setup: setup.clone() }),
                Some(apns) if apns.host(section.environment).is_none() => apns.hosts.push(host),
                Some(_) => {
                    let problem = "another section has this app and environment";
                    return Err(PushError::Value { key: key("environment"), problem });
                }
            }
        }
        Ok(all)
    }

    fn host(&self, environment: Environment) -> Option<&Host> {
        self.hosts.iter().find(|host| host.environment == environment)
    }

    async fn send_one(&self, host: &Host, push: &Push, id: Uuid, (push_type, token): (PushType, &PushToken)) -> Report {
        let started = Instant::now();
        let now = self.setup.clock.now();
        let Ok(notification) = Notification::new(push, id, push_type, token, &host.rules, now) else {
            return Report::unsent(NAME, Verdict::OurFault, "payload-too-large");
        };
        let (outcome, environment) = self.deliver(host, &notification, started + DEADLINE).await;
        Report {
            environment,
            left_out: notification.left_out,
            ..outcome.report(NAME, push_type.token(), started.elapsed())
        }
    }

    /// Delivers to the host of the device's environment, and to the other if that calls the token bad; gives the
    /// other's environment if that took it.
    async fn deliver(
        &self,
        host: &Host,
        notification: &Notification<'_>,
        deadline: Instant,
    ) -> (Outcome, Option<Environment>) {
        let outcome = host.deliver(notification, deadline).await;
        let other = self.host(host.environment.other()).filter(|_| outcome.action == Action::OtherEnvironment);
        let Some(other) = other else { return (outcome, None) };
        let second = other.deliver(notification, deadline).await;
        match second.action {
            Action::Accepted => (second, Some(other.environment)),
            Action::OtherEnvironment => (Outcome { action: Action::DropToken { since: None }, ..second }, None),
            Action::Retry { .. } | Action::DropToken { .. } => (second, None),
            Action::RefreshCredential | Action::OurFault | Action::GiveUp => (outcome, None),
        }
    }
}

#[async_trait]
impl Provider for Apns {
    fn serves(&self, device: &Device) -> bool {
        device.platform == Platform::Ios && device.app == self.app && self.host(device.environment).is_some()
    }

    fn can_push(&self, device: &Device, kind: MessageKind) -> bool {
        self.host(device.environment).is_some_and(|host| !host.rules.pushes(device, kind).is_empty())
    }

    async fn send(&self, push: &Push) -> Report {
        let Some(host) = self.host(push.device.environment) else { return Report::no_provider() };
        if matches!(&push.message, Message::Ring(ring) if ring.ring_until <= self.setup.clock.now()) {
            return Report::unsent(NAME, Verdict::GiveUp, "ring-over");
        }
        match host.rules.pushes(&push.device, push.message.kind())[..] {
            [] => Report::unsent(NAME, Verdict::GiveUp, "no-token"),
            [only] => self.send_one(host, push, push.id, only).await,
            [first, second, ..] => {
                // Two pushes, two ids, each the same over retries.
                let second_id = Uuid::from_u128(push.id.as_u128() ^ 1);
                let (first, second) = tokio::join!(
                    self.send_one(host, push, push.id, first),
                    self.send_one(host, push, second_id, second)
                );
                // The second is the one that rings for certain; only a dead token is worth more to know.
                if matches!(first.verdict, Verdict::DropToken { .. }) { first } else { second }
            }
        }
    }

    async fn probe(&self) -> Vec<Probe> {
        let mut probes = Vec::with_capacity(self.hosts.len());
        for host in &self.hosts {
            probes.push(host.probe().await);
        }
        probes
    }

    fn states(&self) -> Vec<State> {
        self.hosts.iter().map(Host::state).collect()
    }

    fn served(&self) -> Vec<Served> {
        let served = |host: &Host| Served {
            app: self.app.clone(),
            platform: Platform::Ios,
            environment: Some(host.environment),
        };
        self.hosts.iter().map(served).collect()
    }
}

async fn provider_token(key: &str, section: &Config, setup: &Setup) -> Result<Arc<ProviderToken>, PushError> {
    let path = &section.key_file;
    let pem = read(key, path).await?;
    let signing = Es256Key::from_pem(&pem).map_err(|source| PushError::Key {
        key: key.to_owned(),
        path: path.clone(),
        source,
    })?;
    let clock = setup.clock.clone();
    Ok(Arc::new(ProviderToken::new(signing, section.team_id.clone(), section.key_id.clone(), clock)))
}
