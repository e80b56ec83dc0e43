//! What the gateway tells of itself.

pub mod logs;
pub mod metrics;
mod ring;
mod work;

pub use metrics::Metrics;
pub use ring::Attempt;
