//! What a call survives: the death of an app, and that of the LiveKit server.

use bellwire::clock::Clock;

use crate::app::AT_ONCE;
use crate::talk::{Talk, seconds};
use crate::world::{Setting, World};

/// Both hear each other again: one hangs up, and the call has gone on all the time.
async fn goes_on_until_hung_up(world: &World, talk: &mut Talk) {
    talk.hear_each_other().await;
    let over = seconds(Clock::system().now());
    talk.bob.ask(&talk.id, "hangup").await.expect(200);
    let call = talk.ends(world, "completed", AT_ONCE).await;
    let kinds = talk.alice.kinds();
    assert_eq!((kinds[3].as_str(), kinds[kinds.len() - 1].as_str()), ("call.connected", "call.ended"), "{kinds:?}");
    let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!(count("call.reconnecting"), count("call.reconnected"), "{kinds:?}");
    talk.expect_talk(&call, over, talk.apart());
}

#[tokio::test]
async fn an_app_that_was_killed_comes_back_with_a_fresh_token() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    talk.bob.app.kill();
    talk.alice.app.hears_no_more_of("bob").await;
    talk.bob.come_back(&world.python, &talk.id).await;
    goes_on_until_hung_up(&world, &mut talk).await;
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
    goes_on_until_hung_up(&world, &mut talk).await;
}

#[tokio::test]
async fn a_livekit_server_that_is_stopped_sends_all_away_who_come_back_with_fresh_tokens() {
    let Some(mut world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    world.livekit.stop().await;
    world.livekit.start_again().await;
    tokio::join!(talk.alice.come_back(&world.python, &talk.id), talk.bob.come_back(&world.python, &talk.id));
    goes_on_until_hung_up(&world, &mut talk).await;
}

#[tokio::test]
async fn where_joining_makes_no_rooms_a_fresh_token_makes_the_lost_one_again() {
    let Some(mut world) = World::with(Setting { auto_create: false, ..Setting::default() }).await else { return };
    let mut talk = Talk::connected(&world).await;
    world.livekit.kill();
    talk.both_tell("reconnecting").await;
    world.livekit.start_again().await;
    tokio::join!(talk.alice.come_back(&world.python, &talk.id), talk.bob.come_back(&world.python, &talk.id));
    goes_on_until_hung_up(&world, &mut talk).await;
}
