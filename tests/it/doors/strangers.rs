//! Who is no party of a call cannot tell whether there is one: not by what they hear, and not by how long it takes.

use std::sync::Arc;

use bellwire::domain::{CallId, JobId};
use reqwest::Method;
use serde_json::{Value, json};

use super::scene::{CONFIG, Scene};
use crate::support::livekit_fake::participant_event;
use crate::support::people::path;
use crate::support::redis::RedisServer;
use crate::support::{Fleet, Http, Reply, SOON, Stage, bearer, service_bearer};

/// How often a question is asked, to see what it alone reads.
const TRIES: usize = 5;

/// Every route of a call that a user may ask for, with a body that would be good.
fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let device = || Some(json!({"device_id": "iphone-1"}));
    vec![
        (Method::GET, "", None),
        (Method::POST, "alerting", device()),
        (Method::POST, "answer", device()),
        (Method::POST, "decline", device()),
        (Method::POST, "cancel", Some(json!({}))),
        (Method::POST, "hangup", Some(json!({}))),
        (Method::POST, "token", device()),
        (Method::POST, "recording", Some(json!({}))),
        (Method::GET, "recording", None),
        (Method::DELETE, "recording", None),
        (Method::GET, "explain", None),
    ]
}

async fn ask<G>(stage: &Stage<G>, user: &str, call: &Value, route: &(Method, &str, Option<Value>)) -> Reply {
    let (method, verb, body) = route;
    let mut request = stage.http.request(method.clone(), &path(call, verb)).bearer_auth(bearer(user));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Http::send(request).await
}

/// All of an answer that could tell something, without the call's id, which the asker knows.
fn told(reply: &Reply, call: &Value) -> Value {
    let mut headers: Vec<_> = reply.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.retain(|header| !header.starts_with("date:"));
    headers.sort();
    let id = call.as_str().expect("an id");
    json!([reply.status, headers, reply.text.replace(id, "ID")])
}

#[tokio::test]
async fn a_stranger_hears_of_a_call_what_they_hear_of_none() {
    let stage = Arc::new(Stage::with(CONFIG).await);
    let nothing = json!(stage.clock.call_id());
    for (number, state) in ["calling", "answered", "recorded", "ended", "blocked"].into_iter().enumerate() {
        let scene = Scene::new(&stage, number, state).await;
        let (mut call, mut strangers) = (scene.call.clone(), vec![scene.erin.clone()]);
        if state == "ended" {
            stage.http.post(&path(&call, "hangup"), &bearer(&scene.bob), json!({})).await.expect(200);
        }
        if state == "blocked" {
            // A call of somebody whom the callee has blocked is none of the callee's.
            stage.http.put(&format!("/v1/blocks/{}", scene.erin), &bearer(&scene.bob), json!({})).await.expect(204);
            call = stage.invite(&scene.erin, &scene.bob).await["call"]["id"].take();
            strangers = vec![scene.bob.clone(), scene.alice.clone()];
        }
        let banned = format!("judas-{number}");
        stage.http.put(&format!("/v1/bans/{banned}"), service_bearer(), json!({})).await.expect(200);
        strangers.push(banned);
        for user in &strangers {
            for route in &routes() {
                let (of_call, of_none) =
                    (ask(&stage, user, &call, route).await, ask(&stage, user, &nothing, route).await);
                let here = format!("{} {} of a call that is {state}, by {user}", route.0, route.1);
                assert!((400..500).contains(&of_call.status), "{here}: {}", of_call.text);
                assert_eq!(told(&of_call, &call), told(&of_none, &nothing), "{here}");
            }
        }
    }
}

/// Has both come into the room, by LiveKit's word, so that the recording begins: it has a record of its own from then on.
async fn record(fleet: &Fleet, call: &Value, room: &Value) {
    let room = room.as_str().expect("a room");
    for user in ["alice", "bob"] {
        fleet[0].livekit_tells(&participant_event(user, "participant_joined", room, user, user, "")).await;
    }
    let id = JobId::recording(CallId::parse(call.as_str().expect("an id")).expect("a call id"));
    let begun = async { while fleet[0].gateway.engine.job(&id).await.expect("a look").is_none() {} };
    tokio::time::timeout(SOON, begun).await.expect("the recording begins");
}

/// What a gateway asks its store for, by the names of the commands, in order.
fn commands(requests: &[Vec<u8>], call: &Value) -> Vec<String> {
    let id = call.as_str().expect("an id");
    let of_call = requests.iter().map(|request| String::from_utf8_lossy(request).into_owned());
    let of_call = of_call.filter(|request| request.contains(id));
    let words = of_call.map(|request| {
        let words: Vec<&str> = request.split("\r\n").skip(2).step_by(2).collect();
        // A key has a tag, by which it is spread, before the id.
        let kinds = words.iter().map(|word| word.rsplit_once("}:").map_or(*word, |(_, kind)| kind).replace(id, "ID"));
        kinds.collect::<Vec<_>>().join(" ")
    });
    words.collect()
}

#[tokio::test]
async fn a_strangers_question_reads_the_same_whether_there_is_a_call_or_not() {
    let Some(server) = RedisServer::shared().await else { return };
    let fleet = Fleet::proxied(server, CONFIG).await;
    let gateway = &fleet[0];
    let phone = gateway.iphone("bob", "iphone-1").await;
    let mut calls = Vec::new();
    for caller in ["alice", "carol"] {
        let mut invited = gateway.invite(caller, "bob").await;
        let (call, room) = (invited["call"]["id"].take(), invited["livekit"]["room"].take());
        if caller == "alice" {
            let ticket = gateway.ticket(&phone, &call).await;
            gateway.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
            gateway.http.post(&path(&call, "recording"), service_bearer(), json!({})).await.expect(202);
            record(&fleet, &call, &room).await;
        }
        calls.push(call);
    }
    let nothing = json!(gateway.clock.call_id());
    for route in &routes() {
        let here = format!("{} {}", route.0, route.1);
        let mut asked = Vec::new();
        for call in calls.iter().chain([&nothing]) {
            // What the gateway does for the call meanwhile counts in, so the fewest of several tries is the truth.
            let mut tries = Vec::new();
            for _ in 0..TRIES {
                fleet.proxy(0).record();
                let reply = ask(gateway, "erin", call, route).await;
                assert!((400..500).contains(&reply.status), "{here}: {}", reply.text);
                tries.push(commands(&fleet.proxy(0).recorded(), call));
            }
            asked.push(tries.into_iter().min_by_key(Vec::len).expect("tries"));
        }
        // What is not for users reads nothing.
        assert_eq!(asked[0].is_empty(), route.1 == "explain", "{here}: {asked:?}");
        assert!(asked.iter().all(|one| *one == asked[0]), "{here}: {asked:?}");
    }
}
