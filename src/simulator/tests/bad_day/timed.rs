//! Rules that hold for a time, for some, or until their file changes.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{again, push};
use crate::simulator::Rule;
use crate::simulator::tests::{Ask, Client, access_token, start};

#[tokio::test]
async fn delays_are_spread() {
    let (simulator, clock) = start(&["apns delay 1ms..400ms"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    assert_eq!(client.get(again(&ask)).await.status, 200);
    let waits = (0..50).map(|_| async {
        let started = Instant::now();
        assert_eq!(client.get(again(&ask)).await.status, 200);
        started.elapsed()
    });
    let waits = futures_util::future::join_all(waits).await;
    let (least, most) = (waits.iter().min().expect("one"), waits.iter().max().expect("one"));
    assert!(most.saturating_sub(*least) > Duration::from_millis(100), "{least:?} to {most:?}");
}

#[tokio::test]
async fn a_rule_has_its_time() {
    let (simulator, clock) = start(&["apns 503 from 10s until 20s"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get(again(&ask)).await.status);
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(statuses, [200, 503, 200]);
}

#[tokio::test]
async fn a_rule_is_for_an_app_a_kind_or_a_call() {
    let rules = ["apns 500 app com.example.tablet", "apns 503 kind cancel", "apns 429 call c2", "apns 502 kind alert"];
    let (simulator, clock) = start(&[rules[0], rules[1], rules[2], rules[3], "fcm 503 app com.example call f1"]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    let mut alert = again(&good);
    alert.set("apns-push-type", "alert");
    alert.set("apns-topic", "com.example.phone");
    let mut tablet = again(&good);
    tablet.set("apns-topic", "com.example.tablet.voip");
    let body = |body: serde_json::Value| Ask { body: body.to_string().into(), ..again(&good) };
    for (ask, status) in [
        (again(&good), 200),
        (tablet, 500),
        (body(json!({"type": "cancel", "call_id": "c1"})), 503),
        (body(json!({"type": "ring", "call_id": "c2"})), 429),
        (body(json!({"uuid": "c2"})), 429),
        (alert, 502),
    ] {
        assert_eq!(client.get(ask).await.status, status);
    }
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    for (package, call, status) in [("com.example", "f1", 503), ("com.example", "f2", 200), ("com.other", "f1", 200)] {
        let android = json!({"restricted_package_name": package});
        let message = json!({"token": "t", "data": {"call_id": call}, "android": android});
        assert_eq!(client.get(Ask::fcm(&simulator, &token, &message)).await.status, status, "{package} {call}");
    }
}

#[tokio::test]
async fn rules_of_a_file_give_way_to_those_of_its_next_version() {
    let (simulator, clock) = start(&["fcm 503"]).await;
    let rules = |text: &str| Rule::parse_file(text).expect(text);
    simulator.replace_file_rules(rules("[[rule]]\nline = \"apns 503\"\n"));
    assert_eq!(push(&simulator, &clock).await.status, 503);
    simulator.replace_file_rules(rules("[[rule]]\nline = \"apns 429\"\n"));
    assert_eq!(push(&simulator, &clock).await.status, 429);
    simulator.replace_file_rules(Vec::new());
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let google = Client::to_google(&simulator).await;
    let token = access_token(&google, &simulator, &clock).await;
    assert_eq!(google.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 503, "not of the file");
}
