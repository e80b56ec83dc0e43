//! Where a request's token stands, and whether its bearer is one whom the gateway knows without asking anybody.
//!
//! It stands in `Authorization`; of an event stream also among a WebSocket's subprotocols, since a browser's sets no header. Who a token's bearer
//! is, `auth` tells.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, Request};

use super::App;
use super::auth;
use super::extract::only_header;
use super::problem::Problem;

/// Where events are; nowhere else is a subprotocol looked at.
pub(super) const EVENTS: &str = "/v1/events";
/// What a subprotocol with a token begins with.
const BEARER_PROTOCOL: &str = "bearer.";

/// The token of a request for this path.
pub(super) fn token<'a>(path: &str, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    match only_header(headers, &AUTHORIZATION)? {
        None if path == EVENTS
            && let Some(token) = in_subprotocol(headers) =>
        {
            Ok(token)
        }
        header => Ok(auth::bearer(header)?),
    }
}

/// Whether a request bears the ticket of a phone that rings or a key of the app's backend, which are not refused for what others do.
pub(super) fn is_known(app: &App, request: &Request<Body>) -> bool {
    token(request.uri().path(), request.headers()).is_ok_and(|token| app.auth.now().knows(token))
}

fn in_subprotocol(headers: &HeaderMap) -> Option<&str> {
    let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix(BEARER_PROTOCOL))
}
