//! What is made of changed files is tried beside what is in use, and takes its place only once it stands.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::credentials::of_somebody_else;
use super::server::Server;
use super::server::wire::Wire;
use super::{Stage, WITHIN, all_accepted, android, configuration, iphone, surroundings};
use crate::config::push::PayloadProfile;
use crate::domain::Device;
use crate::push::surroundings::Surroundings;
use crate::push::{Message, State, Verdict};
use crate::simulator::Provider;

const WHY: &str = "with the new one nothing can be sent yet";

/// With trials that end soon, and files that nobody looks at unasked.
fn impatient() -> Surroundings {
    Surroundings { stands_within: Duration::from_millis(300), look_every: Duration::from_hours(1), ..surroundings() }
}

/// Rings a phone again and again, each ring accepted, until it is told to stop; it then says how many there were.
fn ring_on(stage: &Arc<Stage>, device: Device) -> (Arc<AtomicBool>, JoinHandle<usize>) {
    let stop = Arc::new(AtomicBool::new(false));
    let rings = tokio::spawn({
        let (stage, stop) = (Arc::clone(stage), Arc::clone(&stop));
        async move {
            let mut rung = 0;
            while !stop.load(Ordering::Relaxed) {
                let push = stage.message(&device, Message::Ring(stage.ring()));
                all_accepted(&[stage.pushers.send(&push).await]);
                rung += 1;
            }
            rung
        }
    });
    (stop, rings)
}

