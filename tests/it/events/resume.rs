//! Coming back to a stream: every event once, in order, none left out.

use bellwire::engine::ANNOUNCED_WITHIN;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Device, Socket, Sse, Stage, bearer};

/// `<call>:<seq>`, as `since` and `Last-Event-ID` have it.
fn position(call: &Value, seq: u32) -> String {
    format!("{}:{seq}", call.as_str().expect("an id"))
}

/// Alice's call to Bob, which rang and was answered and hung up: events 1 to 4.
async fn whole_call(stage: &Stage, iphone: &Device) -> Value {
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ring(iphone, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
    call
}

/// What was missed, up to the first event of a call that is made now; earlier such calls are left out.
async fn missed(stage: &Stage, mut stream: Sse) -> Vec<(Value, u64)> {
    assert_eq!(stream.next().await["type"], "snapshot");
    let marker = stage.invite("alice", "nobody").await["call"]["id"].clone();
    let markers = stage.http.get("/v1/calls", &bearer("alice")).await.expect(200);
    let markers = markers["calls"].as_array().expect("calls").iter().filter(|call| call["callee"]["id"] == "nobody");
    let markers: Vec<&Value> = markers.map(|call| &call["id"]).collect();
    let mut missed = Vec::new();
    loop {
        let event = stream.next().await;
        if event["call_id"] == marker {
            return missed;
        }
        if markers.contains(&&event["call_id"]) {
            continue;
        }
        missed.push((event["call_id"].clone(), event["seq"].as_u64().expect("a number")));
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_what_it_has_not_seen() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = whole_call(&stage, &iphone).await;
    for seen in 0..=4 {
        let expected: Vec<_> = (u64::from(seen) + 1..=4).map(|seq| (call.clone(), seq)).collect();
        let query = format!("?since={}", position(&call, seen));
        let stream = Sse::open(&stage.http, &bearer("alice"), &query).await;
        assert_eq!(missed(&stage, stream).await, expected, "by since={seen}");

        let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
        let stream = Sse::of(request.header("last-event-id", position(&call, seen))).await;
        assert_eq!(missed(&stage, stream).await, expected, "by Last-Event-ID {seen}");

        let mut socket = Socket::of_browser(&stage.http, &bearer("alice"), &query).await;
        assert_eq!(socket.next().await["type"], "snapshot");
        for (call, seq) in expected {
            let event = socket.next().await;
            assert_eq!((&event["call_id"], &event["seq"]), (&call, &json!(seq)));
        }
    }
}

#[tokio::test]
async fn a_new_reader_gets_no_old_events() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    whole_call(&stage, &iphone).await;
    let stream = Sse::open(&stage.http, &bearer("alice"), "").await;
    assert_eq!(missed(&stage, stream).await, [], "the snapshot has told it all");
}

#[tokio::test]
async fn several_calls_are_named_at_once() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let first = whole_call(&stage, &iphone).await;
    let second = whole_call(&stage, &iphone).await;
    let query = format!("?since={},{}", position(&first, 3), position(&second, 1));
    let stream = Sse::open(&stage.http, &bearer("alice"), &query).await;
    let expected = [(first, 4), (second.clone(), 2), (second.clone(), 3), (second, 4)];
    assert_eq!(missed(&stage, stream).await, expected);
}

#[tokio::test]
async fn calls_that_are_not_named_are_told_from_the_same_moment_on() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let before = whole_call(&stage, &iphone).await;
    stage.clock.advance(2 * ANNOUNCED_WITHIN);
    let named = whole_call(&stage, &iphone).await;
    stage.clock.advance(2 * ANNOUNCED_WITHIN);
    let after = whole_call(&stage, &iphone).await;
    let stream = Sse::open(&stage.http, &bearer("alice"), &format!("?since={}", position(&named, 4))).await;
    let missed = missed(&stage, stream).await;
    assert_eq!(missed, (1..=4).map(|seq| (after.clone(), seq)).collect::<Vec<_>>());
    assert!(missed.iter().all(|(call, _)| *call != before));
}

#[tokio::test]
async fn a_call_that_has_ended_long_ago_can_still_be_named() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let call = whole_call(&stage, &iphone).await;
    stage.clock.advance(std::time::Duration::from_hours(24));
    let stream = Sse::open(&stage.http, &bearer("alice"), &format!("?since={}", position(&call, 2))).await;
    assert_eq!(missed(&stage, stream).await, [(call.clone(), 3), (call, 4)]);
}

#[tokio::test]
async fn what_is_not_theirs_or_unknown_is_left_out() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let theirs = stage.invite("carol", "dave").await["call"]["id"].clone();
    let own = whole_call(&stage, &iphone).await;
    let unknown = json!(stage.clock.call_id().to_string());
    let query = format!("?since={},{},{}", position(&theirs, 0), position(&unknown, 7), position(&own, 3));
    let stream = Sse::open(&stage.http, &bearer("alice"), &query).await;
    assert_eq!(missed(&stage, stream).await, [(own.clone(), 4)]);
    // A number that there is not yet: nothing is repeated, and nothing to come is lost.
    let stream = Sse::open(&stage.http, &bearer("alice"), &format!("?since={}", position(&own, 99))).await;
    assert_eq!(missed(&stage, stream).await, []);
}

#[tokio::test]
async fn a_bad_position_is_refused() {
    let stage = Stage::new().await;
    let call = stage.clock.call_id();
    let many = vec![format!("{call}:1"); 101].join(",");
    for bad in ["x", ":", &format!("{call}"), &format!("{call}:"), &format!("{call}:-1"), &format!("{call}:x"), &many] {
        let request = stage.http.request(reqwest::Method::GET, &format!("/v1/events?since={bad}"));
        let request = request.bearer_auth(bearer("alice")).header("accept", "text/event-stream");
        crate::support::Http::send(request).await.expect_problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn a_reader_that_is_cut_off_again_and_again_gets_every_event_once() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let calls = async {
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(whole_call(&stage, &iphone).await);
            tick(&stage);
        }
        calls
    };
    // It begins before the first call is made.
    let mut stream = Sse::open(&stage.http, &bearer("alice"), "").await;
    assert_eq!(stream.next().await["type"], "snapshot");
    let reading = async {
        let mut heard = Vec::new();
        loop {
            // Two events, and it is cut off.
            for _ in 0..2 {
                let event = stream.next().await;
                heard.push((event["call_id"].clone(), event["seq"].as_u64().expect("a number")));
            }
            if heard.len() == 40 {
                return heard;
            }
            let last_id = stream.last_id.take().expect("an id");
            let request = stage.http.request(reqwest::Method::GET, "/v1/events").bearer_auth(bearer("alice"));
            stream = Sse::of(request.header("last-event-id", last_id)).await;
            assert_eq!(stream.next().await["type"], "snapshot");
        }
    };
    let (heard, calls) = tokio::join!(reading, calls);
    let expected: Vec<_> = calls.iter().flat_map(|call| (1..=4).map(|seq| (call.clone(), seq))).collect();
    assert_eq!(heard, expected);
}

/// Lets a millisecond pass, the grain of time by which calls that are not named are told.
fn tick(stage: &Stage) {
    stage.clock.advance(std::time::Duration::from_millis(2));
}
