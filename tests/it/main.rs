//! Tests of the parts together, on the wire and on disk.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod store_laws;
