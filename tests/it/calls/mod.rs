//! Calls through the API, from the invite to the end.

mod answers;
mod crowd;
mod ends;
mod glare;
mod history;
mod idempotency;
mod invite;
mod lines;
mod stops;
mod tickets;
mod tokens;
