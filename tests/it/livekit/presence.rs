//! Who is there: webhooks begin things, LiveKit's list ends them.

use std::time::Duration;

use serde_json::json;

use super::Scene;
use crate::support::livekit_fake::participant_event;

#[tokio::test]
async fn both_in_are_connected_and_one_who_drops_has_the_grace() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    scene.stage.goes(&scene.livekit, &call.room, "bob", &bob, "SIGNAL_CLOSE").await;
    let event = scene.stage.event("alice", "call.reconnecting", &call.id).await;
    assert_eq!(event["data"]["user_id"], "bob");
    scene.stage.comes(&scene.livekit, &call.room, "bob").await;
    scene.stage.event("alice", "call.reconnected", &call.id).await;
    assert_eq!(scene.state(&call).await, "active");
    assert_eq!(scene.livekit.times("ListParticipants"), 0, "nothing had to be asked");
}

#[tokio::test]
async fn who_is_not_back_in_time_is_lost_once_livekit_confirms_it() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    scene.stage.goes(&scene.livekit, &call.room, "bob", &bob, "SIGNAL_CLOSE").await;
    scene.stage.clock.advance(Duration::from_secs(31));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "connection_lost");
    assert!(scene.livekit.times("ListParticipants") >= 1);
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_webhook_that_was_wrong_ends_nothing() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    // It says that he left; he is there.
    let event = participant_event("EV_x", "participant_left", &call.room, "bob", &bob, "SIGNAL_CLOSE");
    scene.stage.livekit_tells(&event).await;
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
    scene.stage.clock.advance(Duration::from_secs(31));
    scene.stage.event("alice", "call.reconnected", &call.id).await;
    assert_eq!(scene.state(&call).await, "active");
}

#[tokio::test]
async fn without_any_webhook_the_list_connects() {
    let scene = Scene::new().await;
    let call = scene.answered().await;
    scene.livekit.join(&call.room, "alice");
    scene.livekit.join(&call.room, "bob");
    scene.stage.clock.advance(Duration::from_secs(21));
    scene.stage.event("alice", "call.connected", &call.id).await;
    assert_eq!(scene.state(&call).await, "active");
}

#[tokio::test]
async fn recorders_agents_and_strangers_are_not_the_other_party() {
    let scene = Scene::new().await;
    let call = scene.answered().await;
    scene.livekit.join(&call.room, "alice");
    scene.livekit.join_as(&call.room, "bob", "AGENT");
    scene.livekit.join_as(&call.room, "recorder", "EGRESS");
    scene.stage.clock.advance(Duration::from_secs(21));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "not_connected");
}

#[tokio::test]
async fn who_has_joined_without_media_is_not_connected() {
    let scene = Scene::new().await;
    let call = scene.answered().await;
    scene.livekit.join(&call.room, "alice");
    scene.livekit.join_without_media(&call.room, "bob");
    scene.stage.clock.advance(Duration::from_secs(21));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "not_connected");
}

#[tokio::test]
async fn an_answer_without_a_connection_ends_when_livekit_confirms_it() {
    let scene = Scene::new().await;
    let call = scene.answered().await;
    scene.stage.comes(&scene.livekit, &call.room, "alice").await;
    scene.stage.clock.advance(Duration::from_secs(21));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "not_connected");
}

#[tokio::test]
async fn the_same_identity_that_joins_twice_replaces_itself() {
    let scene = Scene::new().await;
    let (call, [_, first]) = scene.connected().await;
    let second = scene.stage.comes(&scene.livekit, &call.room, "bob").await;
    let left = participant_event("EV_dup", "participant_left", &call.room, "bob", &first, "DUPLICATE_IDENTITY");
    scene.stage.livekit_tells(&left).await;
    scene.stage.goes(&scene.livekit, &call.room, "bob", &second, "SIGNAL_CLOSE").await;
    let event = scene.stage.event("alice", "call.reconnecting", &call.id).await;
    assert_eq!(event["seq"], 4, "the first word of it is of the second session: {event}");
}

#[tokio::test]
async fn a_livekit_that_has_restarted_keeps_the_call_for_those_who_come_back() {
    let scene = Scene::new().await;
    let (call, [alice, bob]) = scene.connected().await;
    for (user, session) in [("alice", &alice), ("bob", &bob)] {
        scene.stage.goes(&scene.livekit, &call.room, user, session, "SERVER_SHUTDOWN").await;
    }
    scene.livekit.forget_rooms();
    scene.stage.livekit_tells(&json!({"event": "room_finished", "id": "EV_rf", "room": {"name": call.room}})).await;
    scene.livekit.until("made again", |livekit| livekit.room(&call.room).is_some()).await;
    for user in ["alice", "bob"] {
        scene.stage.comes(&scene.livekit, &call.room, user).await;
    }
    scene.stage.clock.advance(Duration::from_secs(31));
    assert_eq!(scene.state(&call).await, "active");
    scene.hang_up(&call).await;
}

#[tokio::test]
async fn both_leaving_by_themselves_completes_the_call_after_the_grace() {
    let scene = Scene::new().await;
    let (call, [alice, bob]) = scene.connected().await;
    for (user, session) in [("alice", &alice), ("bob", &bob)] {
        scene.stage.goes(&scene.livekit, &call.room, user, session, "CLIENT_INITIATED").await;
    }
    assert_eq!(scene.state(&call).await, "active", "a webhook never ends a call");
    scene.stage.clock.advance(Duration::from_secs(31));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "completed");
}
