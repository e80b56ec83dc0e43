//! The rules of a call by the default configuration, but that each push goes out once and LiveKit can be asked who is in a room.

use bellwire::domain::{DeclineScope, PushRules, Rules, Subscribers, Unknown};

pub fn rules() -> Rules {
    Rules {
        connect_timeout_ms: 20_000,
        reconnect_grace_ms: 30_000,
        max_duration_ms: 14_400_000,
        retention_ms: 604_800_000,
        decline: DeclineScope::Call,
        missed_call: true,
        presence: true,
        rooms: false,
        ask_every_ms: 0,
        record: false,
        push: PushRules::default(),
        webhooks: Subscribers::default(),
        unknown: Unknown::default(),
    }
}
