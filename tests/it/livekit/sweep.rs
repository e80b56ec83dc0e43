//! The sweep: webhooks that were lost are made good, and rooms that nobody needs go; no others.

use std::time::Duration;

use super::Scene;
use crate::support::SOON;
use crate::support::livekit_fake::Fault;

/// Longer than the longest pause between two sweeps.
const PAUSE: Duration = Duration::from_secs(28);

const UNKNOWN: &str = "019a3c5e-7c3a-7c3a-8c3a-0192f3d17c3a";
const SECRET: &str = "00112233445566778899aabbccddeeff";

/// The next sweep has begun.
async fn swept(scene: &Scene) {
    let times = scene.livekit.times("ListRooms");
    let wait = async {
        // One that is under way waits only after it, so time must pass again.
        while scene.livekit.times("ListRooms") == times {
            scene.stage.clock.advance(PAUSE);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("swept");
}

/// A sweep has seen everything as it is now: the one before the next.
async fn seen(scene: &Scene) {
    swept(scene).await;
    swept(scene).await;
}

#[tokio::test]
async fn a_leaving_that_no_webhook_told_of_is_found() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    seen(&scene).await;
    let asked = scene.livekit.times("ListParticipants");
    seen(&scene).await;
    assert_eq!(scene.livekit.times("ListParticipants"), asked, "nothing is asked about a call that fits");
    scene.livekit.leave(&call.room, "bob");
    swept(&scene).await;
    let event = scene.stage.event("alice", "call.reconnecting", &call.id).await;
    assert_eq!(event["data"]["user_id"], "bob");
    scene.livekit.join(&call.room, "bob");
    swept(&scene).await;
    scene.stage.event("alice", "call.reconnected", &call.id).await;
    assert_eq!(scene.state(&call).await, "active");
}

#[tokio::test]
async fn a_leaving_that_was_lost_after_a_coming_that_was_told_is_found() {
    let scene = Scene::with("[call]\nconnect_timeout = \"10m\"\n").await;
    let call = scene.answered().await;
    scene.stage.comes(&scene.livekit, &call.room, "alice").await;
    seen(&scene).await;
    // One is in the room before and after.
    scene.stage.comes(&scene.livekit, &call.room, "bob").await;
    scene.stage.event("alice", "call.connected", &call.id).await;
    scene.livekit.leave(&call.room, "bob");
    swept(&scene).await;
    let event = scene.stage.event("alice", "call.reconnecting", &call.id).await;
    assert_eq!(event["data"]["user_id"], "bob");
}

#[tokio::test]
async fn a_room_that_did_not_fit_and_vanished_is_noticed_too() {
    let scene = Scene::with("[call]\nring = \"120s\"\n").await;
    let call = scene.invite().await;
    scene.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
    // Of her no webhook tells, and nobody is asked about while the phones ring.
    scene.livekit.join(&call.room, "alice");
    swept(&scene).await;
    scene.livekit.forget_rooms();
    swept(&scene).await;
    scene.livekit.until("made again", |livekit| livekit.room(&call.room).is_some()).await;
}

#[tokio::test]
async fn a_room_that_vanished_leads_to_a_question_and_a_new_room() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    seen(&scene).await;
    scene.livekit.forget_rooms();
    swept(&scene).await;
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
    scene.livekit.until("made again", |livekit| livekit.room(&call.room).is_some()).await;
    assert_eq!(scene.state(&call).await, "active");
    scene.stage.clock.advance(Duration::from_secs(31));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "connection_lost");
}

#[tokio::test]
async fn a_room_of_a_call_that_has_ended_is_closed_with_whoever_is_in_it() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    // Made again by one who came back, of which no webhook told.
    scene.livekit.join(&call.room, "alice");
    seen(&scene).await;
    scene.livekit.until("closed again", |livekit| livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_that_was_made_anew_with_as_many_in_it_is_another_one() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    seen(&scene).await;
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    // Both come back by their old tokens, of which no webhook tells.
    scene.livekit.join(&call.room, "alice");
    scene.livekit.join(&call.room, "bob");
    seen(&scene).await;
    scene.livekit.until("closed again", |livekit| livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_that_nobody_leaves_is_closed_though_closing_it_was_given_up() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    seen(&scene).await;
    scene.livekit.break_method("DeleteRoom", Fault::Status(503));
    scene.hang_up(&call).await;
    let given_up = async {
        while scene.has_tasks(&call).await {
            scene.stage.clock.advance(Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, given_up).await.expect("given up");
    scene.livekit.heal();
    let closed = async {
        while !scene.livekit.rooms().is_empty() {
            swept(&scene).await;
        }
    };
    tokio::time::timeout(SOON, closed).await.expect("closed");
}

#[tokio::test]
async fn only_old_empty_rooms_of_ours_that_no_call_is_known_for_are_closed() {
    let scene = Scene::new().await;
    let (hour, now) = (Duration::from_hours(1), Duration::ZERO);
    let orphan = format!("bw_main_{UNKNOWN}_{SECRET}");
    let (used, young) = (orphan.replace("aabb", "bbaa"), orphan.replace("aabb", "baba"));
    let (call, _) = scene.connected().await;
    // A name with the id of a live call and another random part is nobody's, and not to be touched.
    let forged = format!("bw_main_{}_{SECRET}", call.id.as_str().expect("an id"));
    let others = [
        "lobby".to_owned(),
        format!("bw_other_{UNKNOWN}_{SECRET}"),
        format!("bw_main_{UNKNOWN}"),
        format!("bw_main_{UNKNOWN}_{SECRET}_2"),
        format!("bw_main_{UNKNOWN}_{}", SECRET.to_uppercase()),
    ];
    for room in others.iter().chain([&orphan, &used, &forged]) {
        scene.livekit.put_room(room, hour);
    }
    scene.livekit.put_room(&young, now);
    scene.livekit.join(&used, "somebody");
    seen(&scene).await;
    scene.livekit.until("closed", |livekit| livekit.room(&orphan).is_none()).await;
    seen(&scene).await;
    let mut stay: Vec<_> = others.into_iter().chain([used, young, forged, call.room.clone()]).collect();
    stay.sort();
    assert_eq!(scene.livekit.rooms(), stay);
    assert_eq!(scene.livekit.times("DeleteRoom"), 1);
}
