//! Connections that end, hang or never come, and pushes that fail by a fault of ours.

use std::collections::HashSet;

use super::{Stage, all_accepted, android, iphone, token};
use crate::push::{Message, Ring, Verdict};
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

/// Too few to open a breaker, and said all the same.
#[tokio::test]
async fn a_fault_of_ours_is_said_until_a_push_is_accepted() {
    let stage = Stage::start().await;
    assert!(stage.apns_state().fault.is_none());
    for (rule, why, is_of_credential) in [
        ("apns InvalidProviderToken times 1", "403 InvalidProviderToken", true),
        ("apns TopicDisallowed times 1", "400 TopicDisallowed", false),
    ] {
        stage.rule(rule);
        let before = stage.clock.now();
        assert_eq!(stage.ring_all([iphone(1)]).await[0].verdict, Verdict::OurFault);
        let state = stage.apns_state();
        let fault = state.fault.clone().expect("a fault");
        assert_eq!((fault.why.as_str(), fault.is_of_credential), (why, is_of_credential));
        assert!((before..=stage.clock.now()).contains(&fault.at));
        let problem = state.problem().expect("words");
        assert!(problem.contains(why) && problem.contains(&fault.at.to_string()), "{problem}");
        assert!(!problem.contains(&token(1)), "{problem}");
        assert_eq!(state.is_good(), !is_of_credential, "one push is not all");
        stage.rule("apns Unregistered times 1");
        stage.ring_all([iphone(2)]).await;
        // A dead token is no success, and shows that the credential is taken.
        assert_eq!(stage.apns_state().fault.is_some(), !is_of_credential);
        all_accepted(&stage.ring_all([iphone(1)]).await);
        assert_eq!(stage.apns_state().problem(), None);
    }
}

#[tokio::test]
async fn a_push_that_is_too_large_is_a_fault_of_ours_too() {
    let stage = Stage::start().await;
    let long = || Ring { ticket: "t".repeat(6000), ..stage.ring() };
    for device in [iphone(1), android(1)] {
        let report = stage.pushers.send(&stage.message(&device, Message::Ring(long()))).await;
        assert_eq!((report.verdict, report.reason.as_str()), (Verdict::OurFault, "payload-too-large"));
    }
    let faults: Vec<_> = stage.pushers.states().into_iter().filter_map(|state| state.fault).collect();
    assert_eq!(faults.iter().map(|fault| fault.why.as_str()).collect::<Vec<_>>(), ["payload-too-large"; 2]);
    all_accepted(&stage.ring_all([iphone(1), android(1)]).await);
    assert!(stage.pushers.states().iter().all(|state| state.fault.is_none()));
}

#[tokio::test]
async fn what_apple_was_not_asked_about_does_not_hide_that_it_refuses_the_credential() {
    let stage = Stage::start().await;
    stage.rule("apns InvalidProviderToken times 1");
    stage.ring_all([iphone(1)]).await;
    let long = Ring { ticket: "t".repeat(6000), ..stage.ring() };
    let report = stage.pushers.send(&stage.message(&iphone(1), Message::Ring(long))).await;
    assert_eq!(report.reason, "payload-too-large");
    let state = stage.apns_state();
    assert!(!state.is_good() && state.fault.is_some_and(|fault| fault.is_of_credential));
}
