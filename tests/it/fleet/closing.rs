//! Who may not read on is closed at every gateway, whichever was told, and also where that was not heard.

use serde_json::json;
use tokio::time::timeout;

use super::Stream;
use crate::support::redis::RedisServer;
use crate::support::{APP, Fleet, SOON, Stage, bearer, service_bearer};

async fn ban(stage: &Stage, user: &str) {
    stage.http.put(&format!("/v1/bans/{user}"), service_bearer(), json!({})).await.expect(200);
}

async fn remove(stage: &Stage, user: &str, device: &str) {
    assert_eq!(stage.http.delete(&format!("/v1/devices/{device}"), &bearer(user)).await.status, 204);
}

/// Waits for both to be closed.
async fn expect_closed(streams: [Stream; 2]) {
    for stream in streams {
        timeout(SOON, stream.end()).await.expect("it is closed");
    }
}

/// Checks that a user's streams tell what happens.
async fn expect_open(fleet: &Fleet, user: &str, streams: &mut [Stream; 2]) {
    let call = fleet[0].invite(user, "nobody").await["call"]["id"].take();
    for stream in streams {
        stream.story(&call).await;
    }
}

#[tokio::test]
async fn a_ban_at_one_gateway_closes_the_streams_at_the_other() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 2).await;
    let banned = Stream::both(&fleet[1], "alice", "").await;
    let mut other = Stream::both(&fleet[1], "carol", "").await;
    ban(&fleet[0], "alice").await;
    expect_closed(banned).await;
    let request = fleet[1].http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
    let refused = crate::support::Http::send(request.header("accept", "text/event-stream")).await;
    refused.expect_problem(403, "banned");
    expect_open(&fleet, "carol", &mut other).await;
    fleet[0].http.delete("/v1/bans/alice", service_bearer()).await;
    expect_open(&fleet, "alice", &mut Stream::both(&fleet[1], "alice", "").await).await;
}

#[tokio::test]
async fn a_device_removed_at_one_gateway_loses_its_streams_at_the_other() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::start(server, 2).await;
    fleet[0].iphone("bob", "iphone").await;
    let moved = fleet[0].pixel("bob", "pixel").await;
    let removed = Stream::both(&fleet[1], "bob", "?device_id=iphone").await;
    let gone = Stream::both(&fleet[1], "bob", "?device_id=pixel").await;
    let mut unnamed = Stream::both(&fleet[1], "bob", "").await;
    remove(&fleet[0], "bob", "iphone").await;
    expect_closed(removed).await;
    // The phone has another owner now, who registers it at the gateway where bob has no stream.
    let body = json!({"platform": "android", "app": APP, "fcm_token": moved.ring_token});
    fleet[0].http.put("/v1/devices/mine", &bearer("carol"), body).await.expect(200);
    expect_closed(gone).await;
    expect_open(&fleet, "bob", &mut unnamed).await;
}

#[tokio::test]
async fn a_ban_and_a_removal_that_were_not_heard_close_the_streams_all_the_same() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::behind_proxies(server, &[0, 0], 1).await;
    fleet[1].iphone("bob", "iphone").await;
    fleet[1].pixel("bob", "pixel").await;
    let banned = Stream::both(&fleet[0], "alice", "").await;
    let removed = Stream::both(&fleet[0], "bob", "?device_id=iphone").await;
    let mut kept = Stream::both(&fleet[0], "bob", "?device_id=pixel").await;
    let mut unknown = Stream::both(&fleet[0], "bob", "?device_id=never-registered").await;
    fleet.proxy(0).silence_listeners();
    ban(&fleet[1], "alice").await;
    remove(&fleet[1], "bob", "iphone").await;
    tokio::join!(expect_closed(banned), expect_closed(removed));
    expect_open(&fleet, "bob", &mut kept).await;
    expect_open(&fleet, "bob", &mut unknown).await;
}
