//! What is measured of requests to the API: how many, how long, and how they ended; and who reads events.
//!
//! A route is the template by which it was found, so no label grows with what is asked for; what no route was found for is one.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;

use super::metrics::{Metrics, observe};
use super::timers::Running;

/// The route of what no route was found for.
const UNMATCHED: &str = "unmatched";

/// Requests of the same kind that came to the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    route: String,
    method: &'static str,
    /// `2xx`, or `gone`.
    status: &'static str,
}

/// Requests of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    route: String,
    method: &'static str,
}

/// How events are read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Transport {
    /// `sse` or `websocket`.
    transport: &'static str,
}

impl Metrics {
    /// Notes that a request was answered with a status, or, without one, that whoever asked went away.
    pub fn requested(&self, route: Option<&str>, method: &str, status: Option<u16>, took: Duration) {
        let (route, method) = (route.unwrap_or(UNMATCHED).to_owned(), known_method(method));
        let labels = Route { route, method };
        if status.is_some() {
            observe(&self.http_seconds, &labels, took);
        }
        let Route { route, method } = labels;
        self.http_requests.get_or_create(&Request { route, method, status: class(status) }).inc();
    }

    /// Notes that events are read by `sse` or `websocket`, until the answer is dropped.
    pub fn reading(&self, transport: &'static str) -> Running {
        Running::begin(&self.event_readers.get_or_create(&Transport { transport }))
    }
}

/// A method that anybody could make up must not be a label.
pub fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

const fn class(status: Option<u16>) -> &'static str {
    match status {
        None => "gone",
        Some(..200) => "1xx",
        Some(..300) => "2xx",
        Some(..400) => "3xx",
        Some(..500) => "4xx",
        Some(_) => "5xx",
    }
}
