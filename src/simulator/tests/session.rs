//! Connections, credentials and the log: all that is not about a single request's content.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::{Ask, Client, handshake, start};
use crate::clock::Clock;
use crate::domain::Environment;
use crate::simulator::{Options, Simulator, SimulatorError};

#[tokio::test]
async fn only_http_2_is_spoken() {
    let (simulator, _) = start(&[]).await;
    let url = simulator.apns_url(Environment::Production);
    assert!(handshake(&simulator, &url, &[b"http/1.1"]).await.is_err());
    let mut stream = handshake(&simulator, &url, &[]).await.expect("TLS does not mind");
    assert!(!matches!(stream.read(&mut [0; 64]).await, Ok(1..)), "nothing is said to who does not ask for h2");
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let headers = Ask::voip(&simulator, &clock).headers;
    let pushes = (0..500).map(|device| {
        let path = format!("/3/device/{device:08x}");
        client.get(Ask { headers: headers.clone(), ..Ask::post(path, "{}".to_owned()) })
    });
    assert!(futures_util::future::join_all(pushes).await.iter().all(|reply| reply.status == 200));
    assert_eq!(simulator.log().count(), 500);
    assert!(simulator.log().all().windows(2).all(|pair| pair[0].number + 1 == pair[1].number));
}

#[tokio::test]
async fn stopping_ends_connections() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    assert_eq!(client.get(Ask::voip(&simulator, &clock)).await.status, 200);
    simulator.stop().await;
    let _ = client.connection.await.expect("not panicked");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (simulator, clock) = start(&[]).await;
    let url = simulator.fcm_url();
    let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let error = Simulator::start(Options { apns_port: port, ..Options::new(clock) }).await.err().expect("in use");
    assert!(matches!(error, SimulatorError::Listen { .. }));
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_name_stands_in_urls_and_credentials() {
    let options = Options { host: Some("simulator.test".to_owned()), ..Options::new(Clock::system()) };
    let simulator = Simulator::start(options).await.expect("it starts");
    assert!(simulator.apns_url(Environment::Sandbox).starts_with("https://simulator.test:"));
    let account: Value = serde_json::from_str(&simulator.credentials().service_account_json).expect("JSON");
    assert_eq!(account["token_uri"], format!("{}/token", simulator.fcm_url()));
}

#[tokio::test]
async fn credentials_are_written_for_their_owner_alone() {
    let (simulator, _) = start(&[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made");
    simulator.credentials().write_to(&path).expect("written");
    let files = simulator.credentials().write_to(&path).expect("written over");
    let credentials = simulator.credentials();
    for (file, name, text) in [
        (files.ca, "ca.pem", &credentials.ca_pem),
        (files.apns_key, "apns.p8", &credentials.apns_key_pem),
        (files.service_account, "fcm-service-account.json", &credentials.service_account_json),
    ] {
        assert_eq!(file, path.join(name));
        assert_eq!(&std::fs::read_to_string(&file).expect("readable"), text);
        assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_log_finds_what_was_and_what_comes() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_apns(&simulator).await;
    let second = simulator.log().wait_for(Duration::from_secs(5), |received| received.number == 2);
    let pushes = async {
        let headers = Ask::voip(&simulator, &clock).headers;
        for _ in 0..2 {
            client.get(Ask { headers: headers.clone(), ..Ask::voip(&simulator, &clock) }).await;
        }
    };
    let (second, ()) = tokio::join!(second, pushes);
    assert_eq!(second.expect("the second").number, 2);
    let first = simulator.log().wait_for(Duration::ZERO, |received| received.number == 1).await;
    assert_eq!(first.expect("the first").number, 1);
    assert!(simulator.log().wait_for(Duration::from_millis(20), |received| received.number == 3).await.is_none());
}

#[tokio::test]
async fn the_log_is_bounded_and_followed_from_what_it_keeps() {
    let clock = Clock::system();
    let options = Options { log_capacity: 2, ..Options::new(clock.clone()) };
    let simulator = Simulator::start(options).await.expect("it starts");
    let client = Client::to_apns(&simulator).await;
    let headers = Ask::voip(&simulator, &clock).headers;
    for _ in 0..3 {
        client.get(Ask { headers: headers.clone(), ..Ask::voip(&simulator, &clock) }).await;
    }
    let numbers: Vec<u64> = simulator.log().all().iter().map(|received| received.number).collect();
    assert_eq!((numbers, simulator.log().count()), (vec![2, 3], 3));
    let mut follower = simulator.log().follow();
    assert_eq!((follower.next().await.number, follower.next().await.number), (2, 3));
}

#[tokio::test]
async fn the_log_prints_without_its_authorizations() {
    let (simulator, clock) = start(&[]).await;
    let ask = Ask::voip(&simulator, &clock);
    let token = ask.headers["authorization"].to_str().expect("text").trim_start_matches("bearer ").to_owned();
    Client::to_apns(&simulator).await.get(ask).await;
    let received = &simulator.log().all()[0];
    assert_eq!(received.header("authorization"), Some(format!("bearer {token}").as_str()), "tests may look");
    let printed = serde_json::to_value(&**received).expect("JSON");
    assert_eq!((&printed["provider"], &printed["number"]), (&"apns".into(), &1.into()));
    assert_eq!(printed["headers"]["authorization"], "bearer …");
    assert_eq!(printed["headers"]["apns-priority"], "10");
    assert!(!format!("{printed} {received:?} {:?} {:?}", received.headers, simulator.log()).contains(&token));
    assert_eq!(format!("{:?}", simulator.credentials()), "(simulator credentials)");
}
