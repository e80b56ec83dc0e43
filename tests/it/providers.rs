//! What providers answer, and what the gateway makes of it.
