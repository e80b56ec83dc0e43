//! What LiveKit tells is lost, or the answer to what it was asked: the truth comes out all the same, and there is one recording.

use std::time::Duration;

use serde_json::Value;

use super::livekit::Fault;
use super::{Studio, fetch};
use crate::support::{SOON, bearer};

#[tokio::test]
async fn lost_webhooks_are_made_up_for_by_asking() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.livekit.mute(true);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    studio.hang_up(&talk.id).await;
    talk.both("call.recording_stopped").await;
    let recording = studio.until(&talk.id, "complete").await;
    assert_eq!(fetch(&recording).await.0, 200);
}

#[tokio::test]
async fn one_that_ends_by_itself_is_noticed_within_half_a_minute() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    studio.livekit.mute(true);
    studio.livekit.moves("EG_1", "EGRESS_FAILED", "the disk is full").await;
    studio.advance(Duration::from_secs(30));
    talk.both("call.recording_stopped").await;
    let recording = studio.until(&talk.id, "failed").await;
    assert_eq!(recording["problem"], "the disk is full");
    assert_eq!(studio.stage.call(&talk.id).await["state"], "active", "the call goes on");
}

#[tokio::test]
async fn a_lost_answer_to_the_start_does_not_lead_to_two_recordings() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.livekit.mute(true);
    studio.livekit.fault("StartRoomCompositeEgress", Fault::LoseAnswer);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    assert_eq!((studio.livekit.starts().len(), studio.livekit.egresses().len()), (1, 1));
    studio.hang_up(&talk.id).await;
    studio.until(&talk.id, "complete").await;
    assert_eq!(studio.livekit.starts().len(), 1);
}

#[tokio::test]
async fn stopped_while_the_answer_to_the_start_is_lost_it_is_found_and_stopped() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.livekit.mute(true);
    studio.livekit.fault("StartRoomCompositeEgress", Fault::LoseAnswer);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is started", |livekit| !livekit.egresses().is_empty()).await;
    assert_eq!(studio.end(&talk.id, &bearer("alice")).await.expect(200)["state"], "stopping");
    studio.until(&talk.id, "complete").await;
    talk.both("call.recording_stopped").await;
    assert_eq!(studio.livekit.requests("StopEgress").len(), 1);
}

#[tokio::test]
async fn stopped_while_livekit_does_not_list_yet_what_it_started_it_is_found_and_stopped() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.livekit.mute(true);
    studio.livekit.fault("StartRoomCompositeEgress", Fault::LoseAnswer);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is started", |livekit| !livekit.egresses().is_empty()).await;
    studio.end(&talk.id, &bearer("alice")).await.expect(200);
    studio.livekit.denies(true);
    // The first list is from before the start.
    studio.livekit.until("it is asked", |livekit| livekit.requests("ListEgress").len() >= 3).await;
    assert_eq!(studio.see(&talk.id, &bearer("alice")).await.expect(200)["state"], "stopping");
    studio.livekit.denies(false);
    studio.until(&talk.id, "complete").await;
    talk.both("call.recording_stopped").await;
    assert_eq!((studio.livekit.requests("StopEgress").len(), studio.livekit.starts().len()), (1, 1));
}

#[tokio::test]
async fn what_a_lost_start_leads_to_after_all_is_stopped_and_its_file_counts() {
    let studio = Studio::with("policy = \"party\"").await;
    let talk = studio.connected().await;
    studio.livekit.hold_still();
    studio.livekit.mute(true);
    studio.livekit.fault("StartRoomCompositeEgress", Fault::LoseAnswer);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is started", |livekit| !livekit.egresses().is_empty()).await;
    studio.livekit.denies(true);
    studio.end(&talk.id, &bearer("alice")).await.expect(200);
    goes_to(&studio, &talk.id, "aborted").await;
    studio.livekit.mute(false);
    studio.livekit.moves("EG_1", "EGRESS_ACTIVE", "").await;
    studio.livekit.until("it is stopped", |livekit| livekit.requests("StopEgress").len() == 1).await;
    studio.livekit.moves("EG_1", "EGRESS_COMPLETE", "").await;
    assert_eq!(fetch(&studio.until(&talk.id, "complete").await).await.0, 200);
}

#[tokio::test]
async fn webhooks_that_come_twice_late_or_for_another_recording_change_nothing() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.livekit.hold_still();
    studio.livekit.is_recorded_by_another(&talk.room);
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    studio.livekit.until("it is started", |livekit| livekit.egresses().len() == 2).await;
    studio.livekit.moves("EG_1", "EGRESS_ACTIVE", "").await;
    studio.livekit.moves("EG_2", "EGRESS_ACTIVE", "").await;
    studio.livekit.moves("EG_2", "EGRESS_ACTIVE", "").await;
    talk.both("call.recording_started").await;
    studio.livekit.moves("EG_1", "EGRESS_FAILED", "another's").await;
    studio.livekit.moves("EG_2", "EGRESS_STARTING", "").await;
    assert_eq!(studio.see(&talk.id, &bearer("bob")).await.expect(200)["state"], "active");
    studio.livekit.moves("EG_2", "EGRESS_ENDING", "").await;
    talk.both("call.recording_stopped").await;
    studio.livekit.moves("EG_2", "EGRESS_COMPLETE", "").await;
    studio.livekit.moves("EG_2", "EGRESS_FAILED", "late").await;
    studio.until(&talk.id, "complete").await;
    studio.hang_up(&talk.id).await;
    // Told once each: after the last one comes the end.
    let next = talk.alice.next().await;
    assert_eq!(next["type"], "call.ended", "{next}");
}

#[tokio::test]
async fn one_that_livekit_has_lost_fails_in_words() {
    let studio = Studio::with("policy = \"party\"").await;
    let mut talk = studio.connected().await;
    studio.ask(&talk.id, &bearer("alice")).await.expect(202);
    talk.both("call.recording_started").await;
    studio.livekit.forgets_egresses();
    goes_to(&studio, &talk.id, "failed").await;
    let recording = studio.see(&talk.id, &bearer("bob")).await.expect(200);
    assert_eq!(recording["problem"], "LiveKit knows nothing of it any more");
    talk.both("call.recording_stopped").await;
    // Should it run after all, it does so no longer.
    studio.livekit.until("it is told to stop", |livekit| livekit.requests("StopEgress").len() == 1).await;
}

/// The clock goes on until the recording is in a state.
async fn goes_to(studio: &Studio, id: &Value, state: &str) {
    let going = async {
        while studio.see(id, &bearer("bob")).await.expect(200)["state"] != state {
            studio.advance(Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * SOON, going).await.unwrap_or_else(|_| panic!("not {state}"));
}
