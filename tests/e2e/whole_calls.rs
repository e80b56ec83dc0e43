//! Calls on a network and servers that work: they are heard, and end as the parties wish.

use std::time::Duration;

use bellwire::clock::Clock;
use tokio::time::sleep;

use crate::app::AT_ONCE;
use crate::support::rfc3339;
use crate::talk::{Talk, expect_returns, seconds};
use crate::world::{CONNECT_TIMEOUT, GRACE, World};

/// How long they talk.
const A_WHILE: Duration = Duration::from_secs(4);
/// At once, on a machine that is busy, in seconds: without the room's end they would stay.
const TOGETHER: f64 = 10.0;

/// Checks that the room was deleted under both at the same time, and gives when.
async fn both_are_out(talk: &mut Talk) -> f64 {
    let (alice, bob) = tokio::join!(talk.alice.app.is_out(), talk.bob.app.is_out());
    assert_eq!((alice.0.as_str(), bob.0.as_str()), ("ROOM_DELETED", "ROOM_DELETED"));
    assert!((alice.1 - bob.1).abs() <= TOGETHER, "{alice:?} {bob:?}");
    alice.1.min(bob.1)
}

#[tokio::test]
async fn a_whole_call_is_heard_both_ways_and_ends_for_both_at_once() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    sleep(A_WHILE).await;
    let hung_up = seconds(Clock::system().now());
    talk.bob.ask(&talk.id, "hangup").await.expect(200);
    let over = both_are_out(&mut talk).await;
    assert!(over - hung_up <= TOGETHER, "{} s after the hang-up", over - hung_up);
    let call = talk.ends(&world, "completed", AT_ONCE).await;
    talk.expect_events(&["call.connected", "call.ended"]);
    talk.expect_talk(&call, over, 0.0);
    expect_returns(&call, 0, &[]);
}

#[tokio::test]
async fn both_may_hang_up_at_once() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    let (alice, bob) = tokio::join!(talk.alice.ask(&talk.id, "hangup"), talk.bob.ask(&talk.id, "hangup"));
    assert_eq!((alice.status, bob.status), (200, 200));
    let over = both_are_out(&mut talk).await;
    let call = talk.ends(&world, "completed", AT_ONCE).await;
    talk.expect_events(&["call.connected", "call.ended"]);
    talk.expect_talk(&call, over, 0.0);
    expect_returns(&call, 0, &[]);
}

#[tokio::test]
async fn both_may_leave_without_hanging_up() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::connected(&world).await;
    let (alice, bob) = tokio::join!(talk.alice.leave(), talk.bob.leave());
    let call = talk.ends(&world, "completed", GRACE + AT_ONCE).await;
    talk.expect_talk(&call, alice.min(bob), 0.0);
    expect_returns(&call, 0, &[("alice", "CLIENT_INITIATED"), ("bob", "CLIENT_INITIATED")]);
}

#[tokio::test]
async fn who_answers_and_never_comes_is_waited_for_no_longer_than_configured() {
    let Some(world) = World::start().await else { return };
    let mut talk = Talk::answered(&world).await;
    talk.alice.join().await;
    let call = talk.ends(&world, "not_connected", CONNECT_TIMEOUT + AT_ONCE).await;
    assert_eq!(talk.alice.app.is_out().await.0, "ROOM_DELETED");
    talk.expect_events(&["call.ended"]);
    assert!(rfc3339(&call["ended_at"]).since(rfc3339(&call["answered_at"])) >= CONNECT_TIMEOUT, "{call}");
    assert_eq!((&call["talk_seconds"], &call["peak_participants"]), (&0.into(), &1.into()), "{call}");
}
