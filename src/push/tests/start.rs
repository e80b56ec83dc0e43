//! How pushing begins, with and without what it needs.

use std::fs;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::{Stage, all_accepted, android, configuration, iphone};
use crate::clock::Clock;
use crate::config;
use crate::domain::{Environment, Platform};
use crate::push::{Message, Pushers, Served, Verdict};
use crate::simulator::{Options, Provider, Simulator};

async fn refused(change: impl FnOnce(&mut config::push::Push, &std::path::Path)) -> String {
    let clock = Clock::system();
    let simulator = Simulator::start(Options::new(clock.clone())).await.expect("a simulator");
    let files = tempfile::tempdir().expect("a directory");
    let mut config = configuration(&simulator, &files);
    change(&mut config, files.path());
    Pushers::start(&config, clock).await.err().expect("refused").to_string()
}

#[tokio::test]
async fn a_dead_endpoint_does_not_block_the_start() {
    // Bound and not listening: nobody else gets the port, and whoever connects is refused.
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let dead = format!("https://{}", bound.local_addr().expect("an address"));
    let started = Instant::now();
    let stage = Stage::with(|config| config.apns[0].endpoint.clone_from(&dead)).await;
    let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(stage.ring()))).await;
    assert_eq!(report.verdict, Verdict::Retry { after: None });
    assert!(report.reason.starts_with("not-connected: cannot connect to"), "{report:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
    all_accepted(&stage.ring_all([android(1)]).await);

    let states = stage.pushers.states();
    let dead = states.iter().find(|state| state.name == "apns com.example.phone production").expect("a state");
    assert_eq!((dead.connected, dead.of), (0, 2));
    assert!(dead.last_error.as_deref().is_some_and(|error| error.contains("refused")), "{dead:?}");
    let failed: Vec<_> = stage.pushers.probe().await.into_iter().filter(|probe| probe.result.is_err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, "apns com.example.phone production");
}

#[tokio::test]
async fn a_ring_finds_connections_that_are_open_already() {
    let stage = Stage::start().await;
    // The probes take as long as the connections that were begun before them.
    assert!(stage.pushers.probe().await.iter().all(|probe| probe.result.is_ok()));
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    let states = stage.pushers.states();
    assert_eq!(states.len(), 3);
    assert!(states.iter().all(|state| state.connected > 0 && state.last_error.is_none()), "{states:?}");
}

#[tokio::test]
async fn what_can_be_rung_is_told() {
    let stage = Stage::with(|config| config.apns.truncate(1)).await;
    let served: Vec<_> = stage
        .pushers
        .platforms()
        .into_iter()
        .map(|Served { platform, environment, .. }| (platform, environment))
        .collect();
    assert_eq!(served, [(Platform::Ios, Some(Environment::Production)), (Platform::Android, None)]);
}

#[tokio::test]
async fn a_stranger_is_not_trusted() {
    let other = Simulator::start(Options::new(Clock::system())).await.expect("a simulator");
    let stage = Stage::with(|config| config.apns[0].endpoint = other.apns_url(Environment::Production)).await;
    let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(stage.ring()))).await;
    assert!(report.reason.contains("TLS"), "{report:?}");
    assert_eq!(other.log().count(), 0);
}

#[tokio::test]
async fn bad_files_are_named_with_their_keys() {
    let missing = refused(|config, _| config.apns[1].key_file = "nowhere/apns.p8".into()).await;
    assert_eq!(missing, "push.apns[1].key_file: cannot read nowhere/apns.p8");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_without_showing_it() {
    let error = refused(|config, files| {
        let path = files.join("bad.p8");
        fs::write(&path, "not a key at all").expect("written");
        config.apns[0].key_file = path;
    });
    let error = error.await;
    assert!(error.starts_with("push.apns[0].key_file: ") && error.contains("bad.p8"), "{error}");
    assert!(!error.contains("at all"), "{error}");
}

#[tokio::test]
async fn endpoints_are_https_and_sections_differ() {
    let error = refused(|config, _| config.apns[0].endpoint = "http://localhost".to_owned()).await;
    assert_eq!(error, "push.apns[0].endpoint: must begin with https://");
    let error = refused(|config, _| config.apns[1].environment = Environment::Production).await;
    assert!(error.starts_with("push.apns[1].environment: "), "{error}");
    let error = refused(|config, _| config.fcm.push(config.fcm[0].clone())).await;
    assert!(error.starts_with("push.fcm[1].app: "), "{error}");
}

#[tokio::test]
async fn a_push_to_nobody_shows_what_providers_think_of_their_credentials() {
    let stage = Stage::start().await;
    stage.rule("apns BadDeviceToken");
    stage.rule("fcm INVALID_ARGUMENT");
    let tried = stage.pushers.try_out().await;
    let names: Vec<_> = tried.iter().map(|probe| probe.name.as_str()).collect();
    let (production, sandbox) = ("apns com.example.phone production key", "apns com.example.phone sandbox key");
    assert_eq!(names, [production, sandbox, "fcm com.example.phone account"]);
    assert!(tried.iter().all(|probe| probe.result.is_ok()), "{tried:?}");
    let [production, google] = [Provider::Apns, Provider::Fcm].map(|provider| stage.received(provider).remove(0));
    assert_eq!(production.header("apns-push-type"), Some("background"));
    assert_eq!(google.body["validate_only"], true);
    assert_ne!(stage.pushers.try_out().await.len(), 0);
    let asked = stage.received(Provider::Apns);
    assert_ne!(asked[0].target, asked[1].target, "each made up anew");
    let state = stage.apns_state();
    assert_eq!((state.fault, state.held_back), (None, None), "it is no push of a call");

    stage.simulator.clear_rules();
    stage.rule("apns InvalidProviderToken");
    stage.rule("fcm PERMISSION_DENIED");
    for probe in stage.pushers.try_out().await {
        assert!(probe.result.is_err_and(|why| why.contains("403")), "{}", probe.name);
    }
}
