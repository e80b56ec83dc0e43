//! LiveKit: tokens to join rooms; later rooms, webhooks and egress.

pub mod token;
