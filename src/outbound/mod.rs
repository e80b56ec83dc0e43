//! What goes to the app's own side: signed webhooks to its backend, the question whether a call may be, and rows to its PostgreSQL.
//!
//! `record` is a call as it is shown outside, `message` what a webhook says, `signature` how it proves where it comes from, and `webhook`
//! one try to deliver it; `postgres` is an endpoint that writes rows instead. `policy` asks whether a call may be. When to try, and when again, is `dispatch`'s.

mod client;
pub mod message;
pub mod policy;
pub mod postgres;
pub mod record;
mod signature;
pub mod webhook;

pub use client::client;
pub use message::Message;
pub use policy::Policy;
pub use postgres::Postgres;
pub use webhook::{ClientError, Delivery, Endpoints, Turn, Webhooks};
