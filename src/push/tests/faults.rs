//! Connections that end, hang or never come.

use std::collections::HashSet;

use super::{Stage, all_accepted, android, iphone};
use crate::push::{Message, Verdict};
use crate::simulator::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_to_goaway() {
    let stage = Stage::start().await;
    stage.rule("10% of apns goaway");
    stage.rule("10% of fcm goaway");
    for round in 0..5 {
        let devices = (0..20).flat_map(|number| [iphone(number + round), android(number + round)]);
        all_accepted(&stage.ring_all(devices).await);
    }
}

#[tokio::test]
async fn a_stream_cut_without_an_answer_is_sent_again_with_the_same_id() {
    let stage = Stage::start().await;
    for fault in ["reset", "refuse"] {
        let before = stage.received(Provider::Apns).len();
        stage.rule(&format!("apns {fault} times 1"));
        let push = stage.message(&iphone(1), Message::Ring(stage.ring()));
        all_accepted(&[stage.pushers.send(&push).await]);
        let ids: Vec<_> = stage.received(Provider::Apns)[before..]
            .iter()
            .map(|received| received.header("apns-id").map(str::to_owned))
            .collect();
        assert_eq!(ids, [Some(push.id.to_string()), Some(push.id.to_string())], "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_connection_takes_nobody_down() {
    let stage = Stage::start().await;
    stage.rule("apns reset times 1");
    all_accepted(&stage.ring_all((0..50).map(iphone)).await);
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for_beyond_the_deadline() {
    let stage = Stage::start().await;
    stage.rule("apns delay 30s");
    let (report, _) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
    assert_eq!((report.verdict, report.reason.as_str()), (Verdict::Retry { after: None }, "deadline"));
    assert!((1900..3000).contains(&report.latency.as_millis()), "{report:?}");
}

#[tokio::test]
async fn a_connection_that_hangs_is_avoided() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all((0..20).map(iphone)).await);
    stage.rule("apns half-open times 1");
    let push = stage.message(&iphone(1), Message::Ring(stage.ring()));
    // Its silence is noticed early enough for the same attempt.
    all_accepted(&[stage.pushers.send(&push).await]);
    let received = stage.received(Provider::Apns);
    let (hung, other) = (&received[20], &received[21]);
    assert_ne!(hung.connection, other.connection);
    assert_eq!(hung.header("apns-id"), other.header("apns-id"));
}

#[tokio::test]
async fn a_fault_at_apple_is_retried_over_a_fresh_connection() {
    let stage = Stage::start().await;
    all_accepted(&stage.ring_all([iphone(1)]).await);
    let old: HashSet<_> = stage.received(Provider::Apns).iter().map(|received| received.connection).collect();
    stage.rule("apns 503");
    loop {
        let (report, received) = stage.push(&iphone(1), Message::Ring(stage.ring())).await;
        assert_eq!(report.verdict, Verdict::Retry { after: None });
        if !old.contains(&received.connection) {
            break;
        }
    }
}
