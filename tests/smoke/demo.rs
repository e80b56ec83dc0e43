//! `bellwire demo`: sees everything, says so in both forms, names what it did not see, and leaves nothing behind.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::process::{Running, bellwire, field, http, run, stderr, stdout};

fn assert_empty(folder: &Path) {
    let left: Vec<_> = folder.read_dir().expect("a folder").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// An address that is free now, by a port that the system gives to no outgoing connection: it stays free until a gateway takes it.
fn free_address() -> SocketAddr {
    let addresses =
        (20_000..30_000).cycle().skip(std::process::id() as usize % 10_000).map(|port| ([127, 0, 0, 1], port));
    let free = addresses.map(SocketAddr::from).find(|address| TcpListener::bind(address).is_ok());
    free.expect("a free port")
}

/// A JWT, or enough of one to be used: three parts of base64url, the last a whole signature.
fn has_token(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    text.split(|c| !word(c)).any(|word| word.starts_with("eyJ") && word.split('.').count() == 3)
}

/// The JSON that a printed line would have curl send, after a shell has taken its quotes apart.
fn in_a_shell(line: &str) -> Value {
    let script = format!("curl() {{ for last; do :; done; printf %s \"$last\"; }}; {line}");
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    assert!(output.status.success(), "{line}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn as_json_it_is_one_document_in_which_everything_was_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path(), &["demo", "--json"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let document: Value = serde_json::from_str(&text).expect("one JSON document");
    assert_eq!(document["ok"], true);
    let list = |name: &str| document[name].as_array().expect("a list").clone();

    let checks = list("checks");
    assert!(checks.len() > 30, "{}", checks.len());
    assert!(checks.iter().all(|check| check["ok"] == true && check["name"].is_string()), "{checks:?}");
    let ends: Vec<_> = list("calls").iter().map(|call| call["call"]["end_reason"].clone()).collect();
    assert_eq!(ends, ["completed", "timed_out", "declined"]);

    let pushes = list("pushes");
    let find = |device: &str, kind: &str, reason: Option<&str>| {
        let data = |push: &Value| match push["provider"].as_str() {
            Some("fcm") => push["body"]["message"]["data"].clone(),
            _ => push["body"].clone(),
        };
        let found = pushes.iter().find(|push| {
            push["device_id"] == device && data(push)["type"] == kind && data(push)["reason"].as_str() == reason
        });
        found.unwrap_or_else(|| panic!("no {kind} {reason:?} push to {device} in {pushes:?}"))
    };
    let apns = find("bobs-iphone", "ring", None);
    assert_eq!(apns["headers"]["apns-push-type"], "voip");
    assert_eq!(apns["headers"]["apns-topic"], "com.example.phone.voip");
    assert_eq!(apns["headers"]["authorization"], "bearer …");
    let fcm = find("bobs-pixel", "ring", None);
    assert_eq!(fcm["headers"]["authorization"], "Bearer …");
    assert_eq!(fcm["body"]["message"]["android"]["priority"], "HIGH");
    find("bobs-pixel", "cancel", Some("answered_elsewhere"));
    find("bobs-iphone", "cancel", Some("declined_elsewhere"));
    find("bobs-iphone", "missed", None);
    find("bobs-pixel", "missed", None);
    assert!(apns["body"]["ticket"].as_str().is_some_and(|ticket| ticket.contains('…')), "{apns}");
    assert!(!has_token(&text), "a whole token in {text}");
    assert_empty(folder.path());
}

#[test]
fn for_people_it_is_plain_text_with_a_timeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path(), &["demo"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for part in ["Call 1: ", "Call 2: ", "Call 3: ", "apns-push-type: voip", "\"priority\": \"HIGH\"", "Timeline"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.trim_end().ends_with("expectations were seen."), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("MISSING") && !has_token(&text), "{text}");
    assert_empty(folder.path());
}

#[test]
fn what_was_not_seen_is_named_and_makes_it_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    // Side by side, since each waits for the push as long as one may take.
    let mut people = Running::start(folder.path(), &["demo", "--rule", "fcm 404"]);
    let mut json = Running::start(folder.path(), &["demo", "--json", "--rule", "fcm 404"]);
    let missing = "call 1: a ring push to Bob's Pixel is accepted on the wire";

    let (status, lines, stderr) = people.end();
    assert_eq!(status.code(), Some(1));
    assert!(lines.iter().any(|line| line.contains("MISSING") && line.contains(missing)), "{lines:?}");
    assert!(stderr.iter().any(|line| line.contains(missing)), "{stderr:?}");

    let (status, lines, stderr) = json.end();
    assert_eq!(status.code(), Some(1));
    let document: Value = serde_json::from_str(&lines.join("\n")).expect("one JSON document");
    assert_eq!(document["ok"], false);
    let checks = document["checks"].as_array().expect("a list");
    let check = checks.iter().find(|check| check["name"] == missing).expect("the check");
    assert_eq!((&check["ok"], &check["found"]), (&json!(false), &json!("answered 404 UNREGISTERED")));
    assert!(stderr.iter().any(|line| line.contains(missing)), "{stderr:?}");
    assert_empty(folder.path());
}

#[test]
fn interrupted_it_fails_and_cleans_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(folder.path(), &["demo"]);
    demo.line("Call 2: ");
    demo.signal("INT");
    let (status, _, stderr) = demo.end();
    assert_eq!(status.code(), Some(1));
    assert!(stderr.iter().any(|line| line.contains("interrupted")), "{stderr:?}");
    assert_empty(folder.path());
}

