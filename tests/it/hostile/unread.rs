//! An event stream over HTTP/1.1 that nobody reads. The kernel takes megabytes before the gateway notices, so the events here are large ones, of the
//! listener alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use bellwire::http::connections::Connections;
use bellwire::http::server::{Bounds, Server};
use bellwire::lifecycle::stop_signal;
use bellwire::telemetry::Metrics;
use futures_util::stream;

use super::raw::Raw;
use crate::support::SOON;

/// A listener whose event streams have no end, and what it measures.
async fn serve() -> (std::net::SocketAddr, Arc<Metrics>, impl Sized) {
    let within = Duration::from_millis(500);
    let bounds = Bounds { headers: SOON, sends: within, idle: SOON, lingers: Duration::ZERO, body_bytes: 4096 };
    let server = Server::bind("127.0.0.1:0".parse().expect("an address"), bounds).await.expect("a listener");
    let (address, metrics) = (server.address(), Arc::new(Metrics::default()));
    let events =
        || async { Sse::new(stream::repeat_with(|| Ok::<_, Infallible>(Event::default().data("x".repeat(60_000))))) };
    let router = Router::new().route("/events", get(events));
    let (stopper, stop) = stop_signal();
    tokio::spawn(server.serve(router, Connections::of_operators(&metrics), Arc::clone(&metrics), stop));
    (address, metrics, stopper)
}

#[tokio::test]
async fn a_reader_of_events_that_takes_none_of_them_is_given_up() {
    let (address, metrics, _stopper) = serve().await;
    let mut client = Raw::open_to(address).await;
    client.write("GET /events HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
    let given_up = async {
        while !metrics.text().contains("bellwire_limited_total{limit=\"send_timeout\"} 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, given_up).await.expect("given up");
}
