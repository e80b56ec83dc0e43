//! Bob's network is gone for a while, or for good. LiveKit needs about 21 s to notice that a client is silent; until then nobody is told
//! anything, and a client that is back by then was never away.

use bellwire::clock::Clock;

use crate::app::AT_ONCE;
use crate::livekit::NOTICES_SILENCE;
use crate::network::Network;
use crate::support::rfc3339;
use crate::talk::{Talk, expect_returns, seconds};
use crate::world::{GRACE, World};

#[tokio::test]
async fn a_network_that_comes_back_within_the_grace_goes_on_with_the_call() {
    let Some(world) = World::start().await else { return };
    let bobs = Network::to(&world.livekit).await;
    let mut talk = Talk::connected_by(&world, &bobs).await;
    // LiveKit does not notice this.
    bobs.cut();
    talk.hear_each_other_no_more().await;
    bobs.heal();
    talk.hear_each_other().await;
    talk.expect_events(&["call.connected"]);

    bobs.cut();
    talk.hear_each_other_no_more().await;
    let away = talk.alice.is_told("call.reconnecting", NOTICES_SILENCE).await;
    assert_eq!(away["data"]["user_id"], "bob");
    bobs.heal();
    let back = talk.alice.is_told("call.reconnected", GRACE).await;
    assert_eq!(back["data"]["user_id"], "bob");
    talk.hear_each_other().await;
    assert!(talk.bob.app.has_told("reconnected"), "by itself");

    let over = seconds(Clock::system().now());
    talk.alice.ask(&talk.id, "hangup").await.expect(200);
    let call = talk.ends(&world, "completed", AT_ONCE).await;
    talk.expect_events(&["call.connected", "call.reconnecting", "call.reconnected", "call.ended"]);
    let apart = rfc3339(&back["at"]).since(rfc3339(&away["at"])).as_secs_f64();
    talk.expect_talk(&call, over, apart);
    expect_returns(&call, 1, &[("bob", "CONNECTION_TIMEOUT")]);
}

#[tokio::test]
async fn a_network_that_stays_away_loses_the_call() {
    let Some(world) = World::start().await else { return };
    let bobs = Network::to(&world.livekit).await;
    let mut talk = Talk::connected_by(&world, &bobs).await;
    bobs.cut();
    talk.hear_each_other_no_more().await;
    let away = talk.alice.is_told("call.reconnecting", NOTICES_SILENCE).await;
    let call = talk.ends(&world, "connection_lost", GRACE + AT_ONCE).await;
    assert_eq!(talk.alice.app.is_out().await.0, "ROOM_DELETED");
    let away_at = rfc3339(&away["at"]);
    assert!(rfc3339(&call["ended_at"]).since(away_at) >= GRACE, "{call}");
    talk.expect_events(&["call.connected", "call.reconnecting", "call.ended"]);
    talk.expect_talk(&call, seconds(away_at), 0.0);
    expect_returns(&call, 0, &[("bob", "CONNECTION_TIMEOUT")]);

    // His client goes on trying, and makes the room anew where rooms are made by joining.
    bobs.heal();
    world.livekit.closes(&talk.room, 2, AT_ONCE).await;
    talk.expect_no_room(&world).await;
}
