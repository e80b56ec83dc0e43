//! Tests of the whole and of its larger parts, in one binary.

mod crashes;
mod machine;
mod main_flow;
mod promises;
mod providers;
mod store_laws;
mod support;
