//! The configuration: compiled-in defaults, then a file, then variables; one file per section.

pub mod auth;
pub mod push;
pub mod secret;

pub use secret::Secret;
