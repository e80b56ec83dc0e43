//! What peers say when they end a connection, and who is told of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Version};
use tempfile::TempDir;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::server::Server;
use super::server::wire::Wire;
use super::{WITHIN, surroundings};
use crate::clock::Clock;
use crate::config::push::Privacy;
use crate::push::goaway::Goodbye;
use crate::push::pool::{Opening, Pool};
use crate::push::sections::{Files, Named};
use crate::push::setup::Setup;

const REASON: &str = r#"{"reason":"BadDeviceToken"}"#;

/// One connection to a server, and the goodbyes that are told of.
struct Listener {
    pool: Pool,
    told: UnboundedReceiver<Goodbye>,
    _files: TempDir,
}

impl Listener {
    async fn start(server: &Server) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let ca = server.ca_file(&files.path().join("any"));
        let clock = Clock::system();
        let setup = Setup::new(surroundings(), clock.clone(), Privacy::Full);
        let read = Files::read("push.apns[0]".to_owned(), &(), &[Named { key: "ca_file", path: &ca }]).await;
        let endpoint = setup.endpoint("endpoint", &server.url(), &read).expect("an endpoint");
        let (say, told) = mpsc::unbounded_channel();
        let farewell = Arc::new(move |goodbye: &Goodbye| {
            let _ = say.send(goodbye.clone());
        });
        let pool = Pool::start("test".to_owned(), endpoint, 1, Opening::AtOnce, clock, farewell);
        Self { pool, told, _files: files }
    }

    async fn send(&self) {
        let request = || {
            let mut request = Request::new(());
            *request.method_mut() = Method::POST;
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = self.pool.endpoint().uri("/".parse().expect("a path"));
            request
        };
        let sent = self.pool.send(request, Bytes::new(), Instant::now() + WITHIN).await;
        assert_eq!(sent.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string()), Ok(200));
    }

    async fn hears(&mut self) -> Goodbye {
        timeout(WITHIN, self.told.recv()).await.expect("in time").expect("a goodbye")
    }
}

fn why() -> Goodbye {
    Goodbye { code: 0, text: REASON.to_owned() }
}

/// Also where the code says that nothing is wrong, of which h2 makes no error.
#[tokio::test]
async fn a_reason_for_going_away_is_heard() {
    let server = Server::start(|number, tls| async move {
        let mut wire = Wire::begin(tls, 100).await;
        if number == 1 {
            wire.settle().await;
            wire.go_away(0, REASON).await;
        }
        wire.serve().await;
    })
    .await;
    let mut listener = Listener::start(&server).await;
    assert_eq!(listener.hears().await, why());
    listener.send().await;
    assert!(listener.told.try_recv().is_err(), "and told once");
}

/// A gentle end comes in two frames. The second is not there yet when the first has another connection opened.
#[tokio::test]
async fn the_reason_in_a_second_goaway_is_heard_too() {
    let opened = Arc::new(watch::Sender::new(0));
    let server = Server::start({
        let opened = Arc::clone(&opened);
        move |number, tls| {
            let opened = Arc::clone(&opened);
            async move {
                let mut wire = Wire::begin(tls, 100).await;
                opened.send_replace(number);
                if number == 1 {
                    let Some(stream) = wire.request().await else { return };
                    wire.go_away(u32::MAX >> 1, "").await;
                    let _ = opened.subscribe().wait_for(|opened| *opened == 2).await;
                    wire.go_away(stream, REASON).await;
                    wire.answer(stream).await;
                }
                wire.serve().await;
            }
        }
    })
    .await;
    let mut listener = Listener::start(&server).await;
    listener.send().await;
    assert_eq!(listener.hears().await, why());
    listener.send().await;
    assert!(listener.told.try_recv().is_err(), "and told once");
}

#[tokio::test]
async fn a_goodbye_without_a_reason_is_told_at_the_end() {
    let server = Server::start(|number, tls| async move {
        let mut wire = Wire::begin(tls, 100).await;
        if number == 1 {
            wire.settle().await;
            wire.go_away(0, "").await;
            return;
        }
        wire.serve().await;
    })
    .await;
    let mut listener = Listener::start(&server).await;
    assert_eq!(listener.hears().await, Goodbye { code: 0, text: String::new() });
    assert!(timeout(Duration::from_millis(50), listener.told.recv()).await.is_err(), "and told once");
}
