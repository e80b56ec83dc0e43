//! The demo's stage: a simulator and a gateway in this process, their files in a folder of their own, three phones.
//!
//! The folder goes when the stage goes, however that happens; what is shown on the stage is in `scenes`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::Method;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::client::Client;
use crate::app::Gateway;
use crate::cli::{CliError, with_causes};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{Environment, Platform};
use crate::simulator::{Options, Rule, Simulator};

/// The app that rings.
pub(super) const APP: &str = "com.example.phone";

/// A running gateway, and who takes part.
pub(super) struct Stage {
    pub(super) gateway: Gateway,
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

/// A folder that is removed when this is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    fn create(clock: &Clock) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("bellwire-demo-{}", clock.uuid()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("bellwire: {} could not be removed: {error}", self.0.display());
        }
    }
}

impl Stage {
    /// Starts everything, and registers the phones.
    pub(super) async fn start(rules: Vec<Rule>) -> Result<Self, CliError> {
        let failed = |error: &dyn std::error::Error| CliError::Failed(with_causes(error));
        let clock = Clock::system();
        let folder = Folder::create(&clock)?;
        let simulator = Simulator::start(Options::new(clock.clone())).await.map_err(|error| failed(&error))?;
        let (user_secret, service) = (random_text(&clock), format!("bw_sk_{}", random_text(&clock)));
        let file = folder.path().join("bellwire.toml");
        simulator.credentials().write_to(folder.path())?;
        fs::write(&file, config_text(&simulator, &user_secret, &random_text(&clock), &service))?;
        let config = Config::load(Some(&file), [])?;
        let gateway = Gateway::start(&config, clock.clone(), false).await?;
        // Only now, so that they befall pushes and nothing of the start.
        for rule in rules {
            simulator.add_rule(rule);
        }
        let client = Client::new(gateway.url())?;
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
        // All is thrown away now, so what was still running is no loss.
        let _ = gateway.stop().await;
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

/// The configuration; its relative paths start in the folder that it is written to.
fn config_text(simulator: &Simulator, user_secret: &str, ticket_secret: &str, service_key: &str) -> String {
    let credentials = simulator.credentials();
    let service_key = HEXLOWER.encode(digest(&SHA256, service_key.as_bytes()).as_ref());
    format!(
        r#"[http]
listen = "127.0.0.1:0"
ops_listen = "127.0.0.1:0"
shutdown_grace = "5s"

[auth]
ticket_secret = "{ticket_secret}"
service_keys = ["sha256:{service_key}"]

[[auth.users]]
issuer = "demo"
audience = "bellwire"
algorithm = "HS256"
secret = "{user_secret}"
name_claim = "name"

[store]
url = "embedded:calls.redb"

[livekit]
deployment = "demo"
rooms = false

[limits]
invites_per_user = ""
invites_per_callee = ""
invites_per_pair = ""

[[push.apns]]
app = "{APP}"
environment = "production"
team_id = "{team_id}"
key_id = "{key_id}"
key_file = "apns.p8"
endpoint = "{apns}"
ca_file = "ca.pem"

[[push.fcm]]
app = "{APP}"
service_account_file = "fcm-service-account.json"
endpoint = "{fcm}"
ca_file = "ca.pem"
"#,
        team_id = credentials.apns_team_id,
        key_id = credentials.apns_key_id,
        apns = simulator.apns_url(Environment::Production),
        fcm = simulator.fcm_url(),
    )
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
