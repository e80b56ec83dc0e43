//! What the gateway tells of itself.

mod api;
mod gathered;
pub mod lines;
pub mod logs;
pub mod metrics;
mod parts;
mod process;
mod ring;
mod storage;
mod timers;
pub mod traces;
mod work;

pub use api::known_method;
pub use metrics::{Description, Metrics};
pub use parts::Provider;
pub use ring::Attempt;
pub use timers::Running;
pub use traces::Traces;
