//! A call's room: made with the invite, closed at the end, made again for who comes back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::room::room_name;
use bellwire::domain::{EndReason, Input, Rules, TaskKind};
use bellwire::engine::{Asker, Ban, Engine, EngineError, Settings};
use bellwire::store::Store;
use bellwire::store::embedded::Embedded;
use serde_json::json;

use super::Scene;
use crate::store_laws::fixture::{create, new_call, rules, settings, user};
use crate::support::people::path;
use crate::support::{SOON, bearer, service_bearer};

#[tokio::test]
async fn the_room_is_made_for_two_and_outlasts_ring_and_grace() {
    let scene = Scene::with("[call]\nring = \"30s\"\nconnect_timeout = \"15s\"\nreconnect_grace = \"20s\"\n").await;
    let call = scene.invite().await;
    scene.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
    let made_with = scene.livekit.room(&call.room).expect("a room").made_with;
    assert_eq!((&made_with["max_participants"], &made_with["departure_timeout"]), (&json!(2), &json!(30)));
    // A second or so of the ring may be over by then.
    let empty = made_with["empty_timeout"].as_u64().expect("seconds");
    assert!((100..=105).contains(&empty), "{empty}");
}

#[tokio::test]
async fn the_token_has_the_same_limits() {
    let scene = Scene::new().await;
    let answer = scene.stage.invite("alice", "bob").await;
    let claims = crate::support::claims(&answer["livekit"]["token"]);
    assert_eq!(
        (&claims["roomConfig"]["maxParticipants"], &claims["roomConfig"]["departureTimeout"]),
        (&json!(2), &json!(40))
    );
    let empty = claims["roomConfig"]["emptyTimeout"].as_u64().expect("seconds");
    assert!((120..=125).contains(&empty), "{empty}");
}

#[tokio::test]
async fn the_room_is_closed_at_the_end() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.state(&call).await, "completed");
}

#[tokio::test]
async fn a_ban_takes_the_banned_out_and_then_closes_the_room() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "test"})).await.expect(200);
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.state(&call).await, "banned");
    let asked = scene.livekit.asked();
    let last: Vec<_> = asked.iter().rev().take(2).rev().cloned().collect();
    let removed = ("RemoveParticipant".to_owned(), json!({"room": call.room, "identity": "bob"}));
    assert_eq!(last, [removed.clone(), ("DeleteRoom".to_owned(), json!({"room": call.room}))]);

    // He comes again, with the token that LiveKit has refreshed for him; auto-create makes the room.
    scene.stage.comes(&scene.livekit, &call.room, "bob").await;
    scene.livekit.until("closed again", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.livekit.asked().iter().filter(|asked| **asked == removed).count(), 2);
}

/// An engine of its own, whose tasks nobody carries out, and a live call of Ann and Bob with a room.
async fn engine_with_call(folder: &Path) -> (Engine, Arc<dyn Store>, bellwire::domain::Call) {
    let clock = Clock::system();
    let store: Arc<dyn Store> = Arc::new(Embedded::open(&folder.join("store"), SOON, clock.clone()).expect("a store"));
    let settings = Settings { rules: Rules { rooms: true, ..rules() }, ..settings() };
    let (engine, _follow_ups) = Engine::new(Arc::clone(&store), clock.clone(), settings, Arc::default());
    let mut call = new_call(&clock);
    call.rules.rooms = true;
    call.room = room_name("main", call.id, &[7; 16]);
    create(&*store, &call).await.expect("a call");
    (engine, store, call)
}

#[tokio::test]
async fn a_token_is_not_given_for_a_call_that_ended_since_it_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _, call) = engine_with_call(folder.path()).await;
    let (read, caller) = (Arc::new(call.clone()), Asker::User(call.caller.id.clone(), None));
    engine.cancel(call.id, &caller).await.expect("cancelled");
    let refused = engine.rejoin(&read, &caller).await;
    assert!(matches!(refused, Err(EngineError::Refused(..))), "{refused:?}");
}

/// As if whoever banned him had died before the call was ended.
#[tokio::test]
async fn a_banned_user_who_comes_into_a_live_call_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, store, call) = engine_with_call(folder.path()).await;
    let ban = Ban { user: user("bob"), reason: None, created_at: call.created_at, until: None };
    store.put_ban(ban).await.expect("banned");

    let comes = Input::ParticipantJoined(user("bob"), "PA_1".to_owned());
    assert!(engine.room_input(&call.room, comes).await.expect("applied"));
    let ended = engine.call(call.id, &Asker::Service).await.expect("a call");
    assert_eq!(ended.end_reason, Some(EndReason::Banned));
    let out = TaskKind::CloseRoom { eject: Some(user("bob")) };
    assert!(ended.tasks.iter().any(|task| task.kind == out), "{:?}", ended.tasks);
}

#[tokio::test]
async fn who_comes_after_the_end_is_taken_out() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.hang_up(&call).await;
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    scene.stage.comes(&scene.livekit, &call.room, "alice").await;
    scene.livekit.until("closed again", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.state(&call).await, "completed");
}

#[tokio::test]
async fn a_room_that_is_gone_is_made_again_for_who_gets_a_token() {
    let scene = Scene::new().await;
    let (call, _) = scene.connected().await;
    scene.livekit.forget_rooms();
    scene.stage.http.post(&path(&call.id, "token"), &bearer("alice"), json!({})).await.expect(200);
    scene.livekit.until("made again", |livekit| livekit.room(&call.room).is_some()).await;
}

#[tokio::test]
async fn a_call_that_ends_at_once_asks_nothing_of_livekit() {
    let scene = Scene::new().await;
    let busy = scene.invite().await;
    scene.livekit.until("made", |livekit| livekit.room(&busy.room).is_some()).await;
    scene.stage.invite("carol", "bob").await;
    scene.stage.invite("carol", "nobody").await;
    scene.hang_up(&busy).await;
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    let methods: Vec<_> = scene.livekit.asked().into_iter().map(|(method, _)| method).collect();
    assert_eq!(methods, ["CreateRoom", "DeleteRoom"]);
}

#[tokio::test]
async fn a_blocked_caller_finds_a_room_as_in_any_call() {
    let scene = Scene::new().await;
    scene.stage.http.put("/v1/blocks/alice", &bearer("bob"), json!({})).await;
    let call = scene.invite().await;
    scene.livekit.until("made", |livekit| livekit.room(&call.room).is_some()).await;
    scene.stage.clock.advance(Duration::from_secs(46));
    scene.livekit.until("closed", |livekit| livekit.rooms().is_empty()).await;
    assert_eq!(scene.state(&call).await, "timed_out");
}

#[tokio::test]
async fn without_rooms_livekit_is_not_called() {
    let scene = Scene::with("rooms = false\n").await;
    let (call, [_, bob]) = scene.connected_without_room().await;
    scene.stage.goes(&scene.livekit, &call.room, "bob", &bob, "SIGNAL_CLOSE").await;
    scene.stage.event("alice", "call.reconnecting", &call.id).await;
    scene.stage.clock.advance(Duration::from_mins(10));
    scene.hang_up(&call).await;
    assert_eq!((scene.livekit.asked(), scene.livekit.times("ListRooms")), (Vec::new(), 0));
}
