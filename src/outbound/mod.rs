//! What goes to the app's own side: signed webhooks to its backend.
//!
//! `record` is a call as it is shown outside, `message` what a webhook says, `signature` how it proves where it comes from, and `webhook`
//! one try to deliver it. When to try, and when again, is `dispatch`'s.

mod client;
pub mod message;
pub mod record;
mod signature;
pub mod webhook;

pub use message::Message;
pub use webhook::{ClientError, Delivery, Turn, Webhooks};
