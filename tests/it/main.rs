//! Tests of the whole and of its larger parts, in one binary.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

mod machine;
mod main_flow;
mod store_laws;
mod support;
mod two_engines;
