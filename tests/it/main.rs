//! Tests of the whole and of its larger parts, in one binary.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

mod calls;
mod crashes;
mod devices;
mod doors;
mod events;
mod explain;
mod fleet;
mod hostile;
mod http_frame;
mod legs;
mod limits;
mod livekit;
mod livekit_server;
mod logging;
mod machine;
mod main_flow;
mod metrics;
mod migration;
mod moderation;
mod openapi;
mod outage;
mod policy;
mod postgres;
mod privacy;
mod promises;
mod providers;
mod recording;
mod records;
mod redis_faults;
mod redis_harness;
mod reload;
#[path = "../../examples/shared/rules.rs"]
mod rules;
mod saga;
mod store_laws;
mod support;
mod takeover;
mod traces;
mod two_engines;
mod users;
mod webhooks;
