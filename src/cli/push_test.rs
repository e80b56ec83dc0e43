//! `bellwire push-test`: rings a device for real through the gateway that runs, and follows it until it is known whether it rings.

use std::collections::HashSet;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::CliError;
use super::explain::{devices, explanation, for_people, time, timeline};
use super::gateway::{Gateway, Reach, plain};
use crate::clock::Clock;
use crate::domain::{DeviceId, UserId};
use crate::lifecycle;

/// How often it is looked what has happened.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many looks the pushes that stop the rings are waited for.
const LOOKS_FOR_STOPS: usize = 10;

/// Ring a device for real, and follow it: exit code 0 if it says that it rings.
#[derive(Debug, clap::Args)]
pub(super) struct PushTest {
    /// Whose devices to ring.
    #[arg(long, value_parser = |text: &str| UserId::new(text))]
    user: UserId,
    /// The one device to ring; without it all of them.
    #[arg(long, value_parser = |text: &str| DeviceId::new(text))]
    device: Option<DeviceId>,
    /// The id of the user who calls; by default one that nobody has.
    #[arg(long, value_parser = |text: &str| UserId::new(text))]
    caller: Option<UserId>,
    /// The name that the phone shows.
    #[arg(long, default_value = "Bellwire test")]
    caller_name: String,
    /// How long to ring at most, 5 to 120.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=120))]
    ring_seconds: u64,
    #[command(flatten)]
    reach: Reach,
}

impl PushTest {
    pub(super) async fn run(&self) -> Result<(), CliError> {
        let gateway = self.reach.gateway()?;
        let ended = lifecycle::asked_to_end()?;
        let invite = gateway.post("/v1/calls", &self.invite()).await?;
        let call = plain(&invite["call"]["id"]);
        println!("call {call} to {}, for {} s at most", self.user, self.ring_seconds);
        let mut shown = Shown::default();
        let followed = tokio::select! {
            followed = follow(&gateway, &call, &mut shown) => followed,
            () = ended => Ok(()),
        };
        // Whatever happened, the phone shall not ring on.
        gateway.post(&format!("/v1/calls/{call}/cancel"), &json!({})).await?;
        followed?;
        let document = stopped(&gateway, &call, &mut shown).await?;
        print!("\n{}", for_people(&document));
        if devices(&document).iter().any(has_rung) {
            Ok(())
        } else {
            Err(CliError::Failed("no device said that it rings".to_owned()))
        }
    }

    fn invite(&self) -> Value {
        let mut random = [0; 8];
        Clock::system().random(&mut random);
        // Two tests at a time are no redial of one another.
        let nobody = || format!("bellwire-push-test-{}", HEXLOWER.encode(&random));
        let caller = self.caller.as_ref().map_or_else(nobody, ToString::to_string);
        let mut body = json!({
            "callee": self.user.as_str(), "media": "audio", "ring_seconds": self.ring_seconds, "test": true,
            "caller": {"id": caller, "name": self.caller_name},
        });
        if let Some(device) = &self.device {
            body["callee_device"] = json!(device.as_str());
        }
        body
    }
}

/// What was printed already.
#[derive(Default)]
struct Shown(HashSet<(String, String)>);

impl Shown {
    /// Prints what is new.
    fn show(&mut self, document: &Value) {
        for entry in timeline(document) {
            let line = format!("{} {}: {}", time(entry.after_ms), entry.device, entry.text);
            if self.0.insert((entry.device, entry.text)) {
                println!("{line}");
            }
        }
    }
}

/// Prints what happens until it is known of every device whether it rings, or the ring is over.
async fn follow(gateway: &Gateway, call: &str, shown: &mut Shown) -> Result<(), CliError> {
    loop {
        let document = explanation(gateway, call).await?;
        shown.show(&document);
        let mut rung = devices(&document).iter().filter(|device| device["state"].is_string());
        let is_over = matches!(document["call"]["state"].as_str(), Some("active" | "ended"));
        if is_over || rung.all(|device| device["ack"].is_object() || device["closed"].is_object()) {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The explanation once the devices were told to stop, or a while later.
async fn stopped(gateway: &Gateway, call: &str, shown: &mut Shown) -> Result<Value, CliError> {
    for _ in 0..LOOKS_FOR_STOPS {
        let document = explanation(gateway, call).await?;
        shown.show(&document);
        let mut stopped = devices(&document).iter().filter(|device| device["stop"].is_object());
        if stopped.all(|device| device["stop"]["told"].is_object()) {
            return Ok(document);
        }
        sleep(LOOK_EVERY).await;
    }
    explanation(gateway, call).await
}

fn has_rung(device: &Value) -> bool {
    device["ack"]["kind"] == "alerting" || device["state"] == "answered"
}
