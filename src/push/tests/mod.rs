//! Pushes over real HTTP/2 and TLS to the simulator: what goes out, what comes back, and what is survived.

mod apns;
mod connections;
mod credentials;
mod faults;
mod fcm;
mod gathered;
mod golden;
mod goodbyes;
mod identities;
mod limits;
mod outage;
mod profiles;
mod server;
mod start;
mod trials;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::surroundings::{Ambient, Surroundings};
use super::{Message, Push, Pushers, Report, Ring, State, Verdict};
use crate::clock::Clock;
use crate::config;
use crate::config::push::{Apns, Fcm, MissedCallAs, PayloadProfile, Privacy};
use crate::domain::{AppId, Device, Environment, Party, Unknown, UserId};
use crate::simulator::{Options, Provider, Received, Simulator};

const APP: &str = "com.example.phone";
const WITHIN: Duration = Duration::from_secs(30);

/// The pushers under test, and the providers that they play to.
struct Stage {
    simulator: Simulator,
    pushers: Pushers,
    clock: Clock,
    files: TempDir,
}

impl Stage {
    /// An app at both of Apple's hosts and at Google.
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same, with a configuration that is changed a little.
    async fn with(change: impl FnOnce(&mut config::push::Push)) -> Self {
        Self::within(surroundings(), change).await
    }

    /// The same in other surroundings.
    async fn within(surroundings: Surroundings, change: impl FnOnce(&mut config::push::Push)) -> Self {
        let clock = Clock::system();
        let simulator = Simulator::start(Options::new(clock.clone())).await.expect("a simulator");
        let files = tempfile::tempdir().expect("a directory");
        let mut config = configuration(&simulator, &files);
        change(&mut config);
        let pushers = Pushers::start_in(surroundings, &config, clock.clone()).await.expect("pushers");
        Self { simulator, pushers, clock, files }
    }

    fn rule(&self, rule: &str) {
        self.simulator.add_rule(rule.parse().expect("a rule"));
    }

    /// Pushes a message, and gives the report with the first request that the simulator got of it.
    async fn push(&self, device: &Device, message: Message) -> (Report, Arc<Received>) {
        let already = self.simulator.log().count();
        let report = self.pushers.send(&self.message(device, message)).await;
        let received = self
            .simulator
            .log()
            .wait_for(WITHIN, |received| received.number > already && received.provider != Provider::OAuth);
        (report, received.await.expect("a request"))
    }

    /// A push that expires in 30 seconds.
    fn message(&self, device: &Device, message: Message) -> Push {
        let expires_at = self.clock.now() + Duration::from_secs(30);
        Push {
            id: self.clock.uuid(),
            owner: UserId::new("bob").expect("a user"),
            device: device.clone().into(),
            expires_at,
            message,
        }
    }

    fn ring(&self) -> Ring {
        let now = self.clock.now();
        Ring {
            call_id: self.clock.call_id(),
            caller: alice(),
            video: true,
            created_at: now,
            ring_until: now + Duration::from_secs(30),
            ticket: "the ticket".to_owned(),
            url: "https://calls.example.com".into(),
            metadata: Some(json!({"topic": "lunch", "seats": 2}).into()),
        }
    }

    /// Rings many devices at once.
    async fn ring_all(&self, devices: impl IntoIterator<Item = Device>) -> Vec<Report> {
        let pushes: Vec<_> =
            devices.into_iter().map(|device| self.message(&device, Message::Ring(self.ring()))).collect();
        futures_util::future::join_all(pushes.iter().map(|push| self.pushers.send(push))).await
    }

    /// The state of Apple's production host.
    fn apns_state(&self) -> State {
        let mut states = self.pushers.states().into_iter();
        states.find(|state| state.name == "apns com.example.phone production").expect("a state")
    }

    fn received(&self, provider: Provider) -> Vec<Arc<Received>> {
        self.simulator.log().all().into_iter().filter(|received| received.provider == provider).collect()
    }
}

/// Without what this machine may have of Google's.
fn surroundings() -> Surroundings {
    Surroundings { google: Ambient::default(), ..Surroundings::of_this_process() }
}

fn configuration(simulator: &Simulator, files: &TempDir) -> config::push::Push {
    let credentials = simulator.credentials();
    let paths = credentials.write_to(files.path()).expect("files");
    let app = AppId::new(APP).expect("an app");
    let apns = |environment| Apns {
        app: app.clone(),
        environment,
        payload: PayloadProfile::Bellwire,
        localize: false,
        ring_sound: "default".to_owned(),
        team_id: credentials.apns_team_id.clone(),
        key_id: credentials.apns_key_id.clone(),
        key_id_file: None,
        key_file: paths.apns_key.clone(),
        endpoint: simulator.apns_url(environment),
        ca_file: Some(paths.ca.clone()),
        connections: 2,
        cancel_by_voip: false,
        ring_expiration: Duration::from_secs(10),
    };
    config::push::Push {
        payload: PayloadProfile::Bellwire,
        privacy: Privacy::Full,
        missed_call: true,
        repush_after: Duration::from_secs(6),
        repush_max: 2,
        repush_ios: false,
        voip_budget: 0,
        apns: vec![apns(Environment::Production), apns(Environment::Sandbox)],
        fcm: vec![Fcm {
            app: app.clone(),
            payload: PayloadProfile::Bellwire,
            localize: false,
            missed_call_as: MissedCallAs::Data,
            project_id: None,
            service_account_file: Some(paths.service_account.clone()),
            endpoint: simulator.fcm_url(),
            ca_file: Some(paths.ca.clone()),
            connections: 2,
        }],
    }
}

fn alice() -> Party {
    Party {
        id: UserId::new("alice").expect("a user"),
        name: Some("Alice Liddell".to_owned()),
        avatar: Some("https://example.com/alice.png".to_owned()),
        unknown: Unknown::default(),
    }
}

fn device(fields: &serde_json::Value) -> Device {
    let mut device = json!({"id": "phone-1", "app": APP, "registered_at": 1});
    device.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    serde_json::from_value(device).expect("a device")
}

fn iphone(number: u32) -> Device {
    device(&json!({"platform": "ios", "voip_token": token(number), "alert_token": token(number + 1_000_000)}))
}

fn android(number: u32) -> Device {
    device(&json!({"platform": "android", "fcm_token": format!("registration:{number}")}))
}

/// A token of Apple's shape.
fn token(number: u32) -> String {
    format!("{number:064x}")
}

fn is_lower_case_uuid(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|uuid| uuid.hyphenated().to_string() == text)
}

fn all_accepted(reports: &[Report]) {
    for report in reports {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
}
