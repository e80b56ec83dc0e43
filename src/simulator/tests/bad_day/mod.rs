//! Bad days as a client meets them: of connections, of credentials, and at certain times.

mod connections;
mod keys;
mod raw;
mod timed;

use std::time::Duration;

use super::{Ask, Client, Reply};
use crate::clock::Clock;
use crate::simulator::Simulator;

const SOON: Duration = Duration::from_secs(30);

fn rule(simulator: &Simulator, text: &str) {
    simulator.add_rule(text.parse().expect(text));
}

/// A push on a connection of its own.
async fn push(simulator: &Simulator, clock: &Clock) -> Reply {
    Client::to_apns(simulator).await.get(Ask::voip(simulator, clock)).await
}

fn again(ask: &Ask) -> Ask {
    Ask { method: ask.method.clone(), path: ask.path.clone(), headers: ask.headers.clone(), body: ask.body.clone() }
}
