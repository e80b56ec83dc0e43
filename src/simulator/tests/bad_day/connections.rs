//! Connections that are refused, ended or held up.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use super::{SOON, again, push, raw, rule};
use crate::domain::Environment;
use crate::simulator::tests::{Ask, Client, handshake, start};

#[tokio::test]
async fn a_port_is_closed_for_a_while_and_then_open_again() {
    let (simulator, clock) = start(&[]).await;
    let before = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    assert_eq!(before.get(again(&ask)).await.status, 200);
    rule(&simulator, "apns-production refuse-connection");
    let url = simulator.apns_url(Environment::Production);
    let address = url.trim_start_matches("https://");
    let refused = async {
        loop {
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                // The order has not reached the port yet.
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("closed");
    assert_eq!(before.get(again(&ask)).await.status, 200, "open connections stay");
    let sandbox = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    assert_eq!(sandbox.get(again(&ask)).await.status, 200, "the other port stays");
    simulator.clear_rules();
    let open = async { while TcpStream::connect(address).await.is_err() {} };
    tokio::time::timeout(SOON, open).await.expect("open");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn a_connection_is_refused_as_often_as_said() {
    let (simulator, clock) = start(&["fcm refuse-connection times 1", "apns refuse-connection times 2"]).await;
    let url = simulator.apns_url(Environment::Production);
    for _ in 0..2 {
        let error = handshake(&simulator, &url, &[b"h2"]).await.expect_err("refused");
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe));
    }
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn a_handshake_may_never_be_answered() {
    let (simulator, clock) = start(&["apns no-handshake times 1"]).await;
    let url = simulator.apns_url(Environment::Production);
    let waiting = tokio::time::timeout(Duration::from_millis(300), handshake(&simulator, &url, &[b"h2"])).await;
    assert!(waiting.is_err(), "neither finished nor refused");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn one_stream_is_allowed_until_the_first_authenticated_answer() {
    let (simulator, clock) =
        start(&["apns streams 1 until-authenticated", "apns delay 2s kind slow", "apns delay 300ms times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    // Answers without a good token raise nothing.
    let mut stranger = again(&ask);
    stranger.headers.remove("authorization");
    assert_eq!(client.get(stranger).await.body["reason"], "MissingProviderToken");
    assert_eq!(client.requests.current_max_send_streams(), 1);
    let started = Instant::now();
    let (first, second) = tokio::join!(client.get(again(&ask)), client.get(again(&ask)));
    assert_eq!((first.status, second.status), (200, 200));
    let records = simulator.log().all();
    assert!(records[2].at.since(records[1].at) >= Duration::from_millis(290), "the second waited for the first answer");
    assert!(started.elapsed() < SOON);
    let raised = async {
        while client.requests.current_max_send_streams() == 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, raised).await.expect("raised");
    assert_eq!(client.requests.current_max_send_streams(), 1000);
    let slow = || Ask { body: json!({"type": "slow"}).to_string().into(), ..again(&ask) };
    let all = futures_util::future::join_all((0..20).map(|_| client.get(slow()))).await;
    assert!(all.iter().all(|reply| reply.status == 200));
    let records = simulator.log().all();
    assert!(records[22].at.since(records[3].at) < Duration::from_secs(15), "not one after the other");
}

#[tokio::test]
async fn who_knows_the_limit_and_exceeds_it_is_refused() {
    let (simulator, clock) = start(&["apns streams 1 until-authenticated", "apns delay 300ms"]).await;
    let mut io = raw::Raw::connect(&simulator).await;
    let headers = raw::headers(&Ask::voip(&simulator, &clock));
    io.greet().await;
    io.answer_ping().await;
    io.ask(1, &headers).await;
    io.ask(3, &headers).await;
    // RST_STREAM of the second, REFUSED_STREAM.
    let reset = io.frame(3).await;
    assert_eq!((reset.stream, reset.payload), (3, vec![0, 0, 0, 7]));
    let answer = io.frame(1).await;
    assert_eq!(answer.stream, 1, "the first is answered");
}

#[tokio::test]
async fn a_connection_may_allow_few_streams() {
    let (simulator, clock) = start(&["apns streams 3", "apns delay 100ms"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let all = futures_util::future::join_all((0..9).map(|_| client.get(again(&ask)))).await;
    assert!(all.iter().all(|reply| reply.status == 200));
    assert_eq!(client.requests.current_max_send_streams(), 3);
}

#[tokio::test]
async fn a_goaway_says_why() {
    let (simulator, clock) = start(&["apns goaway Shutdown times 1"]).await;
    let mut io = raw::Raw::connect(&simulator).await;
    io.greet().await;
    io.ask(1, &raw::headers(&Ask::voip(&simulator, &clock))).await;
    let goaway = io.frame(7).await;
    assert!(goaway.payload.ends_with(br#"{"reason":"Shutdown"}"#), "{:?}", goaway.payload);
    assert_eq!(simulator.log().all()[0].reason.as_deref(), Some("goaway Shutdown"));
}

#[tokio::test]
async fn a_goaway_before_a_request_says_that_it_was_not_looked_at() {
    let (simulator, clock) = start(&["apns goaway-before for ff times 1", "apns delay 5s for ee"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let to = |token: &str| Ask { path: format!("/3/device/{token}"), ..again(&ask) };
    assert_eq!(client.get(again(&ask)).await.status, 200);
    let (earlier, error) = tokio::join!(client.ask(to("ee")), client.ask(to("ff")));
    let error = error.err().expect("not answered");
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    let earlier = earlier.err().expect("not answered either");
    assert!(!earlier.is_go_away(), "it may have been looked at: {earlier:?}");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn streams_are_reset_and_connections_closed() {
    let (simulator, clock) = start(&["apns reset-stream times 1", "apns close times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let error = client.ask(again(&ask)).await.err().expect("reset");
    assert_eq!((error.is_reset(), error.reason()), (true, Some(h2::Reason::INTERNAL_ERROR)));
    let error = client.ask(again(&ask)).await.err().expect("closed");
    assert!(!error.is_reset() && !error.is_go_away(), "{error:?}");
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let reasons: Vec<_> =
        simulator.log().all().iter().map(|received| (received.status, received.reason.clone())).collect();
    assert_eq!(reasons, [(0, Some("reset-stream".to_owned())), (0, Some("close".to_owned())), (200, None)]);
}

#[tokio::test]
async fn a_connection_that_causes_too_many_errors_is_ended() {
    let (simulator, clock) = start(&["apns errors 2"]).await;
    simulator.unregister("ee", clock.now());
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let to = |token: &str| Ask { path: format!("/3/device/{token}"), ..again(&ask) };
    let mut statuses = Vec::new();
    for token in ["zz", "ee", "ee", "ff", "zz"] {
        statuses.push(client.get(to(token)).await.status);
    }
    assert_eq!(statuses, [400, 410, 410, 200, 400], "tokens that are gone do not count");
    let Client { requests, connection, .. } = client;
    drop(requests);
    let ended = tokio::time::timeout(SOON, connection).await.expect("ended").expect("not panicked");
    ended.expect("in order");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}
