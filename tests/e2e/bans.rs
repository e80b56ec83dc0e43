//! Bob is banned in the middle of a call: he is out, and stays out whichever token he has, where rooms are made by joining and where not.

use serde_json::{Value, json};

use crate::app::{AT_ONCE, App};
use crate::support::service_bearer;
use crate::talk::{Talk, seconds};
use crate::world::{Setting, World};

/// A call that is heard, until Bob is banned; then the tokens that he still has.
async fn banned(world: &World) -> (Talk, [Value; 2]) {
    let mut talk = Talk::connected(world).await;
    let tokens = [talk.bob.livekit["token"].clone(), talk.bob.app.refreshed_token()];
    let over = seconds(bellwire::clock::Clock::system().now());
    world.stage.http.put("/v1/bans/bob", service_bearer(), json!({"reason": "abuse"})).await.expect(200);
    let (alice, bob) = tokio::join!(talk.alice.app.is_out(), talk.bob.app.is_out());
    assert_eq!((alice.0.as_str(), bob.0.as_str()), ("ROOM_DELETED", "PARTICIPANT_REMOVED"));
    let call = talk.ends(world, "banned", AT_ONCE).await;
    talk.expect_events(&["call.connected", "call.ended"]);
    talk.expect_talk(&call, over, 0.0);
    talk.bob.ask(&talk.id, "token").await.expect_problem(403, "banned");
    (talk, tokens)
}

#[tokio::test]
async fn where_joining_makes_no_rooms_no_token_lets_a_banned_user_in() {
    let Some(world) = World::with(Setting { auto_create: false, ..Setting::default() }).await else { return };
    let (talk, tokens) = banned(&world).await;
    for token in &tokens {
        let refused = App::start(&world.python, "bob").try_join(&world.livekit.url(), token).await;
        assert!(refused.expect_err("no such room").contains("404"));
    }
    talk.expect_no_room(&world).await;
}

#[tokio::test]
async fn where_joining_makes_rooms_a_banned_user_is_put_out_of_the_empty_one_again() {
    let Some(world) = World::start().await else { return };
    let (talk, tokens) = banned(&world).await;
    for (token, times) in tokens.iter().zip(2..) {
        // His client takes this for a bad network, and tries again for a minute.
        let mut app = App::start(&world.python, "bob");
        app.join(&world.livekit.url(), token);
        world.livekit.closes(&talk.room, times, AT_ONCE).await;
        talk.expect_no_room(&world).await;
    }
}