#[test]
fn served_it_goes_on_and_shows_what_to_do_with_each_push() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Running::start(folder.path(), &["demo", "--serve"]);
    let api = demo.line("URL=http://");
    let alice = demo.line("ALICE=");
    let bob = demo.line("BOB=");
    let registration = in_a_shell(&format!("URL=http://{api} curl -X PUT {}", demo.line("curl -X PUT ")));
    assert_eq!(registration["platform"], "ios");
    let (status, body) = http(&api, "GET", "/v1/devices", &bob, &Value::Null);
    assert_eq!((status, body["devices"].as_array().map(Vec::len)), (200, Some(2)), "{body}");
    let (status, invited) = http(&api, "POST", "/v1/calls", &alice, &json!({"callee": "bob", "media": "video"}));
    assert_eq!(status, 201, "{invited}");
    let (ticket, call) = (demo.line("TICKET="), demo.line("CALL="));
    assert_eq!(invited["call"]["id"], call);
    let (status, answered) = http(&api, "POST", &format!("/v1/calls/{call}/answer"), &ticket, &json!({}));
    assert_eq!((status, &answered["call"]["state"]), (200, &json!("active")), "{answered}");
    demo.signal("INT");
    let (status, _, stderr) = demo.end();
    assert_eq!(status.code(), Some(0), "{stderr:?}");
    assert_empty(folder.path());
}

#[test]
fn it_calls_through_a_gateway_that_was_started_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = free_address();
    let (url, file) = (format!("http://{free}"), folder.path().join("stage/bellwire.toml"));
    let mut demo = Running::start(folder.path(), &["demo", "--gateway", &url, "--folder", "stage"]);
    demo.error_line("bellwire: waiting for a gateway");
    let listen =
        [("BELLWIRE__HTTP__LISTEN", free.to_string()), ("BELLWIRE__HTTP__OPS_LISTEN", "127.0.0.1:0".to_owned())];
    let gateway = Running::spawn(bellwire(folder.path(), &["serve", "--config", "stage/bellwire.toml"]).envs(listen));
    let ops = format!("http://{}", field(&gateway.line("ready "), "ops"));
    for ask in [&["health", "--url", &ops][..], &["health", "--ready", "--url", &ops][..]] {
        assert_eq!(run(folder.path(), ask).status.code(), Some(0), "{ask:?}");
    }
    let (status, lines, errors) = demo.end();
    assert!(status.success(), "{lines:?} {errors:?}");
    assert!(lines.iter().any(|line| line.ends_with("expectations were seen.")), "{lines:?}");
    assert!(file.exists(), "its folder stays");
    drop(gateway);
    let gone = run(folder.path(), &["health", "--url", &ops]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("cannot reach the gateway"), "{}", stderr(&gone));
}
