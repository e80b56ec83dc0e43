//! No webhook of LiveKit ever comes: then the gateway asks, and the truth is told at most so much later.

use std::time::Duration;

use crate::app::AT_ONCE;
use crate::support::rfc3339;
use crate::talk::{Talk, seconds};
use crate::world::{GRACE, SWEEP, Setting, World};

/// What the machine may add to it.
const LATE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn without_webhooks_the_truth_comes_late_but_comes() {
    let Some(world) = World::with(Setting { webhooks: false, ..Setting::default() }).await else { return };
    let mut talk = Talk::answered(&world).await;
    tokio::join!(talk.alice.join(), talk.bob.join());
    talk.heard_at = talk.hear_each_other().await;
    let connected = talk.alice.is_told("call.connected", SWEEP + LATE).await;
    let late = seconds(rfc3339(&connected["at"])) - talk.heard_at;
    assert!(late <= SWEEP.as_secs_f64() + LATE.as_secs_f64(), "{late} s");

    // Bob leaves without hanging up.
    let left = talk.bob.leave().await;
    let away = talk.alice.is_told("call.reconnecting", SWEEP + LATE).await;
    assert_eq!(away["data"]["user_id"], "bob");
    let away_at = rfc3339(&away["at"]);
    let call = talk.ends(&world, "connection_lost", GRACE + SWEEP + AT_ONCE).await;
    assert_eq!(talk.alice.app.is_out().await.0, "ROOM_DELETED");
    talk.expect_events(&["call.connected", "call.reconnecting", "call.ended"]);
    assert!(seconds(away_at) >= left, "nobody is said to be away before they are");
    // Both ends of the talk are known late.
    talk.heard_at += late;
    talk.expect_talk(&call, seconds(away_at), 0.0);

    // An old token makes the room anew, once it is no longer being closed.
    world.livekit.closes(&talk.room, 1, LATE).await;
    talk.bob.app.try_join(&world.livekit.url(), &talk.bob.livekit["token"]).await.expect("he is in");
    world.livekit.closes(&talk.room, 2, SWEEP + LATE).await;
    talk.expect_no_room(&world).await;
}
