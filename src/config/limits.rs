//! `[limits]`: how much anybody may ask for.

use std::time::Duration;

use super::describe::Description;
use super::fields::Fields;
use super::kind::{self, Kind};
pub use crate::domain::Rate;
use crate::domain::rate::SPANS;

/// `[limits]`; a rate that is not set is no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests of one IP address, before authentication.
    pub ip: Option<Rate>,
    /// Invites by one user.
    pub invites_per_user: Option<Rate>,
    /// Invites to one user.
    pub invites_per_callee: Option<Rate>,
    /// Invites of one user to another.
    pub invites_per_pair: Option<Rate>,
    /// LiveKit tokens that one user asks for.
    pub tokens_per_user: Option<Rate>,
    /// Device registrations of one user.
    pub registrations_per_user: Option<Rate>,
    /// Registrations of one user that bring a new token.
    pub new_tokens_per_user: Option<Rate>,
    /// Event streams that one user may have open.
    pub event_streams_per_user: usize,
    /// How often an event stream is pinged; a WebSocket that has said nothing by the next ping is dead.
    pub event_ping: Duration,
    /// The greatest body of a request, in bytes.
    pub body_bytes: usize,
    /// How long a client may take to send a request's headers.
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
}

pub(super) fn read(fields: &mut Fields) -> Option<Limits> {
    let ip = fields.optional("ip", &rate());
    let invites_per_user = fields.optional("invites_per_user", &rate());
    let invites_per_callee = fields.optional("invites_per_callee", &rate());
    let invites_per_pair = fields.optional("invites_per_pair", &rate());
    let tokens_per_user = fields.optional("tokens_per_user", &rate());
    let registrations_per_user = fields.optional("registrations_per_user", &rate());
    let new_tokens_per_user = fields.optional("new_tokens_per_user", &rate());
    let event_streams_per_user = fields.required("event_streams_per_user", &kind::number(1, 1000));
    let event_ping = fields.required("event_ping", &kind::duration("100ms", "5m", "25s"));
    let body_bytes = fields.required("body_bytes", &kind::number(4096, 1_048_576));
    let header_timeout = fields.required("header_timeout", &kind::duration("100ms", "1m", "10s"));
    let body_timeout = fields.required("body_timeout", &kind::duration("100ms", "1m", "10s"));
    Some(Limits {
        ip,
        invites_per_user,
        invites_per_callee,
        invites_per_pair,
        tokens_per_user,
        registrations_per_user,
        new_tokens_per_user,
        event_streams_per_user: event_streams_per_user?,
        event_ping: event_ping?,
        body_bytes: body_bytes?,
        header_timeout: header_timeout?,
        body_timeout: body_timeout?,
    })
}

fn rate() -> Kind<Rate> {
    Kind::text("a rate per s, min, h or d, such as \"30/min\", or \"\" for no limit", |text| {
        let (count, span) = text.split_once('/')?;
        let count = count.parse().ok().filter(|count| *count > 0)?;
        let (_, per) = SPANS.into_iter().find(|(name, _)| *name == span)?;
        Some(Rate { count, per })
    })
}

impl Limits {
    pub(super) fn describe(&self, out: &mut Description) {
        out.optional("ip", self.ip);
        out.optional("invites_per_user", self.invites_per_user);
        out.optional("invites_per_callee", self.invites_per_callee);
        out.optional("invites_per_pair", self.invites_per_pair);
        out.optional("tokens_per_user", self.tokens_per_user);
        out.optional("registrations_per_user", self.registrations_per_user);
        out.optional("new_tokens_per_user", self.new_tokens_per_user);
        out.plain("event_streams_per_user", self.event_streams_per_user);
        out.duration("event_ping", self.event_ping);
        out.plain("body_bytes", self.body_bytes);
        out.duration("header_timeout", self.header_timeout);
        out.duration("body_timeout", self.body_timeout);
    }
}
