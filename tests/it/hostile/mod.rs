//! Requests that nobody should send: each is refused with its own code, changes nothing, and says nothing secret.
//!
//! The routes come from the gateway's own description of itself, so a new one fails these tests until it is in the table of `route`.

mod bodies;
mod crowds;
mod frames;
mod fuzz;
mod heads;
mod http2;
mod others;
mod raw;
mod route;
mod slow;
mod sockets;
mod texts;
mod tokens;
mod unread;
mod world;
