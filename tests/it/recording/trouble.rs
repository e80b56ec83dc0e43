//! LiveKit refuses or is down: the recording says so in words, and the call is not harmed.

use std::time::Duration;

use serde_json::json;

use super::livekit::Fault;
use super::{Studio, s3};
use crate::support::{SOON, bearer};

const START: &str = "StartRoomCompositeEgress";

#[tokio::test]
async fn a_refusal_is_told_in_words_and_the_call_goes_on() {
    for (status, code, words) in [
        // As `livekit-server` says without a Redis.
        (500, "internal", "egress not connected (redis required)"),
        (400, "invalid_argument", "request has missing or invalid field: file_outputs"),
        (401, "unauthenticated", "permissions denied"),
    ] {
        let studio = Studio::with("policy = \"party\"").await;
        let mut talk = studio.connected().await;
        studio.livekit.fault(START, Fault::Answer(status, code, words));
        studio.ask(&talk.id, &bearer("alice")).await.expect(202);
        let recording = studio.until(&talk.id, "failed").await;
        let problem = recording["problem"].as_str().expect("words");
        assert!(problem.contains(words), "{problem}");
        assert_eq!(studio.livekit.starts().len(), 1, "it would be refused again");
        assert_eq!(studio.stage.call(&talk.id).await["state"], "active");
        // Asked again, it is tried again, into a file of its own.
        studio.ask(&talk.id, &bearer("bob")).await.expect(202);
        talk.both("call.recording_started").await;
        let key = &studio.livekit.starts()[1].body["file_outputs"][0]["filepath"];
        assert!(key.as_str().expect("a file").ends_with("-2.mp4"), "{key}");
        studio.hang_up(&talk.id).await;
        studio.until(&talk.id, "complete").await;
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    // As `livekit-server` says while no worker has room.
    studio.livekit.fault(START, Fault::Answer(503, "unavailable", "no response from servers"));
    studio.livekit.fault("ListEgress", Fault::Answer(502, "", "Bad Gateway"));
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    assert_eq!(studio.livekit.starts().len(), 2);
    studio.livekit.fault("StopEgress", Fault::Answer(503, "unavailable", "no response from servers"));
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "stopping");
    studio.until(&talk.id, "complete").await;
    talk.both("call.recording_stopped").await;
}

#[tokio::test]
async fn a_call_that_ends_before_its_recording_begins_has_none() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    for _ in 0..3 {
        studio.livekit.fault(START, Fault::Answer(503, "unavailable", "no response from servers"));
    }
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is tried", |livekit| !livekit.starts().is_empty()).await;
    studio.hang_up(&talk.id).await;
    talk.both("call.ended").await;
    // An answer like this does not say for sure that no worker has taken it.
    let aborted = async {
        while studio.see(&talk.id, &bearer("alice")).await.expect(200)["state"] != "aborted" {
            studio.advance(Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, aborted).await.expect("it is aborted");
    let recording = studio.until(&talk.id, "aborted").await;
    assert_eq!(recording["problem"], "it was stopped before it began");
    assert!(studio.livekit.egresses().is_empty());
}

#[tokio::test]
async fn words_of_livekit_never_carry_the_keys() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.connected().await;
    let words = Box::leak(format!("bad upload {} {}", s3::SECRET, s3::ACCESS_KEY).into_boxed_str());
    studio.livekit.fault(START, Fault::Answer(400, "invalid_argument", words));
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    let recording = studio.until(&talk.id, "failed").await;
    let problem = recording["problem"].as_str().expect("words");
    assert!(problem.contains("bad upload (secret) (access key)"), "{problem}");
    assert_eq!(recording["link"], json!(null));
}

#[tokio::test]
async fn keys_that_stand_where_words_are_cut_off_are_left_out_too() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.connected().await;
    let words = Box::leak(format!("{}{}", "x".repeat(190), s3::SECRET).into_boxed_str());
    for _ in 0..2 {
        studio.livekit.fault(START, Fault::Answer(503, "unavailable", words));
    }
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is tried twice", |livekit| livekit.starts().len() == 2).await;
    // Anybody may read this.
    let parts = studio.stage.http.get("/readyz", "").await.expect(200)["parts"].to_string();
    assert!(parts.contains("xxx(secret)") && !parts.contains(&s3::SECRET[..5]), "{parts}");
}

#[tokio::test]
async fn what_a_worker_says_of_its_failure_never_carries_the_keys() {
    for told in [true, false] {
        let studio = Studio::with("policy = \"party\"").await;
        let mut talk = studio.connected().await;
        studio.ask(&talk.id, &bearer("alice")).await.expect(202);
        talk.both("call.recording_started").await;
        let words = format!("{}bad upload {} {}", "x".repeat(270), s3::SECRET, s3::ACCESS_KEY);
        studio.livekit.mute(!told);
        studio.livekit.moves("EG_1", "EGRESS_FAILED", Box::leak(words.into_boxed_str())).await;
        studio.advance(Duration::from_secs(30));
        let recording = studio.until(&talk.id, "failed").await;
        let problem = recording["problem"].as_str().expect("words");
        assert!(problem.contains("bad upload (secret)") && !problem.contains(&s3::SECRET[..5]), "{problem}");
    }
}
