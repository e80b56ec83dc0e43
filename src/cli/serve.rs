//! `bellwire serve`: the gateway, until SIGTERM.

use super::{CliError, ConfigFile};
use crate::app::Gateway;
use crate::clock::Clock;
use crate::{lifecycle, telemetry};

/// Run the gateway.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Start although no push provider is configured.
    #[arg(long)]
    without_push: bool,
}

impl Serve {
    pub(super) async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?;
        telemetry::logs::init(&config.telemetry).map_err(|error| CliError::Failed(error.to_string()))?;
        let gateway = Gateway::start(&config, Clock::system(), self.without_push).await?;
        for warning in &gateway.warnings {
            tracing::warn!("{warning}");
        }
        if config.auth.users.is_empty() {
            tracing::warn!("no [[auth.users]] is configured: only services and tickets are let in");
        }
        // Whoever has read that it is ready may ask it to end.
        let ended = lifecycle::asked_to_end()?;
        println!("ready http={} ops={}", gateway.http, gateway.ops);
        ended.await;
        tracing::info!("stopping");
        if let Err(error) = gateway.stop().await {
            tracing::warn!(%error, "stopped late");
        }
        Ok(())
    }
}
