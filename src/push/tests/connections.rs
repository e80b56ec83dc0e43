//! Connections as peers want them, end them, or let them hang.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::server::wire::{Event, Wire};
use super::server::{NAME, Server};
use super::{Stage, WITHIN, all_accepted, iphone, surroundings};
use crate::config;
use crate::push::surroundings::{Resolver, Surroundings};

/// Has Apple's production host be this server, over so many connections.
fn at(server: &Server, connections: usize) -> impl FnOnce(&mut config::push::Push) + use<> {
    let (url, pem) = (server.url(), server.ca_pem.clone());
    move |config| {
        config.apns.truncate(1);
        config.apns[0].endpoint = url;
        // Into the folder that goes with the test.
        let kept = config.apns[0].key_file.with_file_name("ca-of-server.pem");
        std::fs::write(&kept, pem).expect("written");
        config.apns[0].ca_file = Some(kept);
        config.apns[0].connections = connections;
    }
}

async fn reached(count: &watch::Sender<u32>, wanted: u32) {
    let mut count = count.subscribe();
    timeout(WITHIN, count.wait_for(|count| *count >= wanted)).await.expect("in time").expect("the server lives");
}

/// The rule of Apple's: one stream, until a request with a good provider token has been answered.
#[tokio::test]
async fn one_stream_is_all_until_the_peer_allows_more() {
    let most_early = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let most_early = Arc::clone(&most_early);
        move |_, tls| {
            let most_early = Arc::clone(&most_early);
            async move {
                let mut wire = Wire::begin(tls, 1).await;
                let Some(first) = wire.request().await else { return };
                // Twice around: whatever would be sent too early is here by then.
                wire.settle().await;
                wire.settle().await;
                let early = wire.came_in().into_iter().filter(|event| matches!(event, Event::Request(_))).count();
                most_early.fetch_max(1 + early, Ordering::Relaxed);
                wire.allow(100).await;
                wire.answer(first).await;
                wire.serve().await;
            }
        }
    })
    .await;
    let stage = Stage::with(at(&server, 1)).await;
    all_accepted(&stage.ring_all((0..20).map(iphone)).await);
    assert_eq!(most_early.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_at_its_limit_is_passed_over() {
    let opened = Arc::new(watch::Sender::new(0));
    let server = Server::start({
        let opened = Arc::clone(&opened);
        move |number, tls| {
            let opened = Arc::clone(&opened);
            async move {
                let mut wire = Wire::begin(tls, if number == 1 { 1 } else { 100 }).await;
                opened.send_modify(|count| *count += 1);
                if number == 1 {
                    // Its only stream is taken and not given back before the others are through.
                    let Some(stream) = wire.request().await else { return };
                    reached(&opened, 2 + 9).await;
                    wire.answer(stream).await;
                }
                while let Some(stream) = wire.request().await {
                    opened.send_modify(|count| *count += 1);
                    wire.answer(stream).await;
                }
            }
        }
    })
    .await;
    let stage = Stage::with(at(&server, 2)).await;
    reached(&opened, 2).await;
    while stage.apns_state().connected < 2 {
        tokio::task::yield_now().await;
    }
    all_accepted(&stage.ring_all((0..10).map(iphone)).await);
}

#[tokio::test]
async fn streams_in_flight_are_spread_evenly() {
    let (count, seen) = (Arc::new(watch::Sender::new(0)), Arc::new(Mutex::new([0_u32; 3])));
    let server = Server::start({
        let (count, seen) = (Arc::clone(&count), Arc::clone(&seen));
        move |number, tls| {
            let (count, seen) = (Arc::clone(&count), Arc::clone(&seen));
            async move {
                let mut wire = Wire::begin(tls, 100).await;
                let mut streams = Vec::new();
                for _ in 0..10 {
                    let Some(stream) = wire.request().await else { return };
                    streams.push(stream);
                    seen.lock().expect("a lock")[number as usize] += 1;
                    count.send_modify(|count| *count += 1);
                }
                reached(&count, 20).await;
                for stream in streams {
                    wire.answer(stream).await;
                }
                wire.serve().await;
            }
        }
    })
    .await;
    let stage = Stage::with(at(&server, 2)).await;
    while stage.apns_state().connected < 2 {
        tokio::task::yield_now().await;
    }
    all_accepted(&stage.ring_all((0..20).map(iphone)).await);
    assert_eq!(seen.lock().expect("a lock")[1..], [10, 10]);
}

#[tokio::test]
async fn goaway_loses_nothing_and_repeats_nothing_that_it_spares() {
    let (counts, mut counted) = mpsc::unbounded_channel();
    let server = Server::start(move |number, tls| {
        let counts = counts.clone();
        async move {
            let mut wire = Wire::begin(tls, 100).await;
            if number > 1 {
                while let Some(stream) = wire.request().await {
                    wire.answer(stream).await;
                    counts.send(number).expect("a test");
                }
                return;
            }
            let mut streams = Vec::new();
            for _ in 0..10 {
                streams.extend(wire.request().await);
            }
            wire.go_away(streams[3], r#"{"reason":"Shutdown"}"#).await;
            for stream in &streams[..4] {
                wire.answer(*stream).await;
                counts.send(number).expect("a test");
            }
            wire.serve().await;
        }
    })
    .await;
    let stage = Stage::with(at(&server, 1)).await;
    all_accepted(&stage.ring_all((0..10).map(iphone)).await);
    let mut answered = [0; 3];
    for _ in 0..10 {
        answered[counted.recv().await.expect("counted") as usize] += 1;
    }
    assert_eq!(answered, [0, 4, 6]);
    assert!(counted.try_recv().is_err(), "nothing was sent twice");
}

/// A server all of whose connections hang from the moment that the flag is up; those that are made later work.
async fn hanging(hang: &Arc<AtomicBool>, opened: &Arc<watch::Sender<u32>>) -> Server {
    let (hang, opened) = (Arc::clone(hang), Arc::clone(opened));
    Server::start(move |number, tls| {
        let (hang, opened) = (Arc::clone(&hang), Arc::clone(&opened));
        async move {
            let wire = Wire::begin(tls, 100).await;
            let mut wire = if number <= 2 { wire.hang_when(&hang) } else { wire };
            opened.send_modify(|count| *count += 1);
            wire.serve().await;
        }
    })
    .await
}

/// As when a firewall has forgotten all connections: the ring goes out within the same attempt.
#[tokio::test]
async fn a_ring_gets_through_though_every_connection_hangs() {
    let (hang, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(watch::Sender::new(0)));
    let server = hanging(&hang, &opened).await;
    let stage = Stage::with(at(&server, 2)).await;
    reached(&opened, 2).await;
    while stage.apns_state().connected < 2 {
        tokio::task::yield_now().await;
    }
    all_accepted(&stage.ring_all([iphone(1)]).await);
    hang.store(true, Ordering::Relaxed);
    all_accepted(&stage.ring_all([iphone(2)]).await);
}

#[tokio::test]
async fn a_hanging_connection_is_replaced_before_it_is_needed() {
    let (hang, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(watch::Sender::new(0)));
    let server = hanging(&hang, &opened).await;
    let idle = Surroundings { idle_before_ping: Duration::from_millis(100), ..surroundings() };
    let stage = Stage::within(idle, at(&server, 2)).await;
    while stage.apns_state().connected < 2 {
        tokio::task::yield_now().await;
    }
    hang.store(true, Ordering::Relaxed);
    reached(&opened, 4).await;
    while stage.apns_state().connected < 2 {
        tokio::task::yield_now().await;
    }
    all_accepted(&stage.ring_all([iphone(1)]).await);
}

#[tokio::test]
async fn a_connection_that_was_closed_for_idleness_is_opened_again_unasked() {
    let opened = Arc::new(watch::Sender::new(0));
    let server = Server::start({
        let opened = Arc::clone(&opened);
        move |number, tls| {
            let opened = Arc::clone(&opened);
            async move {
                let mut wire = Wire::begin(tls, 100).await;
                opened.send_modify(|count| *count += 1);
                if number == 1 {
                    let Some(stream) = wire.request().await else { return };
                    wire.answer(stream).await;
                    wire.settle().await;
                    // An hour later.
                    wire.go_away(stream, r#"{"reason":"IdleTimeout"}"#).await;
                }
                wire.serve().await;
            }
        }
    })
    .await;
    let stage = Stage::with(at(&server, 1)).await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
    reached(&opened, 2).await;
    all_accepted(&stage.ring_all([iphone(2)]).await);
}

/// A resolver that counts how often it is asked and gives what it was told.
fn resolver(asked: &Arc<AtomicU32>, addresses: &Arc<Mutex<Vec<SocketAddr>>>) -> Surroundings {
    let (asked, addresses) = (Arc::clone(asked), Arc::clone(addresses));
    let resolve = move |host: &str, _: u16| {
        let found = if host == NAME {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(addresses.lock().expect("a lock").clone())
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        };
        std::future::ready(found)
    };
    Surroundings { resolver: Resolver::new(resolve), ..surroundings() }
}

#[tokio::test]
async fn each_connection_asks_dns_anew() {
    let (asked, addresses) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let leave = Arc::new(tokio::sync::Notify::new());
    let first = Server::start({
        let leave = Arc::clone(&leave);
        move |_, tls| {
            let leave = Arc::clone(&leave);
            async move {
                let mut wire = Wire::begin(tls, 100).await;
                tokio::select! {
                    _ = wire.serve() => {}
                    () = leave.notified() => wire.go_away(u32::MAX >> 1, "").await,
                }
            }
        }
    })
    .await;
    let served = Arc::new(watch::Sender::new(0));
    let second = Server::start({
        let served = Arc::clone(&served);
        move |_, tls| {
            let served = Arc::clone(&served);
            async move {
                let mut wire = Wire::begin(tls, 100).await;
                while let Some(stream) = wire.request().await {
                    wire.answer(stream).await;
                    served.send_modify(|count| *count += 1);
                }
            }
        }
    })
    .await;
    addresses.lock().expect("a lock").push(first.address);
    let both = [&first, &second].map(|server| server.ca_pem.clone()).concat();
    let mut trust = std::path::PathBuf::new();
    let stage = Stage::within(resolver(&asked, &addresses), |config| {
        trust = config.apns[0].key_file.with_file_name("both.pem");
        std::fs::write(&trust, both).expect("written");
        config.apns.truncate(1);
        config.apns[0].endpoint = format!("https://{NAME}");
        config.apns[0].ca_file = Some(trust.clone());
        config.apns[0].connections = 1;
    })
    .await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
    assert_eq!((asked.load(Ordering::Relaxed), *served.borrow()), (1, 0));
    *addresses.lock().expect("a lock") = vec![second.address];
    leave.notify_one();
    while asked.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    all_accepted(&stage.ring_all([iphone(2)]).await);
    assert_eq!(*served.borrow(), 1);
}

#[tokio::test]
async fn every_address_is_tried() {
    let server = Server::start(|_, tls| async move {
        Wire::begin(tls, 100).await.serve().await;
    })
    .await;
    // Bound and not listening: whoever connects is refused.
    let dead = TcpSocket::new_v4().expect("a socket");
    dead.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let dead = dead.local_addr().expect("an address");
    let nowhere = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, dead.port()));
    let addresses = Arc::new(Mutex::new(vec![nowhere, dead, dead, server.address]));
    let asked = Arc::new(AtomicU32::new(0));
    let surroundings = resolver(&asked, &addresses);
    let stage = Stage::within(surroundings, |config| {
        at(&server, 1)(config);
        config.apns[0].endpoint = format!("https://{NAME}");
    })
    .await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "one connection was enough");
}
