//! `bellwire serve`: the gateway, until SIGTERM; by SIGHUP it reads its configuration again.

use std::convert::Infallible;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;

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
        // Before anything is read, so that what is asked for meanwhile comes after the start; and process 1 of a container does not even
        // end by a signal that it has not asked for.
        let reloads = lifecycle::asked_to_reload()?;
        let ended = lifecycle::asked_to_end()?;
        tokio::pin!(ended);
        let config = self.file.load()?;
        let logs = telemetry::logs::init(&config.telemetry);
        let _writing = logs.map_err(|error| CliError::Failed(error.to_string()))?;
        let gateway = tokio::select! {
            gateway = Gateway::start(&config, Clock::system(), self.without_push) => gateway?,
            () = &mut ended => return Ok(()),
        };
        for warning in &gateway.warnings {
            tracing::warn!("{warning}");
        }
        if config.auth.users.is_empty() {
            tracing::warn!("no [[auth.users]] is configured: only services and tickets are let in");
        }
        println!("ready http={} ops={}", gateway.http, gateway.ops);
        tokio::select! {
            () = &mut ended => {}
            never = self.reload(&gateway, reloads) => match never {},
        }
        tracing::info!("stopping");
        if let Err(error) = gateway.stop().await {
            tracing::warn!(%error, "stopped late");
        }
        Ok(())
    }

    /// Reads the configuration again each time that it is asked to, one time after another.
    async fn reload(&self, gateway: &Gateway, mut asked: Signal) -> Infallible {
        loop {
            asked.recv().await;
            let file = self.file.clone();
            // A folder that hangs holds nobody up but this.
            let Ok(config) = spawn_blocking(move || file.load()).await else { continue };
            gateway.reload(config).await;
        }
    }
}
