//! Wakes devices: one attempt to push a message by Apple or Google, and what became of it.
//!
//! `dispatch` decides when to push, retries with backoff and tells the engine; nothing here knows of calls' states.
//! Providers' types stop at this folder. Left out so far: Web Push, and workload identity federation.

mod apns;
mod backoff;
mod breaker;
mod connection;
mod drive;
mod endpoint;
mod error;
mod fault;
mod fcm;
mod goaway;
mod made_up;
mod message;
mod payload;
mod pool;
mod pushers;
mod report;
mod sections;
mod setup;
mod surroundings;
#[cfg(test)]
mod tests;
mod tls;

use async_trait::async_trait;

use crate::domain::Device;

pub use error::PushError;
pub use message::{Message, MessageKind, Push, Ring};
pub use payload::LeftOut;
pub use pushers::Pushers;
pub use report::{Fault, Probe, Report, Served, State, TokenKind, Verdict};

/// A push service, as one app uses it.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Whether it is for devices like this one.
    fn serves(&self, device: &Device) -> bool;

    /// Whether the device has the token for such a message.
    fn can_push(&self, device: &Device, kind: MessageKind) -> bool;

    /// Makes one attempt, which ends within the provider's deadline.
    async fn send(&self, push: &Push) -> Report;

    /// Connects and presents the credential where that can be done without a push.
    async fn probe(&self) -> Vec<Probe>;

    /// Pushes to a token that nobody has, by whose refusal the provider shows whether it accepts the credential.
    async fn try_out(&self) -> Vec<Probe>;

    /// How its connections are.
    fn states(&self) -> Vec<State>;

    /// The devices that it serves.
    fn served(&self) -> Vec<Served>;
}
