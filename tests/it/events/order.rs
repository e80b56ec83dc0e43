//! A storm of changes: whoever listens, fast or slow, hears everything once and in order.

use std::collections::HashMap;
use std::sync::Arc;

use bellwire::domain::UserId;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{Socket, Sse, Stage, bearer, service_bearer};

const CALLERS: usize = 12;

/// Many users call Carol at once, again and again: one call after the other gets through, the rest find her busy.
async fn storm(stage: &Stage) -> Vec<Value> {
    let say = async |call: &Value, verb: &str| {
        let body = json!({"device_id": "pixel-1"});
        stage.http.post(&path(call, verb), &bearer("carol"), body).await
    };
    let caller = async |number: usize| {
        let user = format!("caller-{number}");
        let mut calls = Vec::new();
        for _ in 0..3 {
            let call = stage.invite(&user, "carol").await["call"]["id"].clone();
            join_all([say(&call, "alerting"), say(&call, "answer")]).await;
            stage.http.post(&path(&call, "hangup"), service_bearer(), json!({})).await.expect(200);
            calls.push(call);
        }
        calls
    };
    join_all((0..CALLERS).map(caller)).await.concat()
}

/// What was heard of each call, which must be numbered from 1 without a gap and end with its end.
#[derive(Default)]
struct Heard(HashMap<String, u64>, usize);

impl Heard {
    fn hear(&mut self, event: &Value) {
        let call = event["call_id"].as_str().expect("a call").to_owned();
        let last = self.0.entry(call).or_default();
        assert_eq!(event["seq"].as_u64(), Some(*last + 1), "{event}");
        *last += 1;
        self.1 += usize::from(event["type"] == "call.ended");
    }

    fn ended(&self) -> usize {
        self.1
    }
}

#[tokio::test]
async fn every_reader_hears_a_storm_in_order_and_once() {
    let stage = Stage::new().await;
    stage.pixel("carol", "pixel-1").await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(stage.events(&bearer("carol"), "").await.0);
    }
    let mut socket = Socket::of_browser(&stage.http, &bearer("carol"), "").await;
    assert_eq!(socket.next().await["type"], "snapshot");
    let expected = CALLERS * 3;
    let listen = async |stream: &mut Sse| {
        let mut heard = Heard::default();
        while heard.ended() < expected {
            heard.hear(&stream.next().await);
        }
    };
    let on_socket = async {
        let mut heard = Heard::default();
        while heard.ended() < expected {
            heard.hear(&socket.next().await);
        }
    };
    let (calls, _, ()) = tokio::join!(storm(&stage), join_all(streams.iter_mut().map(listen)), on_socket);
    assert_eq!(calls.len(), expected);
}

#[tokio::test]
async fn a_reader_that_sleeps_through_a_storm_hears_all_of_it() {
    let stage = Stage::new().await;
    stage.pixel("carol", "pixel-1").await;
    let carol = UserId::new("carol").expect("a user");
    let mut reader = stage.gateway.engine.read(&carol, None, 20).await.expect("a reader");
    assert!(reader.begin(&[]).await.expect("a beginning").snapshot.is_empty());
    let (mut awake, _) = stage.events(&bearer("carol"), "").await;
    let calls = storm(&stage).await;
    // What the quick one has heard has been put before the sleeper, too.
    let mut heard = Heard::default();
    while heard.ended() < calls.len() {
        heard.hear(&awake.next().await);
    }
    let mut heard = Heard::default();
    let mut batches = 0;
    while heard.ended() < calls.len() {
        let news = reader.next().await.expect("news");
        batches += 1;
        assert!(news.is_sorted_by_key(|news| news.event.at), "in order of time, so that it can be resumed by it");
        for one in news {
            heard.hear(&json!({"call_id": one.call.id, "seq": one.event.seq,
                "type": serde_json::to_value(&one.event).expect("JSON")["type"]}));
        }
    }
    assert!(batches <= 2, "what waited came at once, not change by change: {batches}");
}

#[tokio::test]
async fn a_reader_that_begins_in_the_midst_of_a_storm_misses_nothing() {
    let stage = Arc::new(Stage::new().await);
    stage.pixel("carol", "pixel-1").await;
    let late = async {
        // At any moment of it; the snapshot says what has been.
        let (mut stream, snapshot) = stage.events(&bearer("carol"), "").await;
        let mut heard = Heard::default();
        for call in snapshot["calls"].as_array().expect("calls") {
            let seq = call["seq"].as_u64().expect("a number");
            heard.0.insert(call["id"].as_str().expect("an id").to_owned(), seq);
            heard.1 += usize::from(call["state"] == "ended");
        }
        while heard.ended() < CALLERS * 3 {
            heard.hear(&stream.next().await);
        }
    };
    tokio::join!(storm(&stage), late);
}
