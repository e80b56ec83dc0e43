//! The loop from invite to answer, by phone and app, and how calls and phones ended.

use serde_json::json;

use super::{IPHONE, PIXEL, scrape, until_at_least};
use crate::support::livekit_fake::FakeLiveKit;
use crate::support::people::path;
use crate::support::{Stage, bearer};

#[tokio::test]
async fn a_ring_is_measured_from_invite_to_answer() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    // Both providers' answers are in the record before anybody speaks.
    for kind in [IPHONE, PIXEL] {
        until_at_least(&stage, &format!("bellwire_ring_sent_seconds_count{{{kind}}}"), 1.0).await;
    }
    let ticket = stage.ring(&phone, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.post(&path(&call, "hangup"), &bearer("alice"), json!({})).await.expect(200);

    let ended = r#"bellwire_calls_total{media="audio",reason="completed"}"#;
    let all = until_at_least(&stage, ended, 1.0).await;
    let once = |series: &str| assert_eq!(all.count(series), 1, "{:?}", all.like(series));
    once(&format!("bellwire_ring_sent_seconds_count{{{IPHONE}}}"));
    once(&format!("bellwire_ring_sent_seconds_count{{{PIXEL}}}"));
    for step in ["alerting_", "answer_", ""] {
        once(&format!("bellwire_ring_{step}seconds_count{{{IPHONE}}}"));
        assert_eq!(all.value(&format!("bellwire_ring_{step}seconds_count{{{PIXEL}}}")), None);
    }
    once(&format!(r#"bellwire_legs_total{{{IPHONE},state="answered",acked="yes"}}"#));
    once(&format!(r#"bellwire_legs_total{{{PIXEL},state="stopped",acked="too_soon"}}"#));
    once(r#"bellwire_push_seconds_count{provider="apns",app="com.example.phone",push="ring"}"#);
    for state in ["calling", "ringing", "active", "ended"] {
        once(&format!(r#"bellwire_call_states_total{{state="{state}"}}"#));
    }
    let rang = all.expect(&format!("bellwire_ring_seconds_sum{{{IPHONE}}}"));
    assert!(rang < 10.0, "{rang} s until it rang");
}

/// LiveKit's webhooks tell who is in the room.
#[tokio::test]
async fn the_media_is_measured_from_the_answer_on() {
    let clock = bellwire::clock::Clock::system();
    let livekit = FakeLiveKit::start(&clock).await;
    let stage = Stage::on_clock(clock, &livekit.section()).await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.pixel("bob", "pixel-1").await;
    let answer = stage.invite("alice", "bob").await;
    let (call, room) = (&answer["call"]["id"], answer["livekit"]["room"].as_str().expect("a room"));
    stage.answer(&phone, call).await;
    livekit.until("made", |livekit| livekit.room(room).is_some()).await;
    stage.comes(&livekit, room, "alice").await;
    let media = format!("bellwire_ring_media_seconds_count{{{IPHONE}}}");
    assert_eq!(scrape(&stage).await.value(&media), None, "one of the two is not there");
    stage.clock.advance(std::time::Duration::from_secs(7));
    stage.comes(&livekit, room, "bob").await;
    let all = until_at_least(&stage, &media, 1.0).await;
    let took = all.expect(&format!("bellwire_ring_media_seconds_sum{{{IPHONE}}}"));
    assert!((7.0..17.0).contains(&took), "{took} s");
    assert_eq!(all.value(&format!("bellwire_ring_media_seconds_count{{{PIXEL}}}")), None, "it did not answer");
    assert_eq!(all.count(r#"bellwire_part_up{part="livekit"}"#), 1);
}

#[tokio::test]
async fn what_a_provider_refuses_is_counted_by_its_word() {
    let stage = Stage::new().await;
    let phone = stage.iphone("bob", "iphone-1").await;
    stage.simulator.unregister(&phone.ring_token, stage.clock.now());
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.event("alice", "call.ended", &call).await;
    let ended = r#"bellwire_calls_total{media="audio",reason="unreachable"}"#;
    let all = until_at_least(&stage, ended, 1.0).await;
    let refused = concat!(
        r#"bellwire_pushes_total{provider="apns",app="com.example.phone",push="ring","#,
        r#"verdict="drop_token",status="410",reason="Unregistered"}"#,
    );
    for series in [refused, &format!(r#"bellwire_legs_total{{{IPHONE},state="failed",acked="no"}}"#)] {
        assert_eq!(all.count(series), 1, "{:?}", all.like(series));
    }
}
