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
    /// How long a client may take to receive what is sent to it: some tens of kilobytes at a time.
    pub send_timeout: Duration,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// Connections to the API at a time, of all clients.
    pub connections: usize,
    /// Connections to the API at a time of one IP address that is no trusted proxy.
    pub connections_per_ip: Option<usize>,
    /// Requests in flight, of all clients.
    pub requests: usize,
    /// Requests in flight of one IP address.
    pub requests_per_ip: Option<usize>,
    /// Requests in flight of one user.
    pub requests_per_user: usize,
    /// Event streams that are open, of all users.
    pub event_streams: usize,
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
    let send_timeout = fields.required("send_timeout", &kind::duration("100ms", "5m", "20s"));
    let idle_timeout = fields.required("idle_timeout", &kind::duration("100ms", "1h", "75s"));
    let connections = fields.required("connections", &kind::number(1, 1_000_000));
    let connections_per_ip: Option<usize> = fields.required("connections_per_ip", &kind::number(0, 1_000_000));
    let requests = fields.required("requests", &kind::number(1, 1_000_000));
    let requests_per_ip: Option<usize> = fields.required("requests_per_ip", &kind::number(0, 1_000_000));
    let requests_per_user = fields.required("requests_per_user", &kind::number(1, 1_000_000));
    let event_streams = fields.required("event_streams", &kind::number(1, 1_000_000));
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
        send_timeout: send_timeout?,
        idle_timeout: idle_timeout?,
        connections: connections?,
        connections_per_ip: connections_per_ip.filter(|most| *most > 0),
        requests: requests?,
        requests_per_ip: requests_per_ip.filter(|most| *most > 0),
        requests_per_user: requests_per_user?,
        event_streams: event_streams?,
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
        out.duration("send_timeout", self.send_timeout);
        out.duration("idle_timeout", self.idle_timeout);
        out.plain("connections", self.connections);
        out.plain("connections_per_ip", self.connections_per_ip.unwrap_or_default());
        out.plain("requests", self.requests);
        out.plain("requests_per_ip", self.requests_per_ip.unwrap_or_default());
        out.plain("requests_per_user", self.requests_per_user);
        out.plain("event_streams", self.event_streams);
    }
}
