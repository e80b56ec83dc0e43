//! When a stream ends: its token expires, its user is banned, its device is removed, the gateway stops.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Http, Socket, Sse, Stage, bearer, service_bearer, user_token};

/// How long a token is believed after its `exp`.
const LEEWAY: u64 = 30;

async fn both(stage: &Stage, token: &str, query: &str) -> (Sse, Socket) {
    let (sse, _) = stage.events(token, query).await;
    let mut socket = Socket::of_browser(&stage.http, token, query).await;
    assert_eq!(socket.next().await["type"], "snapshot");
    (sse, socket)
}

async fn expect_open(stage: &Stage, user: &str, streams: &mut (Sse, Socket)) {
    let call = stage.invite(user, "nobody").await["call"]["id"].clone();
    streams.0.until("call.ended", &call).await;
    streams.1.until("call.ended", &call).await;
}

async fn expect_closed(streams: &mut (Sse, Socket)) {
    while streams.0.next_or_end().await.is_some() {}
    streams.1.close_code().await;
}

async fn ban(stage: &Stage, user: &str, body: Value) {
    stage.http.put(&format!("/v1/bans/{user}"), service_bearer(), body).await.expect(200);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let stage = Stage::new().await;
    let expires = stage.clock.now().as_secs() + 600;
    let token = user_token(&json!({"iss": "tests", "aud": "bellwire", "sub": "alice", "exp": expires}));
    let mut streams = both(&stage, &token, "").await;
    stage.clock.advance(Duration::from_secs(600 + LEEWAY - 5));
    expect_open(&stage, "alice", &mut streams).await;
    stage.clock.advance(Duration::from_secs(6));
    expect_closed(&mut streams).await;
}

#[tokio::test]
async fn a_ticket_that_is_good_for_nothing_opens_and_keeps_no_stream() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    let mut streams = both(&stage, &ticket, "").await;
    let cancel = crate::support::people::path(&call, "cancel");
    stage.http.post(&cancel, &bearer("alice"), json!({})).await.expect(200);
    streams.0.until("call.ended", &call).await;
    streams.1.until("call.ended", &call).await;
    stage.clock.advance(Duration::from_secs(301));
    expect_closed(&mut streams).await;
    let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(ticket);
    Http::send(request.header("accept", "text/event-stream")).await.expect_problem(404, "call-not-found");
}

#[tokio::test]
async fn a_ban_closes_the_users_streams_and_lets_them_open_none() {
    let stage = Stage::new().await;
    let mut banned = both(&stage, &bearer("alice"), "").await;
    let mut other = both(&stage, &bearer("bob"), "").await;
    ban(&stage, "alice", json!({})).await;
    expect_closed(&mut banned).await;
    let request = || {
        let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
        request.header("accept", "text/event-stream")
    };
    Http::send(request()).await.expect_problem(403, "banned");
    expect_open(&stage, "bob", &mut other).await;
    stage.http.delete("/v1/bans/alice", service_bearer()).await;
    Sse::of(request()).await;
}

#[tokio::test]
async fn a_banned_user_is_told_that_their_call_has_ended_and_then_nothing() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let mut streams = both(&stage, &bearer("alice"), "").await;
    ban(&stage, "alice", json!({})).await;
    for told in [streams.0.until("call.ended", &call).await, streams.1.until("call.ended", &call).await] {
        assert_eq!(told["data"]["reason"], "banned");
    }
    assert_eq!(streams.0.next_or_end().await, None);
    streams.1.close_code().await;
}

#[tokio::test]
async fn removing_a_device_closes_its_streams_alone() {
    let stage = Stage::new().await;
    let (iphone, _pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ticket(&iphone, &call).await;
    let mut removed = both(&stage, &bearer("bob"), "?device_id=iphone-1").await;
    let mut by_ticket = both(&stage, &ticket, "").await;
    let mut other = both(&stage, &bearer("bob"), "?device_id=pixel-1").await;
    let mut unnamed = both(&stage, &bearer("bob"), "").await;
    assert_eq!(stage.http.delete("/v1/devices/iphone-1", &bearer("bob")).await.status, 204);
    expect_closed(&mut removed).await;
    expect_closed(&mut by_ticket).await;
    stage.http.post(&crate::support::people::path(&call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    for streams in [&mut other, &mut unnamed] {
        streams.0.until("call.ended", &call).await;
        streams.1.until("call.ended", &call).await;
    }
}

#[tokio::test]
async fn a_device_that_lost_its_token_or_its_place_is_removed_too() {
    let stage = Stage::new().await;
    let phone = stage.pixel("bob", "pixel-1").await;
    let mut former = both(&stage, &bearer("bob"), "?device_id=pixel-1").await;
    let body = json!({"platform": "android", "app": crate::support::APP, "fcm_token": phone.ring_token});
    stage.http.put("/v1/devices/mine", &bearer("carol"), body).await.expect(200);
    expect_closed(&mut former).await;

    let mut oldest = both(&stage, &bearer("carol"), "?device_id=mine").await;
    for number in 0..10 {
        stage.clock.advance(Duration::from_millis(2));
        stage.pixel("carol", &format!("pixel-{number}")).await;
    }
    expect_closed(&mut oldest).await;
}

#[tokio::test]
async fn when_the_gateway_stops_streams_end_and_sockets_are_told_to_come_back() {
    let stage = Stage::new().await;
    let mut streams = both(&stage, &bearer("alice"), "").await;
    let stopping = tokio::time::timeout(crate::support::SOON, stage.gateway.stop());
    let (stopped, ()) = tokio::join!(stopping, async {
        while streams.0.next_or_end().await.is_some() {}
        assert_eq!(streams.1.close_code().await, 1012);
    });
    stopped.expect("in time").expect("gently");
}
