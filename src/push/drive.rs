//! What goes on in the background of a connection: its bytes move, and its silence is noticed.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::{Ping, PingPong};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::connection::{Connection, Phase};
use super::goaway::Heard;

/// Far more than a way around the world. With the time after which a request is doubted it leaves enough of an attempt's two
/// seconds to send the push again over another connection.
const PONG_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection that nobody holds any more may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

type H2 = h2::client::Connection<Heard<TlsStream<TcpStream>>, Bytes>;

/// Moves the bytes of a connection until it has ended or stopped answering.
pub(super) async fn drive(
    mut h2: H2,
    pings: PingPong,
    check: Arc<Notify>,
    idle_before_ping: Duration,
    connection: Weak<Connection>,
) {
    let bytes = poll_fn(|cx| {
        if let Poll::Ready(end) = Pin::new(&mut h2).poll(cx) {
            return Poll::Ready(end);
        }
        if let Some(connection) = connection.upgrade() {
            connection.look_at_limits(cx);
        }
        Poll::Pending
    });
    tokio::select! {
        // Bytes first: a PONG that lay there while the machine was busy counts.
        biased;
        end = bytes => if let Err(error) = end {
            tracing::debug!(%error, "connection to a push provider broke");
        },
        () = silence(pings, &check, idle_before_ping, &connection) => {}
    }
    if let Some(connection) = connection.upgrade() {
        connection.advance(Phase::Closed);
    }
}

/// Returns when the peer leaves a PING unanswered; one goes out after an idle while, and when a request goes unanswered.
async fn silence(mut pings: PingPong, check: &Notify, idle_before_ping: Duration, connection: &Weak<Connection>) {
    loop {
        let asked = timeout(idle_before_ping, check.notified()).await.is_ok();
        let Some(of) = connection.upgrade() else { break };
        let is_known_to_live = if asked { !of.is_doubted() } else { of.was_heard_within(idle_before_ping) };
        drop(of);
        if is_known_to_live {
            continue;
        }
        if !matches!(timeout(PONG_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            tracing::debug!("push provider no longer answers PING");
            return;
        }
        if let Some(connection) = connection.upgrade() {
            connection.was_heard();
        }
    }
    // Nobody holds it: h2 says goodbye by itself, unless the socket is stuck.
    sleep(GOODBYE_TIMEOUT).await;
}
