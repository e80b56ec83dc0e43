//! Answers to the policy question that were made to harm: none holds a caller up, fills memory, leads elsewhere or lets a call through.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::raw::{Act, Raw, answer};
use super::section;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Reply, SOON, Stage, bearer};

const TIMEOUT: &str = "timeout = \"5s\"";

async fn invite(stage: &Stage, caller: &str) -> Reply {
    let token = bearer(caller);
    let invite = stage.http.post("/v1/calls", &token, json!({"callee": "bob", "media": "audio"}));
    timeout(SOON, invite).await.unwrap_or_else(|_| panic!("{caller} waits"))
}

/// Answers that are none, and what they are counted as.
fn no_answers() -> Vec<(&'static str, Act, &'static str)> {
    let say = |body: &str| Act::Say(answer("200 OK", "", body));
    let status = |status: &str| Act::Say(answer(status, "", r#"{"allow": true}"#));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let padded = format!("{{\"allow\": true, \"x\": \"{}\"}}", "x".repeat(4096));
    vec![
        ("huge", Act::Flood(head.into(), format!("1000\r\n{}\r\n", "x".repeat(4096))), "too_long"),
        ("a bit too long", say(&padded), "too_long"),
        ("long by its header", Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".into()), "timeout"),
        (
            "endless headers",
            Act::Flood("HTTP/1.1 200 OK\r\n".into(), "x-y: zzzzzzzzzzzzzzzzzzzzzz\r\n".repeat(1000)),
            "unreachable",
        ),
        ("slow head", Act::Drip("HTTP/1.1 200 OK\r\nx:".into(), Duration::from_millis(50)), "timeout"),
        (
            "slow body",
            Act::Drip("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n".into(), Duration::from_millis(50)),
            "timeout",
        ),
        ("silence", Act::Nothing, "timeout"),
        ("reset", Act::Reset, "unreachable"),
        ("no HTTP", Act::Say("SSH-2.0-OpenSSH_9.2p1\r\n".into()), "unreachable"),
        ("no JSON", say("<html>allow: true</html>"), "bad_answer"),
        ("nothing", say(""), "bad_answer"),
        ("half of it", say(r#"{"allow": tr"#), "bad_answer"),
        ("more behind it", say(r#"{"allow": true}{"allow": true}"#), "bad_answer"),
        ("another type", say(r#"{"allow": "true"}"#), "bad_answer"),
        ("a number", say(r#"{"allow": 1}"#), "bad_answer"),
        ("an array", say("[true]"), "bad_answer"),
        ("null", say("null"), "bad_answer"),
        ("no word", say("{}"), "bad_answer"),
        ("two words", say(r#"{"allow": false, "allow": true}"#), "bad_answer"),
        ("deep", say(&"[".repeat(4000)), "bad_answer"),
        ("no content", Act::Say("HTTP/1.1 204 No Content\r\n\r\n".into()), "bad_status"),
        ("created", status("201 Created"), "bad_status"),
        ("forbidden", status("403 Forbidden"), "bad_status"),
        ("failed", status("500 Internal Server Error"), "bad_status"),
    ]
}

/// Little where it runs out, and else so much that it does not.
fn time_for(outcome: &str) -> &'static str {
    if outcome == "timeout" { "timeout = \"1s\"" } else { TIMEOUT }
}

#[tokio::test]
async fn what_is_no_answer_lets_no_call_through() {
    for (name, act, outcome) in no_answers() {
        let raw = Raw::start(act).await;
        let stage = Stage::with(&section(&raw.url, time_for(outcome))).await;
        stage.pixel("bob", "pixel-1").await;
        let problem = invite(&stage, "alice").await;
        assert_eq!(problem.status, 503, "{name}: {}", problem.text);
        let problem = problem.expect_problem(503, "policy-unavailable");
        assert!(!problem.to_string().contains("127.0.0.1"), "{name}: {problem}");
        assert!(super::nothing_rang(&stage), "{name}");
        let detail = trouble(&stage).await;
        assert!(detail.contains(&format!(": {outcome};")), "{name}: {detail}");
    }
}

#[tokio::test]
async fn where_it_fails_open_calls_go_on_without_an_answer() {
    for (name, act, outcome) in no_answers().into_iter().step_by(5) {
        let raw = Raw::start(act).await;
        let stage = Stage::with(&section(&raw.url, &format!("{}\non_failure = \"open\"", time_for(outcome)))).await;
        stage.pixel("bob", "pixel-1").await;
        assert_eq!(invite(&stage, "alice").await.expect(201)["call"]["state"], "calling", "{name}");
        let detail = trouble(&stage).await;
        assert!(detail.ends_with(&format!(": {outcome}; calls go on without")), "{name}: {detail}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::answering(|_, _| super::allowed()).await;
    for status in [301_u16, 302, 303, 307, 308] {
        let url = elsewhere.url.clone();
        let receiver = Receiver::answering(move |_, _| Answer::With(status, "location", url.clone())).await;
        let stage = super::stage(&receiver, "").await;
        invite(&stage, "alice").await.expect_problem(503, "policy-unavailable");
        assert_eq!(receiver.all().len(), 1);
    }
    assert!(elsewhere.all().is_empty(), "nobody else is asked");
}

/// Fields to come do not break an older gateway.
#[tokio::test]
async fn fields_that_are_not_known_are_passed_over() {
    let raw =
        Raw::start(Act::Say(answer("200 OK", "", r#"{"allow": true, "reason": null, "score": {"of": [1]}}"#))).await;
    let stage = Stage::with(&section(&raw.url, TIMEOUT)).await;
    invite(&stage, "alice").await.expect(201);
}

#[tokio::test]
async fn connections_are_kept() {
    let raw = Raw::start(Act::Say(answer("200 OK", "", r#"{"allow": true}"#))).await;
    let stage = Stage::with(&section(&raw.url, TIMEOUT)).await;
    for number in 0..5 {
        invite(&stage, &format!("caller-{number}")).await.expect(201);
    }
    assert_eq!((raw.asked(), raw.connected()), (5, 1));
}

/// Of a hundred that call at once while nobody answers, as many wait as may, and the others hear at once that it cannot be known.
#[tokio::test]
async fn a_slow_policy_does_not_pile_up_questions() {
    const CALLERS: usize = 100;
    let raw = Raw::start(Act::Nothing).await;
    let stage = Stage::with(&section(&raw.url, "timeout = \"5s\"")).await;
    let mut calls = JoinSet::new();
    for number in 0..CALLERS {
        let (http, caller) = (stage.http.clone(), bearer(&format!("caller-{number}")));
        let body: Value = json!({"callee": "bob", "media": "audio"});
        calls.spawn(async move { http.post("/v1/calls", &caller, body).await });
    }
    while let Some(reply) = calls.join_next().await {
        reply.expect("no panic").expect_problem(503, "policy-unavailable");
    }
    assert!((1..=64).contains(&raw.connected()), "{} were asked at once", raw.connected());
    let metrics = super::metrics(&stage).await;
    let beyond = metrics.contains("bellwire_policy_seconds_count{outcome=\"too_many\"}");
    assert!(beyond, "{metrics}");
}

/// Where calls go on without an answer, nobody gets there by asking so much that there can be none.
#[tokio::test]
async fn invites_of_one_caller_do_not_take_the_turns_of_all() {
    let raw = Raw::start(Act::Nothing).await;
    let stage = Stage::with(&section(&raw.url, &format!("{TIMEOUT}\non_failure = \"open\""))).await;
    stage.pixel("bob", "pixel-1").await;
    let mut calls = JoinSet::new();
    for _ in 0..10 {
        let http = stage.http.clone();
        calls.spawn(async move {
            http.post("/v1/calls", &bearer("alice"), json!({"callee": "bob", "media": "audio"})).await
        });
    }
    let replies = calls.join_all().await;
    let refused = replies.iter().filter(|reply| reply.status == 429 && reply.text.contains("too-many-invites")).count();
    assert_eq!((refused, raw.asked()), (8, 2), "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    let metrics = super::metrics(&stage).await;
    assert!(metrics.contains("bellwire_policy_seconds_count{outcome=\"caller_asks_much\"} 8"), "{metrics}");
}

/// What readiness says of the policy.
async fn trouble(stage: &Stage) -> String {
    let ready = stage.http.get("/readyz", "").await.expect(200);
    let part = ready["parts"].as_array().expect("parts").iter().find(|part| part["name"] == "policy").cloned();
    let part = part.expect("the policy");
    assert_eq!(part["ok"], false, "{part}");
    part["detail"].as_str().expect("text").to_owned()
}
