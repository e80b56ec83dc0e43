//! The world of a scenario: a gateway as a process of its own, with its phones and providers, beside a LiveKit server.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::app::python;
use crate::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::support::{Process, Stage};

/// How soon after the answer both must be in the room, in these worlds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a party may stay away, in these worlds.
pub const GRACE: Duration = Duration::from_secs(15);
/// How late the truth may be told where webhooks are lost.
pub const SWEEP: Duration = Duration::from_secs(30);

/// Where no webhook is received: the port of discard, on which nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What differs between worlds.
#[derive(Clone, Copy)]
pub struct Setting {
    /// LiveKit's `room.auto_create`.
    pub auto_create: bool,
    /// Whether LiveKit's webhooks reach the gateway.
    pub webhooks: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self { auto_create: true, webhooks: true }
    }
}

/// A running gateway and a running LiveKit server that know each other.
pub struct World {
    pub stage: Stage<Process>,
    pub livekit: LiveKit,
    /// The Python with LiveKit's client.
    pub python: PathBuf,
}

impl World {
    /// One with everything as it should be. Where something is missing on this machine it says that the test is skipped, and gives none.
    pub async fn start() -> Option<Self> {
        Self::with(Setting::default()).await
    }

    /// One of this setting.
    pub async fn with(setting: Setting) -> Option<Self> {
        let (python, mut livekit) = (python()?, LiveKit::new()?);
        let stage = Stage::of_process(&format!(
            r#"
            [livekit]
            url = "{url}"
            api_key = "{API_KEY}"
            api_secret = "{API_SECRET}"
            [call]
            connect_timeout = "{}s"
            reconnect_grace = "{}s"
            "#,
            CONNECT_TIMEOUT.as_secs(),
            GRACE.as_secs(),
            url = livekit.url(),
        ))
        .await;
        let webhooks = if setting.webhooks { stage.http.base() } else { NOWHERE };
        livekit.start(&format!("{webhooks}/v1/livekit/webhook"), setting.auto_create).await;
        Some(Self { stage, livekit, python })
    }

    /// Waits for the end of a call by asking again and again, for those whose event streams are gone; the call.
    pub async fn call_ends(&self, id: &Value, within: Duration) -> Value {
        let ended = async {
            loop {
                let call = self.stage.call(id).await;
                if call["state"] == "ended" {
                    return call;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(within, ended).await.expect("the call ends")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("The gateway's log:\n{}\nLiveKit's:\n{}", self.stage.told(), self.livekit.told());
        }
    }
}
