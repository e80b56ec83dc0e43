//! Keys and certificates that change.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::server::host;
use super::{Stage, WITHIN, all_accepted, android, iphone, surroundings};
use crate::push::surroundings::Surroundings;
use crate::push::{Message, Verdict};
use crate::simulator::Provider;

const OLD: &str = "OLDKEY0001";
const NEW: &str = "NEWKEY0002";

/// The id of the key that signed a provider token.
fn key_id(authorization: Option<&http::HeaderValue>) -> Option<String> {
    let token = authorization?.to_str().ok()?.strip_prefix("bearer ")?;
    let header = BASE64URL_NOPAD.decode(token.split('.').next()?.as_bytes()).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    header["kid"].as_str().map(str::to_owned)
}

/// The service account with an address that Google does not know.
pub(super) fn of_somebody_else(account: &str) -> String {
    let mut account: Value = serde_json::from_str(account).expect("JSON");
    account["client_email"] = json!("somebody@else.example");
    account.to_string()
}

fn another_key() -> String {
    rcgen::KeyPair::generate().expect("a key").serialize_pem()
}

/// The operator replaces key and id, and from that moment on Apple takes the new key alone.
#[tokio::test(flavor = "multi_thread")]
async fn no_push_is_lost_while_a_key_is_replaced() {
    let (good, refused) = (Arc::new(Mutex::new(OLD)), Arc::new(AtomicU64::new(0)));
    let server = host::start({
        let (good, refused) = (Arc::clone(&good), Arc::clone(&refused));
        move |request, _| {
            if key_id(request.headers().get("authorization")).as_deref() == Some(*good.lock().expect("a lock")) {
                return (200, String::new());
            }
            refused.fetch_add(1, Ordering::Relaxed);
            (403, r#"{"reason":"InvalidProviderToken"}"#.to_owned())
        }
    })
    .await;
    let stage = Stage::with(|config| {
        let apns = &mut config.apns[0];
        let id_file = apns.key_file.with_file_name("key-id");
        fs::write(&id_file, format!("{OLD}\n")).expect("written");
        apns.key_id_file = Some(id_file);
        apns.key_id.clear();
        apns.endpoint = server.url();
        apns.ca_file = Some(server.ca_file(&apns.key_file));
        config.apns.truncate(1);
    })
    .await;
    let (stage, stop, sent) = (Arc::new(stage), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = (0..8).map(|number| {
        let (stage, stop, sent) = (Arc::clone(&stage), Arc::clone(&stop), Arc::clone(&sent));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let push = stage.message(&iphone(number), Message::Ring(stage.ring()));
                all_accepted(&[stage.pushers.send(&push).await]);
                sent.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let load: Vec<_> = load.collect();
    let more = async |by: u64| {
        let wanted = sent.load(Ordering::Relaxed) + by;
        while sent.load(Ordering::Relaxed) < wanted && !load.iter().all(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    more(100).await;
    fs::write(stage.files.path().join("apns.p8"), another_key()).expect("written");
    fs::write(stage.files.path().join("key-id"), NEW).expect("written");
    *good.lock().expect("a lock") = NEW;
    more(100).await;
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("all accepted");
    }
    assert!(refused.load(Ordering::Relaxed) > 0, "the old key was met");
    assert_eq!(stage.apns_state().stale, None);
}

#[tokio::test]
async fn a_broken_key_leaves_the_old_one_in_use_and_is_said() {
    let stage = Stage::start().await;
    let path = stage.files.path().join("apns.p8");
    let good = fs::read(&path).expect("the key");
    for (broken, said) in [(Some("half a key"), "holds no usable key"), (None, "cannot read")] {
        match broken {
            Some(text) => fs::write(&path, text).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        assert!(!stage.pushers.reload().await);
        let state = stage.apns_state();
        assert!(state.stale.as_ref().is_some_and(|why| why.contains(said)), "{state:?}");
        assert!(!state.is_good() && state.problem().is_some_and(|problem| problem.contains("stays in use")));
        all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    }
    fs::write(&path, good).expect("written");
    assert!(!stage.pushers.reload().await, "the same as ever");
    assert_eq!(stage.apns_state().stale, None);
}

#[tokio::test]
async fn a_file_that_changes_is_found_without_a_word() {
    let quick = Surroundings { look_every: Duration::from_millis(20), ..surroundings() };
    let stage = Stage::within(quick, |_| {}).await;
    fs::write(stage.files.path().join("apns.p8"), "no key").expect("written");
    let found = async {
        while stage.apns_state().stale.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, found).await.expect("found");
}

/// A section that is made anew neither makes the others anew nor signs for a key that stays the same.
#[tokio::test]
async fn one_key_that_changes_leaves_the_others_alone() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    let ca = stage.files.path().join("ca.pem");
    let account = stage.files.path().join("fcm-service-account.json");
    let text = fs::read_to_string(&account).expect("read");
    fs::write(&account, format!("{text}\n")).expect("written");
    assert!(stage.pushers.reload().await);
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    assert_eq!(stage.received(Provider::OAuth).len(), 2, "the account is asked for anew");
    let connections: Vec<_> = stage.received(Provider::Apns).iter().map(|received| received.connection).collect();

    // Now all: other connections, and the same provider token for the same key.
    fs::write(&ca, format!("{}\n", fs::read_to_string(&ca).expect("read"))).expect("written");
    assert!(stage.pushers.reload().await);
    all_accepted(&stage.ring_all([iphone(1)]).await);
    let received = stage.received(Provider::Apns);
    assert!(!connections.contains(&received[2].connection), "{connections:?}");
    assert_eq!(received[0].header("authorization"), received[2].header("authorization"));
}

#[tokio::test]
async fn a_key_that_apple_does_not_know_is_our_fault_and_mended_by_its_file() {
    let stage = Stage::start().await;
    let path = stage.files.path().join("apns.p8");
    let good = fs::read(&path).expect("the key");
    fs::write(&path, another_key()).expect("written");
    assert!(stage.pushers.reload().await);
    let report = &stage.ring_all([iphone(1)]).await[0];
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::OurFault, "InvalidProviderToken"));
    assert!(report.credential_refused);
    fs::write(&path, good).expect("written");
    all_accepted(&stage.ring_all([iphone(1)]).await);
}

#[tokio::test]
async fn refused_google_accounts_are_read_again_too() {
    let mut good = String::new();
    let stage = Stage::with(|config| {
        let account = config.fcm[0].service_account_file.as_ref().expect("a file");
        good = fs::read_to_string(account).expect("read");
        fs::write(account, of_somebody_else(&good)).expect("written");
    })
    .await;
    let report = &stage.ring_all([android(1)]).await[0];
    assert_eq!(report.verdict, Verdict::OurFault, "{report:?}");
    fs::write(stage.files.path().join("fcm-service-account.json"), good).expect("written");
    all_accepted(&stage.ring_all([android(1)]).await);
}
