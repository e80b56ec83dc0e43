//! `bellwire serve` and `bellwire simulate`: ready lines, refusals to start, gentle ends, and a ring from one to the other.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{Running, bellwire, field, http, run, stderr, stdout};
use super::simple::{TICKETS, write_config};

const SERVE: [&str; 4] = ["serve", "--without-push", "--config", "bellwire.toml"];

fn user_token(folder: &std::path::Path, user: &str) -> String {
    let output = run(folder, &["token", "user", user, "--name", "Alice", "--config", "bellwire.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[test]
fn a_broken_configuration_is_refused_with_every_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = r#"
        colour = "red"
        [http]
        listen = "everywhere"
        [call]
        ring = "1h"
        [auth]
        ticket_secret = "too-short-and-not-to-be-seen"
    "#;
    fs::write(folder.path().join("bellwire.toml"), broken).expect("the configuration file");
    let output = run(folder.path(), &["serve", "--config", "bellwire.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    for key in ["colour", "http.listen", "call.ring", "auth.ticket_secret"] {
        assert!(stderr(&output).contains(key), "{key} in {}", stderr(&output));
    }
    assert!(!stderr(&output).contains("too-short"), "{}", stderr(&output));
    let output = run(folder.path(), &["serve", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nowhere.toml"), "{}", stderr(&output));
}

#[test]
fn a_gateway_has_the_threads_that_it_is_to_have() {
    let folder = tempfile::tempdir().expect("a folder");
    write_config(folder.path(), TICKETS);
    let serve = |threads: &str| {
        let mut command = bellwire(folder.path(), &SERVE);
        command.env("TOKIO_WORKER_THREADS", threads);
        command
    };
    // Beside these it has some for the log, the store and files.
    for (threads, are_many) in [("1", false), ("16", true)] {
        let gateway = Running::spawn(&mut serve(threads));
        gateway.line("ready ");
        assert_eq!(gateway.threads() > 16, are_many, "{} with {threads}", gateway.threads());
    }
    for threads in ["0", "many"] {
        let output = serve(threads).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(2), "{threads}");
        assert!(stderr(&output).contains("TOKIO_WORKER_THREADS must be"), "{}", stderr(&output));
    }
}

#[test]
fn serve_says_where_it_is_ready_and_ends_by_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    write_config(folder.path(), TICKETS);
    let mut gateway = Running::start(folder.path(), &SERVE);
    let ready = gateway.line("ready ");
    let (api, ops) = (field(&ready, "http"), field(&ready, "ops"));
    assert_eq!(ready, format!("http={api} ops={ops}"));
    for address in [&api, &ops] {
        let port: u16 = address.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok()).expect("a port");
        assert_ne!(port, 0);
        let (status, body) = http(address, "GET", "/readyz", "", &Value::Null);
        assert_eq!((status, &body["ready"]), (200, &json!(true)), "{body}");
    }

    // An open event stream must not hold it up.
    let mut events = TcpStream::connect(&api).expect("a connection");
    let token = user_token(folder.path(), "alice");
    write!(
        events,
        "GET /v1/events HTTP/1.1\r\nhost: {api}\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .expect("a request");
    let mut start = [0; 12];
    events.read_exact(&mut start).expect("an answer");
    assert_eq!(&start, b"HTTP/1.1 200");

    let asked = Instant::now();
    gateway.signal("TERM");
    let (status, stdout, stderr) = gateway.end();
    assert_eq!(status.code(), Some(0), "{stderr:?}");
    assert!(asked.elapsed() < Duration::from_secs(15), "within the default of http.shutdown_grace");
    assert_eq!(stdout, Vec::<String>::new());
}

#[test]
fn serve_without_a_provider_must_be_asked_for_and_says_what_cannot_ring() {
    let folder = tempfile::tempdir().expect("a folder");
    write_config(folder.path(), TICKETS);
    let output = run(folder.path(), &["serve", "--config", "bellwire.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("--without-push"), "{}", stderr(&output));

    let mut gateway = Running::start(folder.path(), &SERVE);
    gateway.line("ready ");
    gateway.signal("INT");
    let (status, _, stderr) = gateway.end();
    assert_eq!(status.code(), Some(0));
    for platform in ["ios devices cannot be rung", "android devices cannot be rung"] {
        assert!(stderr.iter().any(|line| line.contains(platform)), "{platform} in {stderr:?}");
    }
}

#[test]
fn a_service_key_is_accepted_by_its_hash() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = stdout(&run(folder.path(), &["token", "service-key"]));
    let last = |line: Option<&str>| line.and_then(|line| line.split_whitespace().last()).expect("a word").to_owned();
    let mut lines = output.lines();
    let (key, hash) = (last(lines.next()), last(lines.next()));
    assert!(key.starts_with("bw_sk_"), "{key}");
    write_config(folder.path(), &format!("{TICKETS}service_keys = [{hash}]\n"));
    let gateway = Running::start(folder.path(), &SERVE);
    let api = field(&gateway.line("ready "), "http");
    let bans = |key: &str| http(&api, "GET", "/v1/bans", key, &Value::Null).0;
    assert_eq!(bans(&key), 200);
    assert_eq!(bans(&format!("{key}x")), 401);
}

/// A pipe takes 64 KiB, which is a few hundred lines.
#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = stdout(&run(folder.path(), &["token", "service-key"]));
    let [key, hash] = [0, 1].map(|line| output.lines().nth(line).and_then(|line| line.split_whitespace().last()));
    write_config(folder.path(), &format!("{TICKETS}service_keys = [{}]\n", hash.expect("a hash")));
    let mut gateway = Running::unread(folder.path(), &SERVE);
    let api = field(&gateway.line("ready "), "http");
    for _ in 0..1000 {
        assert_eq!(http(&api, "GET", "/v1/bans", key.expect("a key"), &Value::Null).0, 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.end().0.code(), Some(0));
}

#[test]
fn a_gateway_rings_at_the_simulator_with_the_credentials_that_it_wrote() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut simulator = Running::start(folder.path(), &["simulate", "--credentials", "keys"]);
    let ready = simulator.line("ready ");
    let value = |name| field(&ready, name);
    let apns = format!(
        "{TICKETS}[[push.apns]]\napp = \"com.example.phone\"\nenvironment = \"production\"\nteam_id = \"{}\"\n\
         key_id = \"{}\"\nkey_file = \"{}\"\nendpoint = \"{}\"\nca_file = \"{}\"\n",
        value("team_id"),
        value("key_id"),
        value("key_file"),
        value("apns"),
        value("ca_file"),
    );
    write_config(folder.path(), &apns);
    let mut gateway = Running::start(folder.path(), &["serve", "--config", "bellwire.toml"]);
    let api = field(&gateway.line("ready "), "http");
    let device = json!({"platform": "ios", "app": "com.example.phone", "voip_token": "ab".repeat(32)});
    let (status, body) = http(&api, "PUT", "/v1/devices/iphone-1", &user_token(folder.path(), "bob"), &device);
    assert_eq!(status, 200, "{body}");
    let invite = json!({"callee": "bob", "media": "audio"});
    let (status, body) = http(&api, "POST", "/v1/calls", &user_token(folder.path(), "alice"), &invite);
    assert_eq!(status, 201, "{body}");

    let push: Value = serde_json::from_str(&format!("{{{}", simulator.line("{"))).expect("JSON");
    assert_eq!((&push["provider"], &push["status"]), (&json!("apns"), &json!(200)), "{push}");
    assert_eq!(push["headers"]["apns-push-type"], "voip");
    assert_eq!(push["headers"]["authorization"], "bearer …");
    assert_eq!(push["body"]["call_id"], body["call"]["id"]);
    assert_eq!(push["body"]["caller_name"], "Alice");

    gateway.signal("TERM");
    let (status, _, stderr) = gateway.end();
    assert_eq!(status.code(), Some(0), "{stderr:?}");
    assert!(stderr.iter().any(|line| line.contains("android devices cannot be rung")), "{stderr:?}");
    assert!(!stderr.iter().any(|line| line.contains("ios devices cannot be rung")), "{stderr:?}");
    simulator.signal("TERM");
    assert_eq!(simulator.end().0.code(), Some(0));
}
