//! What a call survives: the death of an app, of the LiveKit server, and of the gateway.

use bellwire::clock::Clock;
use serde_json::Value;

use crate::app::AT_ONCE;
use crate::support::rfc3339;
use crate::talk::{Talk, expect_returns, seconds};
use crate::world::{GRACE, SWEEP, Setting, World};

/// Both hear each other again, and the call has gone on all the time.
async fn goes_on(world: &World, talk: &mut Talk) -> Value {
    talk.hear_each_other().await;
    is_hung_up(world, talk).await
}

/// One hangs up; whoever was away came back before.
async fn is_hung_up(world: &World, talk: &mut Talk) -> Value {
    let over = seconds(Clock::system().now());
    talk.bob.ask(&talk.id, "hangup").await.expect(200);
    let call = talk.ends(world, "completed", AT_ONCE).await;
    let kinds = talk.alice.kinds();
    assert_eq!((kinds[3].as_str(), kinds[kinds.len() - 1].as_str()), ("call.connected", "call.ended"), "{kinds:?}");
    let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!(count("call.reconnecting"), count("call.reconnected"), "{kinds:?}");
    talk.expect_talk(&call, over, talk.apart());
    call
}

#[tokio::test]
async fn an_app_that_was_killed_comes_back_with_a_fresh_token() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    talk.bob.app.kill();
    talk.alice.app.hears_no_more_of("bob").await;
    talk.bob.come_back(&world.python, &talk.id).await;
    let call = goes_on(&world, &mut talk).await;
    expect_returns(&call, 1, &[("bob", "DUPLICATE_IDENTITY")]);
    // LiveKit has not noticed that the old app is gone: the new one takes its place, and nobody was away.
    talk.expect_events(&["call.connected", "call.ended"]);
}

#[tokio::test]
async fn a_livekit_server_that_was_killed_and_is_back_is_entered_again_by_the_clients_themselves() {
    let Some(mut world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    world.livekit.kill();
    talk.both_tell("reconnecting").await;
    world.livekit.start_again().await;
    let call = goes_on(&world, &mut talk).await;
    assert_eq!(call["statistics"]["reconnects"], 2, "{call}");
}

#[tokio::test]
async fn a_livekit_server_that_is_stopped_sends_all_away_who_come_back_with_fresh_tokens() {
    let Some(mut world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    world.livekit.stop().await;
    world.livekit.start_again().await;
    tokio::join!(talk.alice.come_back(&world.python, &talk.id), talk.bob.come_back(&world.python, &talk.id));
    let call = goes_on(&world, &mut talk).await;
    assert_eq!(call["statistics"]["reconnects"], 2, "{call}");
}

#[tokio::test]
async fn where_joining_makes_no_rooms_a_fresh_token_makes_the_lost_one_again() {
    let Some(mut world) = World::with(Setting { auto_create: false, ..Setting::default() }).await else { return };
    let mut talk = Talk::connected(&world).await;
    world.livekit.kill();
    talk.both_tell("reconnecting").await;
    world.livekit.start_again().await;
    tokio::join!(talk.alice.come_back(&world.python, &talk.id), talk.bob.come_back(&world.python, &talk.id));
    let call = goes_on(&world, &mut talk).await;
    assert_eq!(call["statistics"]["reconnects"], 2, "{call}");
}

#[tokio::test]
async fn a_livekit_server_that_is_down_when_a_call_begins_has_its_room_once_it_is_back() {
    let Some(mut world) = World::with(Setting { auto_create: false, ..Setting::default() }).await else { return };
    world.livekit.kill();
    let mut talk = Talk::answered(&world).await;
    world.livekit.start_again().await;
    talk.expect_room(&world).await;
    tokio::join!(talk.alice.join(), talk.bob.join());
    talk.begins().await;
    is_hung_up(&world, &mut talk).await;
}

#[tokio::test]
async fn a_gateway_that_was_away_finds_out_who_has_left() {
    let Some(mut world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    world.stage.gateway.kill().await;
    let left = talk.bob.leave().await;
    // On another port, so LiveKit's webhooks are lost from now on.
    world.stage.start_again().await;
    let call = world.call_ends(&talk.id, SWEEP + GRACE + AT_ONCE).await;
    assert_eq!(call["end_reason"], "connection_lost", "{call}");
    assert_eq!(talk.alice.app.is_out().await.0, "ROOM_DELETED");
    talk.expect_no_room(&world).await;
    // It could not know when he left.
    let ended = seconds(rfc3339(&call["ended_at"]));
    assert!(ended - left >= GRACE.as_secs_f64(), "{call}");
}
