//! What the gateway tells of itself.

mod api;
pub mod logs;
pub mod metrics;
mod parts;
mod process;
mod ring;
mod storage;
mod timers;
mod work;

pub use metrics::{Description, Metrics};
pub use parts::Provider;
pub use ring::Attempt;
pub use timers::Running;
