//! LiveKit down, slow or out of its mind at each step: the call goes on, tasks come back, readiness tells.

use std::time::Duration;

use serde_json::json;

use super::Scene;
use crate::support::livekit_fake::Fault;
use crate::support::service_bearer;

#[tokio::test]
async fn a_call_without_livekit_rings_is_answered_and_ends() {
    let scene = Scene::new().await;
    scene.livekit.stop();
    let call = scene.invite().await;
    scene.stage.answer(&scene.iphone, &call.id).await;
    assert_eq!(scene.state(&call).await, "active");
    // Nobody can say whether they are there, so the call stays.
    scene.stage.clock.advance(Duration::from_mins(2));
    scene.stage.clock.advance(Duration::from_mins(2));
    assert_eq!(scene.state(&call).await, "active");
    let wait = async {
        while scene.health().await.0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, wait).await.expect("readiness tells");
    let (_, words) = scene.health().await;
    assert!(words.contains("cannot be reached") && words.contains("calls go on"), "{words}");
    scene.hang_up(&call).await;
    assert_eq!(scene.state(&call).await, "completed");
}

#[tokio::test]
async fn a_slow_livekit_slows_neither_invite_nor_answer() {
    let scene = Scene::new().await;
    scene.livekit.break_method("CreateRoom", Fault::Hang);
    let call = scene.invite().await;
    scene.livekit.until("asked", |livekit| livekit.times("CreateRoom") == 1).await;
    scene.stage.answer(&scene.iphone, &call.id).await;
    assert_eq!((scene.state(&call).await, scene.livekit.rooms()), ("active".to_owned(), Vec::new()));
    scene.livekit.heal();
    scene.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
}

#[tokio::test]
async fn a_room_that_cannot_be_made_is_tried_again() {
    let scene = Scene::new().await;
    scene.livekit.break_method("CreateRoom", Fault::Status(503));
    let call = scene.invite().await;
    scene.livekit.until("tried again", |livekit| livekit.times("CreateRoom") >= 3).await;
    scene.livekit.heal();
    scene.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
    let made = scene.livekit.times("CreateRoom");
    scene.stage.answer(&scene.iphone, &call.id).await;
    assert_eq!(scene.livekit.times("CreateRoom"), made, "and then it is done");
}

#[tokio::test]
async fn a_room_that_is_made_after_the_end_is_closed() {
    let scene = Scene::new().await;
    scene.livekit.break_method("CreateRoom", Fault::Hang);
    let call = scene.invite().await;
    scene.livekit.until("asked", |livekit| livekit.times("CreateRoom") == 1).await;
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.times("DeleteRoom") == 1).await;
    scene.livekit.heal();
    scene.livekit.until("closed again", |livekit| livekit.times("DeleteRoom") == 2 && livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_that_cannot_be_closed_is_tried_again() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.break_method("DeleteRoom", Fault::Status(502));
    scene.hang_up(&call).await;
    assert_eq!(scene.state(&call).await, "completed");
    scene.livekit.until("tried again", |livekit| livekit.times("DeleteRoom") >= 3).await;
    assert_eq!(scene.livekit.rooms(), std::slice::from_ref(&call.room));
    scene.livekit.heal();
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_that_is_closed_already_is_closed() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.forget_rooms();
    scene.hang_up(&call).await;
    let wait = async {
        while scene.has_tasks(&call).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, wait).await.expect("nothing is left to do");
    assert_eq!(scene.livekit.times("DeleteRoom"), 1);
}

#[tokio::test]
async fn a_ban_holds_although_livekit_fails_at_each_step() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.break_method("RemoveParticipant", Fault::Status(503));
    scene.livekit.break_method("DeleteRoom", Fault::Status(503));
    scene.stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "test"})).await.expect(200);
    assert_eq!(scene.state(&call).await, "banned");
    scene.livekit.until("tried again", |livekit| livekit.times("RemoveParticipant") >= 2).await;
    scene.livekit.break_method("RemoveParticipant", Fault::Status(400));
    scene.livekit.until("closing tried", |livekit| livekit.times("DeleteRoom") >= 2).await;
    scene.livekit.heal();
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
}

#[tokio::test]
async fn a_room_is_closed_although_the_banned_cannot_be_taken_out_of_it() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.break_method("RemoveParticipant", Fault::Status(503));
    scene.stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "test"})).await.expect(200);
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.state(&call).await, "banned");
    scene.livekit.until("removed again", |livekit| livekit.times("RemoveParticipant") >= 2).await;
}

#[tokio::test]
async fn a_call_that_livekit_cannot_be_asked_about_stays_and_ends_once_it_can() {
    let scene = Scene::new().await;
    let (call, [_, bob]) = scene.connected().await;
    scene.livekit.break_method("ListParticipants", Fault::Status(500));
    scene.stage.goes(&scene.livekit, &call.room, "bob", &bob, "SIGNAL_CLOSE").await;
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
    for asked in 1..=3 {
        scene.stage.clock.advance(Duration::from_secs(31));
        scene.livekit.until("asked", |livekit| livekit.times("ListParticipants") >= asked).await;
    }
    assert_eq!(scene.state(&call).await, "active");
    let (ok, words) = scene.health().await;
    assert!(!ok && words.contains("500"), "{words}");
    scene.livekit.heal();
    scene.stage.clock.advance(Duration::from_secs(6));
    assert_eq!(scene.stage.ended("alice", &call.id).await, "connection_lost");
}

#[tokio::test]
async fn what_was_asked_of_livekit_is_measured() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.forget_rooms();
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.times("DeleteRoom") == 1).await;
    let ops = crate::support::Http::new(format!("http://{}", scene.stage.gateway.ops));
    let counted = [
        "bellwire_livekit_webhooks_total{outcome=\"applied\"}",
        "bellwire_livekit_seconds_count{method=\"CreateRoom\",outcome=\"ok\"}",
        "bellwire_livekit_seconds_count{method=\"DeleteRoom\",outcome=\"not_found\"}",
    ];
    let wait = async {
        loop {
            let text = ops.get("/metrics", "").await.text;
            let has = |sample: &&str| text.contains(&format!("{sample} "));
            if counted.iter().all(has) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::SOON, wait).await.expect("measured");
}
