//! `bellwire demo`: three calls on this machine, from the invite to the end, with everything shown that went over the wire.
//!
//! The gateway and a simulator of APNs and FCM run in this process and speak real HTTP and HTTP/2 over TLS on loopback; no
//! credentials, no network and no other service are needed. With `--gateway` the gateway runs elsewhere, as `compose.yaml` has it. What
//! must be seen is checked; what was not makes the exit code 1.

mod client;
mod expect;
mod folder;
mod play;
mod scenes;
mod screen;
mod seen;
mod stage;
mod try_it;

use std::path::PathBuf;

use super::CliError;
use crate::lifecycle;
use crate::simulator::Rule;
use screen::Screen;
use stage::{Elsewhere, Stage};

/// Show three calls on this machine: no credentials, no network.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Print one JSON document with what was seen, and nothing else.
    #[arg(long, conflicts_with = "serve")]
    json: bool,
    /// Go on afterwards, print lines for curl to try, and show each further push, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// A fault for the simulator, such as "10% of apns 503"; may be given several times.
    #[arg(long = "rule", value_name = "RULE")]
    rules: Vec<Rule>,
    /// Call through a gateway that is started elsewhere, on the configuration that is written to --folder; it is waited for.
    #[arg(long, value_name = "URL", requires = "folder")]
    gateway: Option<String>,
    /// Where to write that gateway's bellwire.toml and keys. They stay.
    #[arg(long, requires = "gateway")]
    folder: Option<PathBuf>,
    /// The name by which that gateway reaches this process, if it is on another machine.
    #[arg(long, value_name = "NAME", requires = "gateway")]
    host: Option<String>,
}

impl Demo {
    fn elsewhere(&self) -> Option<Elsewhere> {
        let (url, folder) = (self.gateway.as_ref()?, self.folder.as_ref()?);
        let url = url.trim_end_matches('/').to_owned();
        Some(Elsewhere { url, folder: folder.clone(), host: self.host.clone() })
    }

    pub(super) async fn run(self) -> Result<(), CliError> {
        let ended = lifecycle::asked_to_end()?;
        tokio::pin!(ended);
        let stage = tokio::select! {
            stage = Stage::start(self.rules.clone(), self.elsewhere()) => stage?,
            () = &mut ended => return Err(interrupted()),
        };
        let screen = Screen::new(!self.json);
        let result = tokio::select! {
            result = self.show(&stage, screen) => result,
            () = &mut ended => Err(interrupted()),
        };
        let result = match result {
            // Nobody waits for anything but Ctrl-C now.
            Ok(()) if self.serve => {
                tokio::select! {
                    never = try_it::serve(&stage, screen) => match never {},
                    () = &mut ended => Ok(()),
                }
            }
            result => result,
        };
        stage.stop().await;
        result
    }

    async fn show(&self, stage: &Stage, screen: Screen) -> Result<(), CliError> {
        screen.opening(stage);
        let seen = scenes::play(stage, screen).await;
        screen.closing(&seen);
        if self.json {
            screen::print(&format!("{:#}", seen::report(stage, &seen)));
        }
        let missing: Vec<&str> = seen.missing().map(|check| check.name.as_str()).collect();
        if missing.is_empty() { Ok(()) } else { Err(CliError::Failed(format!("not seen: {}", missing.join("; ")))) }
    }
}

fn interrupted() -> CliError {
    CliError::Failed("interrupted before everything was seen".to_owned())
}
