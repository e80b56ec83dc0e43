//! What a gateway logs of a call, against the tables of docs/LOGGING.md; and that no secret is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};

use crate::support::people::path;
use crate::support::{Http, Process, SERVICE_KEY, SOON, Stage, USER_SECRET, bearer, service_bearer};

/// What every line has.
const ALWAYS: [&str; 4] = ["timestamp", "level", "target", "message"];

/// The fields that docs/LOGGING.md lists under the heading of a line.
fn listed(heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LOGGING.md")).expect("a file");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("a heading");
    let section = rest.split("\n## ").next().expect("a section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// The lines so far, each as its fields.
fn lines(stage: &Stage<Process>) -> Vec<BTreeMap<String, Value>> {
    stage.told().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

/// The lines once there is one like this.
async fn until(stage: &Stage<Process>, is_there: impl Fn(&BTreeMap<String, Value>) -> bool) {
    let wait = async {
        while !lines(stage).iter().any(&is_there) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("it is not in {}", stage.told()));
}

#[tokio::test]
async fn a_call_is_told_of_line_by_line_and_without_a_secret() {
    let stage = Stage::of_process("[telemetry]\nlog_level = \"debug\"\nlog_format = \"json\"").await;
    let (iphone, pixel) = (stage.iphone("bob", "iphone-1").await, stage.pixel("bob", "pixel-1").await);
    let body = json!({"callee": "bob", "media": "audio", "metadata": {"secret-word": "in-the-metadata"}}).to_string();
    let request = stage.http.request(Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
    let traced = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = request.header("content-type", "application/json").header("traceparent", traced).body(body);
    let invited = Http::send(request).await;
    let id = invited.headers["x-request-id"].to_str().expect("text").to_owned();
    let invited = invited.expect(201);
    let call = &invited["call"]["id"];
    let ticket = stage.ring(&iphone, call).await;
    let other_ticket = stage.ticket(&pixel, call).await;
    let answered = stage.answer(&iphone, call).await;
    let late = stage.http.post(&path(call, "answer"), &other_ticket, json!({})).await;
    late.expect_problem(409, "answered-elsewhere");
    stage.http.get(&path(call, ""), service_bearer()).await.expect(200);
    stage.http.get(&format!("/v1/calls/{ticket}"), &bearer("alice")).await.expect_problem(400, "invalid-path");
    stage.http.get(&format!("/{ticket}"), &ticket).await.expect_problem(404, "not-found");
    stage.http.get("/livez", "").await;
    stage.http.post(&path(call, "hangup"), &bearer("alice"), json!({})).await.expect(200);
    until(&stage, |line| line["message"] == "turn" && line["to"] == "ended").await;
    until(&stage, |line| line.get("route").is_some_and(|route| route == "/v1/calls/{id}/hangup")).await;

    let lines = lines(&stage);
    let of = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    for (heading, message) in [("A request", "request"), ("A turn of a call", "turn"), ("A push", "pushed")] {
        let seen: BTreeSet<String> =
            of(message).flat_map(BTreeMap::keys).filter(|key| !ALWAYS.contains(&key.as_str())).cloned().collect();
        assert_eq!(seen, listed(heading), "of {message}");
    }

    // One line of each request, the probe's below what is shown by default.
    let invites: Vec<_> = of("request").filter(|line| line.get("request_id") == Some(&json!(id))).collect();
    let [invite] = invites[..] else { panic!("{invites:?}") };
    assert_eq!((&invite["method"], &invite["route"]), (&json!("POST"), &json!("/v1/calls")));
    assert_eq!((&invite["status"], &invite["who"], &invite["call_id"]), (&json!(201), &json!("user"), call));
    assert_eq!(invite["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert!(invite["took_ms"].as_f64().is_some_and(|took| took > 0.0 && took < 60_000.0), "{invite:?}");
    let one = |key: &str, value: &str| {
        of("request")
            .find(|line| line.get(key).is_some_and(|found| found == value))
            .unwrap_or_else(|| panic!("no {value}"))
    };
    let late = one("code", "answered-elsewhere");
    assert_eq!((&late["status"], &late["who"], &late["call_id"]), (&json!(409), &json!("ticket"), call));
    assert_eq!(one("code", "invalid-path")["who"], "user");
    let lost = one("code", "not-found");
    assert_eq!((lost.get("route"), &lost["who"]), (None, &json!("none")));
    assert_eq!(one("route", "/livez")["level"], "DEBUG");
    assert!(of("request").any(|line| line["who"] == "service"));
    let others = of("request").filter(|line| line.get("route").is_none_or(|route| route != "/livez"));
    assert!(others.into_iter().all(|line| line["level"] == "INFO"));

    // One line of each turn, in order.
    let turns: Vec<_> = of("turn").filter(|line| line["call_id"] == *call).collect();
    for (place, turn) in turns.iter().enumerate() {
        assert_eq!(turn["revision"], place + 1, "{turn:?}");
    }
    assert_eq!((&turns[0]["inputs"], turns[0].get("from")), (&json!("invite"), None));
    assert_eq!((&turns[0]["to"], &turns[0]["tasks"]), (&json!("calling"), &json!("ring, ring")));
    let turn = |input: &str| {
        let has =
            |line: &&&BTreeMap<String, Value>| line["inputs"].as_str().is_some_and(|inputs| inputs.contains(input));
        *turns.iter().find(has).unwrap_or_else(|| panic!("no {input} in {turns:?}"))
    };
    assert_eq!((&turn("answer")["from"], &turn("answer")["to"]), (&json!("ringing"), &json!("active")));
    assert_eq!((&turn("hang up")["to"], &turn("hang up")["end_reason"]), (&json!("ended"), &json!("completed")));

    let livekit = [&invited, &answered].map(|answer| answer["livekit"]["token"].as_str().expect("a token"));
    let mut secrets =
        vec![bearer("alice"), bearer("bob"), USER_SECRET.into(), SERVICE_KEY.into(), ticket, other_ticket];
    secrets.extend(livekit.map(str::to_owned));
    secrets.push("in-the-metadata".to_owned());
    for phone in [iphone, pixel] {
        secrets.extend([phone.ring_token, phone.notice_token]);
    }
    let told = stage.told();
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret} is in {told}");
    }
}

#[tokio::test]
async fn what_strangers_may_send_without_a_limit_has_no_line_and_so_no_id() {
    let stage = Stage::of_process("[telemetry]\nlog_level = \"info\"\nlog_format = \"json\"").await;
    let webhook = "/v1/livekit/webhook";
    for (method, path) in [(Method::GET, webhook), (Method::POST, webhook), (Method::OPTIONS, "/v1/calls")] {
        let answer = Http::send(stage.http.request(method, path)).await;
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        assert!(!answer.headers.contains_key("x-request-id"), "{path}");
    }
    let body = json!({"callee": "bob", "media": "audio"}).to_string();
    let invite = stage.http.request(Method::POST, "/v1/calls").bearer_auth(bearer("alice"));
    let not_kept = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let invite = invite.header("content-type", "application/json").header("traceparent", not_kept).body(body);
    let id = json!(Http::send(invite).await.headers["x-request-id"].to_str().expect("text"));
    until(&stage, |line| line["message"] == "turn").await;
    until(&stage, |line| line["message"] == "request").await;
    let lines = lines(&stage);
    let requests: Vec<_> = lines.iter().filter(|line| line["message"] == "request").collect();
    assert!(matches!(requests[..], [invite] if invite["request_id"] == id), "{requests:?}");
    assert!(lines.iter().all(|line| !line.contains_key("trace_id")), "of a trace that nobody keeps: {lines:?}");
}
