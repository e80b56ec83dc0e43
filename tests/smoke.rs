//! The real binary: each command as a person or a process manager calls it, by its exit code, stdout and stderr.
//!
//! What the gateway does is tested in `it`; here is only what the command line promises.

#![expect(clippy::expect_used, reason = "Clippy knows a test by its attribute, not the functions that help it")]

mod smoke {
    pub mod demo;
    pub mod process;
    pub mod reload;
    pub mod serve;
    pub mod simple;
    pub mod simulate;
}
