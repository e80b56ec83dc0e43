//! `[call]`: how long a call may ring, connect and last, and what a second one meets.

use std::time::Duration;

use crate::domain::DeclineScope;

use super::describe::Description;
use super::fields::Fields;
use super::kind;

/// `[call]`.
#[derive(Debug, Clone)]
pub struct Call {
    /// How long it rings, unless the invite says otherwise; 5 to 120 seconds.
    pub ring: Duration,
    /// How soon after the answer both must be in the room.
    pub connect_timeout: Duration,
    /// How long a party that left without hanging up may stay away.
    pub reconnect_grace: Duration,
    /// How long it may last after the answer.
    pub max_duration: Duration,
    /// Whether a second call rings a user who is on one.
    pub call_waiting: bool,
    /// What one device's decline stops.
    pub decline: DeclineScope,
    /// How long an ended call is kept.
    pub retention: Duration,
}

const SCOPES: &[(&str, DeclineScope)] = &[("call", DeclineScope::Call), ("device", DeclineScope::Device)];

pub(super) fn read(fields: &mut Fields) -> Option<Call> {
    let ring = fields.required("ring", &kind::duration("5s", "120s", "45s"));
    let connect_timeout = fields.required("connect_timeout", &kind::duration("100ms", "10m", "20s"));
    let reconnect_grace = fields.required("reconnect_grace", &kind::duration("0s", "10m", "30s"));
    let max_duration = fields.required("max_duration", &kind::duration("1s", "30d", "4h"));
    let call_waiting = fields.required("call_waiting", &kind::boolean());
    let decline = fields.required("decline", &kind::one_of(SCOPES));
    // LiveKit's fresh tokens are good for ten minutes and a minute of leeway: while one is, the record is there and closes what it opens.
    let retention = fields.required("retention", &kind::duration("20m", "365d", "7d"));
    Some(Call {
        ring: ring?,
        connect_timeout: connect_timeout?,
        reconnect_grace: reconnect_grace?,
        max_duration: max_duration?,
        call_waiting: call_waiting?,
        decline: decline?,
        retention: retention?,
    })
}

impl Call {
    pub(super) fn describe(&self, out: &mut Description) {
        out.duration("ring", self.ring);
        out.duration("connect_timeout", self.connect_timeout);
        out.duration("reconnect_grace", self.reconnect_grace);
        out.duration("max_duration", self.max_duration);
        out.plain("call_waiting", self.call_waiting);
        out.one_of("decline", self.decline, SCOPES);
        out.duration("retention", self.retention);
    }
}
