//! Bellwire: call signalling for LiveKit. See `docs/ARCHITECTURE.md` for the map.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod dispatch;
pub mod domain;
pub mod engine;
pub mod http;
pub mod lifecycle;
pub mod live;
pub mod livekit;
pub mod outbound;
pub mod places;
pub mod push;
pub mod scheduler;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod ticket;
