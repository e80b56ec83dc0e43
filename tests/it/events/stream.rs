//! How a stream begins, what its messages are, and who gets one.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::people::path;
use crate::support::{Http, Socket, Sse, Stage, bearer, rfc3339, service_bearer, user_token};

/// Both forms of a user's stream, at the same call.
async fn both(stage: &Stage, user: &str) -> (Sse, Socket, [Value; 2]) {
    let (sse, first) = stage.events(&bearer(user), "").await;
    let mut socket = Socket::of_browser(&stage.http, &bearer(user), "").await;
    let second = socket.next().await;
    (sse, socket, [first, second])
}

#[tokio::test]
async fn a_stream_begins_with_the_live_calls_and_those_that_ended_a_short_while_ago() {
    let stage = Stage::new().await;
    stage.pixel("bob", "pixel-1").await;
    let ended = stage.invite("alice", "carol").await["call"]["id"].clone();
    let live = stage.invite("alice", "bob").await["call"]["id"].clone();
    stage.invite("dave", "erin").await;
    for user in ["alice", "bob"] {
        let (_, _, snapshots) = both(&stage, user).await;
        for snapshot in snapshots {
            assert_eq!(snapshot["type"], "snapshot");
            let calls = snapshot["calls"].as_array().expect("calls");
            let mut ids: Vec<&Value> = calls.iter().map(|call| &call["id"]).collect();
            ids.sort_by_key(ToString::to_string);
            assert_eq!(ids, if user == "alice" { vec![&ended, &live] } else { vec![&live] });
            assert!(calls.iter().all(|call| call["seq"].is_u64() && call.get("legs").is_none()), "{snapshot}");
        }
    }
    stage.clock.advance(std::time::Duration::from_secs(601));
    stage.ended("alice", &live).await;
    let (_, _, snapshots) = both(&stage, "alice").await;
    for snapshot in snapshots {
        let calls = snapshot["calls"].as_array().expect("calls");
        assert_eq!((calls.len(), &calls[0]["id"]), (1, &live), "it has only just ended");
    }
}

#[tokio::test]
async fn every_event_has_its_number_its_time_and_its_data() {
    let stage = Stage::new().await;
    let iphone = stage.iphone("bob", "iphone-1").await;
    let (mut sse, mut socket, _) = both(&stage, "alice").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    let ticket = stage.ring(&iphone, &call).await;
    stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
    stage.http.post(&path(&call, "hangup"), &ticket, json!({})).await.expect(200);
    for (number, kind) in ["call.invited", "call.ringing", "call.answered", "call.ended"].into_iter().enumerate() {
        let event = sse.next().await;
        assert_eq!(event, socket.next().await, "the same in both forms");
        let seq = number + 1;
        assert_eq!(sse.last_id, Some(format!("{}:{seq}", call.as_str().expect("an id"))));
        assert_eq!((&event["type"], &event["call_id"], &event["seq"]), (&json!(kind), &call, &json!(seq)));
        rfc3339(&event["at"]);
        match kind {
            "call.invited" => assert_eq!(event["data"]["call"]["callee"]["id"], "bob"),
            "call.ringing" => assert_eq!(event["data"], json!({})),
            "call.answered" => assert_eq!(event["data"], json!({"device_id": "iphone-1"})),
            _ => assert_eq!(event["data"], json!({"reason": "completed"})),
        }
        assert!(!event.to_string().contains("legs"), "{event}");
    }
}

#[tokio::test]
async fn a_token_comes_in_a_header_or_in_a_subprotocol() {
    let stage = Stage::new().await;
    let header = format!("Bearer {}", bearer("alice"));
    let (mut socket, response) = Socket::open(&stage.http, "", &[("authorization", &header)]).await.expect("a socket");
    assert!(!response.headers().contains_key("sec-websocket-protocol"));
    assert_eq!(socket.next().await["type"], "snapshot");
    let (_, response) =
        Socket::open(&stage.http, "", &[("authorization", &header), ("sec-websocket-protocol", "bellwire.v1")])
            .await
            .expect("a socket");
    assert_eq!(response.headers()["sec-websocket-protocol"], "bellwire.v1");

    let expired = user_token(&json!({"iss": "tests", "aud": "bellwire", "sub": "alice", "exp": 1}));
    for (token, status) in [("nonsense", 401), (expired.as_str(), 401), (service_bearer(), 403), ("", 401)] {
        let protocols = format!("bellwire.v1, bearer.{token}");
        let refused = Socket::open(&stage.http, "", &[("sec-websocket-protocol", &protocols)]).await;
        let Err(Error::Http(response)) = refused else { panic!("{token} was let in") };
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    // Never in the URL, where logs would keep it.
    let request = stage.http.request(Method::GET, &format!("/v1/events?token={}", bearer("alice")));
    Http::send(request.header("accept", "text/event-stream")).await.expect_problem(401, "token-missing");
}

#[tokio::test]
async fn whoever_asks_for_neither_form_is_told_which_there_are() {
    let stage = Stage::new().await;
    for accept in ["*/*", "application/json", ""] {
        let request = stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("alice"));
        Http::send(request.header("accept", accept)).await.expect_problem(406, "not-acceptable");
    }
    let request = stage.http.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
    Http::send(request).await.expect_problem(401, "token-missing");
    let request = stage.http.request(Method::GET, "/v1/events").header("accept", "text/event-stream");
    Http::send(request.bearer_auth(service_bearer())).await.expect_problem(403, "users-only");
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_no_more() {
    let stage = Stage::with("[limits]\nevent_streams_per_user = 3").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(stage.events(&bearer("alice"), "").await);
    }
    let request = || {
        let request = stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("alice"));
        request.header("accept", "text/event-stream")
    };
    let refused = Http::send(request()).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(429, "too-many-streams");
    let header = format!("Bearer {}", bearer("alice"));
    let refused = Socket::open(&stage.http, "", &[("authorization", &header)]).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 429));
    stage.events(&bearer("bob"), "").await;

    open.pop();
    let again = async {
        // The server learns from the connection that the reader has gone.
        while request().send().await.expect("an answer").status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(crate::support::SOON, again).await.expect("there is room again");
}

#[tokio::test]
async fn what_a_client_says_on_a_socket_is_not_listened_to() {
    let stage = Stage::new().await;
    let mut socket = Socket::of_browser(&stage.http, &bearer("alice"), "").await;
    assert_eq!(socket.next().await["type"], "snapshot");
    socket.say("{\"type\": \"call.answered\"}").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    assert_eq!(socket.until("call.ended", &call).await["data"]["reason"], "unreachable");
}

/// It is rung for five seconds without one, and browsers wait for three unless they are told.
#[tokio::test]
async fn a_page_whose_stream_breaks_is_told_beforehand_to_come_back_within_a_second() {
    let stage = Stage::new().await;
    let (stream, _) = stage.events(&bearer("bob"), "").await;
    assert_eq!((stream.comes_back_after, stream.told_to_come_back), (Some(1000), false));
}
