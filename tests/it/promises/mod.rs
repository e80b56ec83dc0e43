//! The nine promises of the call model, each tried by a test that wants to break it, on one instance in this process.
//!
//! Those that speak of crashes are tried again in `crashes`, on a process that is killed.

mod answers;
mod ends;
mod gaps;
mod lines;
mod replay;
mod rings;
mod secrets;
mod tokens;
