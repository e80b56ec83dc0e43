//! Apple's push service: one app, at one or both of Apple's hosts.

mod host;
pub(super) mod payload;
mod strikes;
mod token;
pub(super) mod verdict;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;

pub(super) use self::host::Host;
use self::payload::{Notification, PushType};
pub(super) use self::strikes::Strikes;
use self::strikes::{ASK_AGAIN_AFTER, ASK_AGAIN_SOON, Leave, Named};
pub(super) use self::token::ProviderToken;
use super::Provider;
use super::made_up;
use super::message::{Message, MessageKind, Push};
use super::report::{Action, Outcome, Probe, Report, Served, State, Verdict};
use super::setup::Setup;
use crate::domain::{AppId, Device, Environment, Platform, PushToken};

const NAME: &str = "apns";
const DEADLINE: Duration = Duration::from_secs(2);
const TOO_LARGE: &str = "payload-too-large";

/// One app at Apple.
pub(super) struct Apns {
    app: AppId,
    hosts: Vec<Arc<Host>>,
    setup: Arc<Setup>,
}

impl Apns {
    /// The apps that these hosts are for.
    pub(super) fn of(hosts: impl Iterator<Item = Arc<Host>>, setup: &Arc<Setup>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for host in hosts {
            match all.iter_mut().find(|apns| apns.app == host.app) {
                None => all.push(Self { app: host.app.clone(), hosts: vec![host], setup: setup.clone() }),
                Some(apns) => apns.hosts.push(host),
            }
        }
        all
    }

    fn host(&self, environment: Environment) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|host| host.environment == environment)
    }

    async fn send_one(&self, host: &Host, push: &Push, id: Uuid, (push_type, token): (PushType, &PushToken)) -> Report {
        let started = Instant::now();
        let now = self.setup.clock.now();
        let named = |environment| Named::new(&self.app, environment, push_type, token);
        match self.setup.strikes.leave(&push.owner, named(host.environment), now) {
            Leave::Granted => {}
            Leave::KnownBad(how) => {
                return Report::unsent(NAME, Verdict::GiveUp, &format!("known-bad-token: {how}"));
            }
            Leave::TooMany => return Report::unsent(NAME, Verdict::GiveUp, "too-many-bad-tokens"),
        }
        let Ok(notification) = Notification::new(push, id, push_type, token, &host.rules, now) else {
            host.fault.note(&Outcome::unanswered(Action::OurFault, None, TOO_LARGE));
            return Report::unsent(NAME, Verdict::OurFault, TOO_LARGE);
        };
        let (outcome, environment) = self.deliver(host, &notification, started + DEADLINE).await;
        if outcome.action == Action::Accepted {
            self.setup.strikes.is_good(&push.owner, named(environment.unwrap_or(host.environment)));
        } else if verdict::is_about_a_bad_token(&outcome) {
            let (how, time) = self.known_as(&outcome);
            self.setup.strikes.strike(&push.owner, named(host.environment), how, now + time, now);
        }
        Report {
            environment,
            left_out: notification.left_out,
            ..outcome.report(NAME, push_type.token(), started.elapsed())
        }
    }

    /// How a token is known to be bad after this, and for how long.
    fn known_as(&self, outcome: &Outcome) -> (&'static str, Duration) {
        match outcome.action {
            Action::DropToken { .. } if outcome.reason == verdict::WRONG_TOPIC => {
                (verdict::WRONG_TOPIC, ASK_AGAIN_AFTER)
            }
            Action::DropToken { .. } => ("in-both-environments", ASK_AGAIN_AFTER),
            _ if self.hosts.len() == 1 => ("in-one-environment", ASK_AGAIN_AFTER),
            // The other host may still take it.
            _ => ("in-one-environment-so-far", ASK_AGAIN_SOON),
        }
    }

    /// Sends two pushes, by two ids, each the same over retries.
    async fn send_both(
        &self,
        host: &Host,
        push: &Push,
        first: (PushType, &PushToken),
        second: (PushType, &PushToken),
    ) -> Report {
        let second_id = Uuid::from_u128(push.id.as_u128() ^ 1);
        let (first, second) =
            tokio::join!(self.send_one(host, push, push.id, first), self.send_one(host, push, second_id, second));
        // The second is the one that rings for certain; only a dead token is worth more to know.
        if matches!(first.verdict, Verdict::DropToken { .. }) { first } else { second }
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
        let second = Box::pin(other.deliver(notification, deadline)).await;
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
            [first, second, ..] => Box::pin(self.send_both(host, push, first, second)).await,
        }
    }

    async fn probe(&self) -> Vec<Probe> {
        let mut probes = Vec::with_capacity(self.hosts.len());
        for host in &self.hosts {
            probes.push(host.probe().await);
        }
        probes
    }

    async fn try_out(&self) -> Vec<Probe> {
        let now = self.setup.clock.now();
        let mut probes = Vec::with_capacity(self.hosts.len());
        for host in &self.hosts {
            let Some(push) = made_up::push(&self.app, Platform::Ios, &self.setup.clock) else { continue };
            let Some(token) = push.device.notice_token() else { continue };
            let made = Notification::new(&push, push.id, PushType::Background, token, &host.rules, now);
            let Ok(notification) = made else { continue };
            let outcome = host.attempt(&notification, Instant::now() + DEADLINE).await;
            probes.push(Probe { name: format!("{} key", host.state().name), result: made_up::judge(&outcome) });
        }
        probes
    }

    fn states(&self) -> Vec<State> {
        self.hosts.iter().map(|host| host.state()).collect()
    }

    fn served(&self) -> Vec<Served> {
        let served = |host: &Arc<Host>| Served {
            app: self.app.clone(),
            platform: Platform::Ios,
            environment: Some(host.environment),
        };
        self.hosts.iter().map(served).collect()
    }
}
