//! Requests by route, and who reads events.

use serde_json::json;

use super::{scrape, until, until_at_least};
use crate::support::people::path;
use crate::support::{Socket, Stage, bearer};

fn requests(route: &str, method: &str, status: &str) -> String {
    format!(r#"bellwire_http_requests_total{{route="{route}",method="{method}",status="{status}"}}"#)
}

#[tokio::test]
async fn requests_count_by_the_template_of_their_route_and_by_how_they_ended() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    let call = stage.invite("alice", "bob").await["call"]["id"].clone();
    for _ in 0..3 {
        stage.http.get(&path(&call, ""), &bearer("alice")).await.expect(200);
    }
    stage.http.get(&path(&json!("nothing"), ""), &bearer("alice")).await;
    stage.http.post(&path(&call, "answer"), "nobody", json!({})).await.expect(401);
    stage.http.get("/v1/calls/a/b/c/made-up", &bearer("alice")).await.expect(404);
    stage.http.get("/another-made-up", &bearer("alice")).await.expect(404);
    let made_up = http::Method::from_bytes(b"BREW").expect("a method");
    let answer = stage.http.request(made_up, "/v1/calls").send().await.expect("an answer");
    assert_eq!(answer.status(), 405);

    let all = until_at_least(&stage, &requests("/v1/calls", "other", "4xx"), 1.0).await;
    let count = |route: &str, method: &str, status: &str| all.count(&requests(route, method, status));
    assert_eq!(count("/v1/devices/{device_id}", "PUT", "2xx"), 1);
    assert_eq!(count("/v1/calls", "POST", "2xx"), 1);
    assert_eq!(count("/v1/calls/{id}", "GET", "2xx"), 3);
    assert_eq!(count("/v1/calls/{id}", "GET", "4xx"), 1);
    assert_eq!(count("/v1/calls/{id}/answer", "POST", "4xx"), 1);
    assert_eq!(count("unmatched", "GET", "4xx"), 2, "whatever is asked for is one route");
    let seconds = r#"{route="/v1/calls/{id}",method="GET"}"#;
    assert_eq!(all.count(&format!("bellwire_http_seconds_count{seconds}")), 4);
    let took = all.expect(&format!("bellwire_http_seconds_sum{seconds}"));
    assert!(took > 0.0 && took < 40.0, "{took} s");
}

#[tokio::test]
async fn streams_of_events_count_while_they_are_read() {
    let stage = Stage::new().await;
    let reading = |transport: &str| format!(r#"bellwire_event_readers{{transport="{transport}"}}"#);
    let is = |number: f64| move |value: f64| (value - number).abs() < 0.1;
    assert_eq!(scrape(&stage).await.value(&reading("sse")), None);
    let (first, _) = stage.events(&bearer("alice"), "").await;
    let (second, _) = stage.events(&bearer("bob"), "").await;
    let mut socket = Socket::of_browser(&stage.http, &bearer("alice"), "").await;
    socket.next().await;
    until(&stage, &reading("sse"), is(2.0)).await;
    until(&stage, &reading("websocket"), is(1.0)).await;
    drop(first);
    until(&stage, &reading("sse"), is(1.0)).await;
    drop((second, socket));
    until(&stage, &reading("sse"), is(0.0)).await;
    until(&stage, &reading("websocket"), is(0.0)).await;
}
