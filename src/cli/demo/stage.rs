//! The demo's stage: a simulator and a gateway in this process, their files in a folder of their own, three phones.
//!
//! That folder goes when the stage goes, however that happens. A gateway elsewhere finds its configuration in a folder that stays. What is
//! shown on the stage is in `scenes`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::folder::{Folder, config_text};
use crate::app::Gateway;
use crate::cli::{CliError, with_causes};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Platform;
use crate::simulator::{Options, Rule, Simulator};

/// The app that rings.
pub(super) const APP: &str = "com.example.phone";

/// How long a gateway elsewhere is waited for, and how often it is looked for.
const STARTS_WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A gateway that somebody else starts, on a configuration that is written for it.
#[derive(Debug, Clone)]
pub(super) struct Elsewhere {
    /// Where its API is.
    pub(super) url: String,
    /// Where its configuration and keys are written.
    pub(super) folder: PathBuf,
    /// The name by which it reaches the simulator; not given, it is on this machine.
    pub(super) host: Option<String>,
}

/// A running gateway, and who takes part.
pub(super) struct Stage {
    /// The gateway of this process, if it is not elsewhere.
    gateway: Option<Gateway>,
    /// Where its API is.
    pub(super) url: String,
    pub(super) simulator: Simulator,
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) client: Client,
    /// Alice's token, of the app's identity provider.
    pub(super) alice: String,
    /// Bob's.
    pub(super) bob: String,
    /// The key of the app's backend.
    pub(super) service: String,
    /// Bob's iPhone.
    pub(super) iphone: Phone,
    /// Bob's Android phone.
    pub(super) pixel: Phone,
    pub(super) folder: Folder,
}

/// A phone and its push tokens.
pub(super) struct Phone {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) platform: Platform,
    /// The token that rings go to.
    pub(super) ring_token: String,
    /// The token that all other pushes go to.
    pub(super) notice_token: String,
}

impl Stage {
    /// Starts everything, and registers the phones.
    pub(super) async fn start(rules: Vec<Rule>, elsewhere: Option<Elsewhere>) -> Result<Self, CliError> {
        let failed = |error: &dyn std::error::Error| CliError::Failed(with_causes(error));
        let clock = Clock::system();
        let folder = match &elsewhere {
            Some(elsewhere) => Folder::given(elsewhere.folder.clone())?,
            None => Folder::create(&clock)?,
        };
        let host = elsewhere.as_ref().and_then(|elsewhere| elsewhere.host.clone());
        let listen = if host.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let options = Options { listen: IpAddr::V4(listen), host, ..Options::new(clock.clone()) };
        let simulator = Simulator::start(options).await.map_err(|error| failed(&error))?;
        let (user_secret, service) = (random_text(&clock), format!("bw_sk_{}", random_text(&clock)));
        simulator.credentials().write_to(folder.path())?;
        let text = config_text(&simulator, &user_secret, &random_text(&clock), &service, elsewhere.is_some());
        let config = folder.write_config(&text)?;
        let (gateway, url) = if let Some(elsewhere) = elsewhere {
            let file = folder.file();
            eprintln!(
                "bellwire: waiting for a gateway at {}: bellwire serve --config {}",
                elsewhere.url,
                file.display()
            );
            (None, elsewhere.url)
        } else {
            let gateway = Gateway::start(&config, clock.clone(), false).await?;
            let url = gateway.url();
            (Some(gateway), url)
        };
        // Only now, so that they befall pushes and nothing of the start.
        for rule in rules {
            simulator.add_rule(rule);
        }
        let client = Client::new(url.clone())?;
        if gateway.is_none() {
            wait_for(&client, &url).await?;
        }
        let user = |id: &str, name: &str| user_token(&clock, &user_secret, id, name);
        let fcm = format!("fcm-{}", random_text(&clock));
        let stage = Self {
            alice: user("alice", "Alice")?,
            bob: user("bob", "Bob")?,
            service,
            iphone: Phone {
                id: "bobs-iphone",
                name: "Bob's iPhone",
                platform: Platform::Ios,
                ring_token: random_hex(&clock),
                notice_token: random_hex(&clock),
            },
            pixel: Phone {
                id: "bobs-pixel",
                name: "Bob's Pixel",
                platform: Platform::Android,
                ring_token: fcm.clone(),
                notice_token: fcm,
            },
            gateway,
            url,
            simulator,
            clock,
            config,
            client,
            folder,
        };
        stage
            .register()
            .await
            .map_err(|error| CliError::Failed(format!("a phone could not be registered: {error}")))?;
        Ok(stage)
    }

    async fn register(&self) -> Result<(), String> {
        let (voip, alert) = (random_hex(&self.clock), random_hex(&self.clock));
        let alices = json!({"platform": "ios", "app": APP, "voip_token": voip, "alert_token": alert});
        let devices = [
            (&self.alice, "alices-phone", alices),
            (&self.bob, self.iphone.id, self.iphone.registration()),
            (&self.bob, self.pixel.id, self.pixel.registration()),
        ];
        for (token, id, body) in devices {
            self.client.send(Method::PUT, &format!("/v1/devices/{id}"), token, Some(&body)).await?.expect(200)?;
        }
        Ok(())
    }

    /// Whether the gateway runs in this process too.
    pub(super) fn is_alone(&self) -> bool {
        self.gateway.is_some()
    }

    /// The phone that a push went to.
    pub(super) fn phone(&self, target: &str) -> Option<&Phone> {
        [&self.iphone, &self.pixel]
            .into_iter()
            .find(|phone| [&phone.ring_token, &phone.notice_token].into_iter().any(|token| token == target))
    }

    /// Stops everything and removes the folder.
    pub(super) async fn stop(self) {
        let Self { gateway, simulator, client, .. } = self;
        drop(client);
        if let Some(gateway) = gateway {
            // All is thrown away now, so what was still running is no loss.
            let _ = gateway.stop().await;
        }
        simulator.stop().await;
    }
}

impl Phone {
    /// Its registration at the gateway.
    pub(super) fn registration(&self) -> Value {
        match self.platform {
            Platform::Ios => json!({"platform": "ios", "app": APP,
                "voip_token": self.ring_token, "alert_token": self.notice_token}),
            Platform::Android | Platform::Web => {
                json!({"platform": "android", "app": APP, "fcm_token": self.ring_token})
            }
        }
    }
}

/// Waits until a gateway elsewhere takes calls.
async fn wait_for(client: &Client, url: &str) -> Result<(), CliError> {
    let ready = async {
        while !client.send(Method::GET, "/readyz", "", None).await.is_ok_and(|reply| reply.status == 200) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let given_up = |_| CliError::Failed(format!("no gateway was ready at {url} within {} s", STARTS_WITHIN.as_secs()));
    tokio::time::timeout(STARTS_WITHIN, ready).await.map_err(given_up)
}

/// A token as the app's identity provider would make it, good for a day.
fn user_token(clock: &Clock, secret: &str, id: &str, name: &str) -> Result<String, CliError> {
    let now = clock.now().as_secs();
    let claims = json!({"iss": "demo", "aud": "bellwire", "sub": id, "name": name, "iat": now, "exp": now + 86_400});
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|error| CliError::Failed(error.to_string()))
}

fn random(clock: &Clock) -> [u8; 32] {
    let mut bytes = [0; 32];
    clock.random(&mut bytes);
    bytes
}

fn random_text(clock: &Clock) -> String {
    BASE64URL_NOPAD.encode(&random(clock))
}

/// As device tokens of Apple look.
fn random_hex(clock: &Clock) -> String {
    HEXLOWER.encode(&random(clock))
}