/// Reloads until the sections are like this, and says whether what is new has taken over. How long it takes to come to stand is the
/// machine's affair.
async fn reload_until(stage: &Stage, is_so: impl Fn(&[State]) -> bool) -> bool {
    let mut taken_over = false;
    let so = async {
        while !is_so(&stage.pushers.states()) {
            taken_over |= stage.pushers.reload().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(WITHIN, so).await.expect("in time");
    taken_over
}

fn is_stale(state: &State, why: &str) -> bool {
    state.stale.as_ref().is_some_and(|stale| stale.contains(WHY) && stale.contains(why))
        && state.problem().is_some_and(|problem| problem.contains("stays in use"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_somebody_else_changes_nothing_until_the_right_one_comes() {
    let stage = Stage::within(impatient(), |config| config.apns.iter_mut().for_each(|apns| apns.connections = 1));
    let stage = Arc::new(stage.await);
    let stranger = Server::start(|_, _| std::future::ready(())).await;
    let ca = stage.files.path().join("ca.pem");
    let good = fs::read_to_string(&ca).expect("read");
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    let before = stage.received(Provider::Apns)[0].connection;
    let loads = [iphone(1), android(1)].map(|device| ring_on(&stage, device));

    fs::write(&ca, &stranger.ca_pem).expect("written");
    assert!(!stage.pushers.reload().await, "nothing can be reached with it");
    assert_eq!(stage.apns_state().stale, None, "it is on trial still");
    assert!(!reload_until(&stage, |states| is_stale(&states[0], "TLS")).await);
    all_accepted(&stage.ring_all([iphone(2), android(2)]).await);
    assert_eq!(stage.received(Provider::Apns).last().expect("a push").connection, before);

    fs::write(&ca, format!("{good}\n")).expect("written");
    assert!(reload_until(&stage, |states| states.iter().all(|state| state.stale.is_none())).await, "it takes over");
    all_accepted(&stage.ring_all([iphone(2), android(2)]).await);
    assert_ne!(stage.received(Provider::Apns).last().expect("a push").connection, before);
    let mut rung = 4 + 2;
    for (stop, rings) in loads {
        stop.store(true, Ordering::Relaxed);
        rung += rings.await.expect("all accepted");
    }
    let received = stage.received(Provider::Apns).len() + stage.received(Provider::Fcm).len();
    assert_eq!(received, rung, "none was lost and none doubled");
}

#[tokio::test]
async fn an_account_that_google_does_not_know_changes_nothing() {
    let stage = Stage::within(impatient(), |_| {}).await;
    let account = stage.files.path().join("fcm-service-account.json");
    let good = fs::read_to_string(&account).expect("read");
    all_accepted(&stage.ring_all([android(1)]).await);
    fs::write(&account, of_somebody_else(&good)).expect("written");
    let googles = |states: &[State]| is_stale(&states[2], "the token endpoint answered 400");
    assert!(!reload_until(&stage, googles).await);
    all_accepted(&stage.ring_all([android(1)]).await);
    fs::write(&account, good).expect("written");
    assert!(!stage.pushers.reload().await, "the same as ever");
    assert_eq!(stage.pushers.states().pop().and_then(|state| state.stale), None);
}

/// As when the new certificate is there before the host that has it.
#[tokio::test]
async fn what_comes_to_stand_late_takes_over_unasked() {
    let stands = Arc::new(watch::Sender::new(false));
    let server = Server::start({
        let stands = Arc::clone(&stands);
        move |number, tls| {
            let mut stands = stands.subscribe();
            async move {
                if number > 1 {
                    let _ = stands.wait_for(|stands| *stands).await;
                }
                Wire::begin(tls, 100).await.serve().await;
            }
        }
    })
    .await;
    let mut ca = std::path::PathBuf::new();
    let surroundings = Surroundings { look_every: Duration::from_millis(20), ..impatient() };
    let stage = Stage::within(surroundings, |config| {
        config.apns.truncate(1);
        ca = server.ca_file(&config.apns[0].key_file);
        config.apns[0].endpoint = server.url();
        config.apns[0].ca_file = Some(ca.clone());
        config.apns[0].connections = 1;
    })
    .await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
    let becomes = async |stale: bool| {
        let becomes = async {
            while stage.apns_state().stale.is_some() != stale {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(WITHIN, becomes).await.expect("in time");
    };
    fs::write(&ca, format!("{}\n", server.ca_pem)).expect("written");
    becomes(true).await;
    assert!(is_stale(&stage.apns_state(), "still connecting"), "{:?}", stage.apns_state());
    all_accepted(&stage.ring_all([iphone(1)]).await);
    stands.send_replace(true);
    becomes(false).await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
}

/// Else the push would be lost to a certificate that is there a moment before its host.
#[tokio::test]
async fn a_push_that_is_refused_while_something_new_is_tried_is_to_come_again() {
    let stage = Stage::within(impatient(), |config| config.apns.truncate(1)).await;
    let stranger = Server::start(|_, _| std::future::ready(())).await;
    let ca = stage.files.path().join("ca.pem");
    let good = fs::read_to_string(&ca).expect("read");
    let refused = async || {
        stage.rule("apns InvalidProviderToken times 1");
        stage.ring_all([iphone(1)]).await[0].verdict
    };
    assert_eq!(refused().await, Verdict::OurFault, "nothing is new");
    fs::write(&ca, &stranger.ca_pem).expect("written");
    assert_eq!(refused().await, Verdict::Retry { after: None });
    assert!(!reload_until(&stage, |states| is_stale(&states[0], "TLS")).await);
    assert_eq!(refused().await, Verdict::Retry { after: None }, "it may come to stand still");
    fs::write(&ca, good).expect("written");
    assert_eq!(refused().await, Verdict::OurFault, "the old one is all there is");
}

#[tokio::test]
async fn another_section_is_tried_as_another_key_is_and_a_bad_one_changes_nothing() {
    let stage = Stage::within(impatient(), |_| {}).await;
    let config = configuration(&stage.simulator, &stage.files);
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    let connection = |provider| stage.received(provider).last().expect("a push").connection;
    let before = [Provider::Apns, Provider::Fcm].map(connection);

    let mut bad = config.clone();
    bad.apns[0].ring_sound = "bell.caf".to_owned();
    bad.fcm[0].ca_file = Some(stage.files.path().join("gone.pem"));
    let error = stage.pushers.reconfigure(&bad).await.expect_err("the file is not there").to_string();
    assert!(error.contains("push.fcm[0].ca_file"), "{error}");
    assert!(!stage.pushers.reload().await, "not even what is good of it is tried");
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    assert_eq!([Provider::Apns, Provider::Fcm].map(connection), before);

    let mut good = config.clone();
    good.apns.iter_mut().for_each(|apns| apns.payload = PayloadProfile::Callkeep);
    stage.pushers.reconfigure(&good).await.expect("good");
    let shape = async || stage.push(&iphone(1), Message::Ring(stage.ring())).await.1.body.clone();
    let changed = async { while shape().await["uuid"].is_null() {} };
    timeout(WITHIN, changed).await.expect("the new one stands in time");
    assert_eq!(connection(Provider::Fcm), before[1], "that was not made anew");
    stage.pushers.reconfigure(&config).await.expect("good");
    let changed = async { while !shape().await["uuid"].is_null() {} };
    timeout(WITHIN, changed).await.expect("and the old one again");
}
