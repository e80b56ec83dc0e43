//! The faults that rules make, as a client meets them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Ask, Client, DEVICE, access_token, assertion, claims, start};
use crate::simulator::Rule;

fn rule(text: &str) -> Rule {
    text.parse().expect(text)
}

#[tokio::test]
async fn a_status_befalls_as_often_as_said() {
    let (simulator, clock) = start(&["apns 503 times 2"]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock).headers;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let ask = Ask { headers: good.clone(), ..Ask::voip(&simulator, &clock) };
        let reply = client.get(ask).await;
        assert_eq!(reply.headers["apns-id"], good["apns-id"]);
        statuses.push((reply.status, reply.body["reason"].as_str().map(str::to_owned)));
    }
    let unavailable = (503, Some("ServiceUnavailable".to_owned()));
    assert_eq!(statuses, [unavailable.clone(), unavailable, (200, None)]);
}

#[tokio::test]
async fn a_share_befalls_some() {
    let (simulator, clock) = start(&["50% of apns InternalServerError", "fcm 503"]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock).headers;
    let mut refused = 0;
    for _ in 0..200 {
        let ask = Ask { headers: good.clone(), ..Ask::post(format!("/3/device/{DEVICE}"), "{}".to_owned()) };
        refused += u32::from(client.get(ask).await.status == 500);
    }
    assert!((40..160).contains(&refused), "{refused} of 200");
    simulator.clear_rules();
    simulator.add_rule(rule("0% of apns 503"));
    let ask = Ask { headers: good, ..Ask::voip(&simulator, &clock) };
    assert_eq!(client.get(ask).await.status, 200);
}

#[tokio::test]
async fn a_fault_can_be_for_one_device() {
    let since = "2026-01-31T12:00:00Z";
    let (simulator, clock) = start(&[&format!("apns 410 since {since} for {DEVICE}")]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    let other = Ask { headers: good.headers.clone(), ..Ask::post("/3/device/ff".to_owned(), "{}".to_owned()) };
    let reply = client.get(good).await;
    assert_eq!(reply.body, json!({"reason": "Unregistered", "timestamp": 1_769_860_800_000_u64}));
    assert_eq!(client.get(other).await.status, 200);
}

#[tokio::test]
async fn a_fault_never_hides_a_mistake() {
    let (simulator, clock) = start(&["apns 503 times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let mut ask = Ask::voip(&simulator, &clock);
    let good = Ask { headers: ask.headers.clone(), ..Ask::voip(&simulator, &clock) };
    ask.set("apns-priority", "11");
    assert_eq!(client.get(ask).await.body, json!({"reason": "BadPriority"}));
    assert_eq!(client.get(good).await.status, 503, "not used up by the mistake");
}

#[tokio::test]
async fn a_delay_comes_on_top() {
    let (simulator, clock) = start(&["apns delay 100ms", "apns TooManyRequests", "apns 503"]).await;
    let client = Client::to_apns(&simulator).await;
    let start = Instant::now();
    let asked = client.ask(Ask::voip(&simulator, &clock));
    let seen = async {
        let received = simulator.log().wait_for(Duration::from_secs(5), |_| true).await.expect("seen");
        (received.status, start.elapsed())
    };
    let (reply, (status, seen_after)) = tokio::join!(asked, seen);
    assert_eq!((reply.expect("an answer").status, status), (429, 429));
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(seen_after < start.elapsed(), "the log does not wait");
}

#[tokio::test]
async fn a_refused_stream_may_be_sent_again() {
    let (simulator, clock) = start(&["apns refuse times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let again = Ask { headers: ask.headers.clone(), ..Ask::voip(&simulator, &clock) };
    let error = client.ask(ask).await.err().expect("refused");
    assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
    assert_eq!(client.get(again).await.status, 200);
    assert_eq!(simulator.log().all()[0].reason.as_deref(), Some("refuse"));
}

#[tokio::test]
async fn a_reset_cuts_the_connection() {
    let (simulator, clock) = start(&["apns reset times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let error = client.ask(Ask::voip(&simulator, &clock)).await.err().expect("cut off");
    let error = error.into_io().expect("the socket's");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let received = &simulator.log().all()[0];
    assert_eq!((received.status, received.reason.as_deref()), (0, Some("reset")));
    assert_eq!(Client::to_apns(&simulator).await.get(Ask::voip(&simulator, &clock)).await.status, 200);
}

#[tokio::test]
async fn a_goaway_answers_and_ends_the_connection() {
    let (simulator, clock) = start(&["apns goaway times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    assert_eq!(client.get(Ask::voip(&simulator, &clock)).await.status, 200);
    let Client { url, requests, connection } = client;
    drop(requests);
    connection.await.expect("not panicked").expect("ended in order");
    let client = Client::to(&simulator, url).await;
    assert_eq!(client.get(Ask::voip(&simulator, &clock)).await.status, 200);
    assert_eq!(simulator.log().all()[1].connection, 2);
}

#[tokio::test]
async fn a_half_open_connection_is_silent() {
    let (simulator, clock) = start(&["apns half-open times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let asked = client.ask(Ask::voip(&simulator, &clock));
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    assert!(!client.connection.is_finished());
    assert_eq!(simulator.log().all()[0].reason.as_deref(), Some("half-open"));
    let headers = Ask::voip(&simulator, &clock).headers;
    let again = client.ask(Ask { headers, ..Ask::voip(&simulator, &clock) });
    assert!(tokio::time::timeout(Duration::from_millis(200), again).await.is_err());
    assert_eq!(simulator.log().count(), 1, "nothing is read any more");
}

#[tokio::test]
async fn google_has_its_bad_days_too() {
    let rules = ["oauth 500 times 1", "fcm 429 retry-after 1500ms times 1", "fcm 502 times 1", "fcm INVALID_ARGUMENT"];
    let (simulator, clock) = start(&rules).await;
    let client = Client::to_google(&simulator).await;
    let reply = client.get(Ask::oauth(&assertion(&simulator, &claims(&simulator, &clock)))).await;
    assert_eq!((reply.status, &reply.body["error"]), (500, &json!("internal_failure")));
    let token = access_token(&client, &simulator, &clock).await;
    let ask = || Ask::fcm(&simulator, &token, &json!({"token": "t"}));
    let reply = client.get(ask()).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (429, &http::HeaderValue::from_static("2")));
    assert_eq!(reply.body["error"]["details"][0]["errorCode"], "QUOTA_EXCEEDED");
    let reply = client.get(ask()).await;
    assert_eq!((reply.status, reply.body), (502, json!(null)));
    let reply = client.get(ask()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body["error"]["message"].as_str().expect("a text").contains("registration token"));
}

#[tokio::test]
async fn the_longest_pause_that_can_be_written_is_told() {
    let (simulator, clock) = start(&["apns 429 retry-after 18446744073709551615s1ns"]).await;
    let client = Client::to_apns(&simulator).await;
    let reply = client.get(Ask::voip(&simulator, &clock)).await;
    assert_eq!((reply.status, &reply.headers["retry-after"]), (429, &http::HeaderValue::from(u64::MAX)));
}
