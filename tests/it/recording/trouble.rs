//! LiveKit refuses or is down: the recording says so in words, and the call is not harmed.

use serde_json::json;

use super::livekit::Fault;
use super::{Studio, s3};
use crate::support::bearer;

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
