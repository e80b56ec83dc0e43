//! Whole calls with the real thing: a `livekit-server`, the `bellwire` binary, and LiveKit's own clients as Alice and Bob, each of whom
//! plays a tone and listens for that of the other. Only Apple and Google are simulated.
//!
//! Each scenario has a world of its own, and checks the call's end, its events and its statistics against what the clients saw. `./test`
//! makes what they need; where that is missing they say that they are skipped. The clients are told and heard by `client.py`.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

mod app;
mod bans;
mod livekit;
mod network;
mod networks;
mod restarts;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "The rest is for the tests in `it`")]
mod support;
mod talk;
mod told;
mod webhooks;
mod whole_calls;
mod world;
