//! Tests of the whole and of its larger parts, in one binary.

mod calls;
mod devices;
mod events;
mod machine;
mod main_flow;
mod store_laws;
mod support;
