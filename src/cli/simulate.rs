//! `bellwire simulate`: APNs and FCM on this machine, printing each push as it comes.

use std::net::IpAddr;
use std::path::PathBuf;

use super::CliError;
use crate::clock::Clock;
use crate::domain::Environment;
use crate::lifecycle;
use crate::simulator::{Options, Rule, Simulator};

/// Run a simulator of APNs and FCM, for tests and staging.
#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The name in its URLs and certificate, if others reach it by one.
    #[arg(long)]
    host: Option<String>,
    /// Port of APNs production; 0 lets the system choose, here and below.
    #[arg(long, default_value_t = 0)]
    apns_port: u16,
    /// Port of APNs sandbox.
    #[arg(long, default_value_t = 0)]
    apns_sandbox_port: u16,
    /// Port of FCM and OAuth.
    #[arg(long, default_value_t = 0)]
    fcm_port: u16,
    /// Where to write the keys and the trust root that go with it.
    #[arg(long, value_name = "FOLDER", default_value = "data/simulator")]
    credentials: PathBuf,
    /// A fault, such as "10% of apns 503" or "fcm UNREGISTERED for TOKEN times 1"; may be given several times.
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule>,
}

impl Simulate {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let options = Options {
            listen: self.listen,
            host: self.host,
            apns_port: self.apns_port,
            apns_sandbox_port: self.apns_sandbox_port,
            fcm_port: self.fcm_port,
            rules: self.rules,
            ..Options::new(Clock::system())
        };
        let failed = |error: &dyn std::error::Error| CliError::Failed(super::with_causes(error));
        let simulator = Simulator::start(options).await.map_err(|error| failed(&error))?;
        std::fs::create_dir_all(&self.credentials)?;
        let files = simulator.credentials().write_to(&self.credentials)?;
        let credentials = simulator.credentials();
        let ended = lifecycle::asked_to_end()?;
        tokio::pin!(ended);
        println!(
            "ready apns={} apns_sandbox={} fcm={} team_id={} key_id={} key_file={} service_account_file={} ca_file={}",
            simulator.apns_url(Environment::Production),
            simulator.apns_url(Environment::Sandbox),
            simulator.fcm_url(),
            credentials.apns_team_id,
            credentials.apns_key_id,
            files.apns_key.display(),
            files.service_account.display(),
            files.ca.display(),
        );
        let mut follower = simulator.log().follow();
        loop {
            tokio::select! {
                received = follower.next() => {
                    println!("{}", serde_json::to_string(&received).unwrap_or_default());
                }
                () = &mut ended => {
                    simulator.stop().await;
                    return Ok(());
                }
            }
        }
    }
}
