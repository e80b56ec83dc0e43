//! The commands that print and end: `--version`, `openapi`, `token`, `check`, and calls that are wrong.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::process::{run, stderr, stdout};

/// A configuration without push; `more` goes to its end.
pub fn write_config(folder: &Path, more: &str) -> PathBuf {
    let text = format!(
        r#"
        [http]
        listen = "127.0.0.1:0"
        ops_listen = "127.0.0.1:0"
        [store]
        url = "embedded:calls.redb"
        [[auth.users]]
        issuer = "smoke"
        audience = "bellwire"
        algorithm = "HS256"
        secret = "a-secret-of-the-identity-provider-00"
        name_claim = "name"
        {more}
        "#
    );
    let path = folder.join("bellwire.toml");
    fs::write(&path, text).expect("the configuration file");
    path
}

pub const TICKETS: &str = "[auth]\nticket_secret = \"a-secret-for-the-tickets-of-the-tests\"\n";

#[test]
fn version_and_help_go_to_stdout() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = run(folder.path(), &["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(stdout(&version), format!("bellwire {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["serve", "check", "explain", "push-test", "token", "simulate", "demo", "openapi"] {
        assert!(stdout(&help).contains(command), "{command}");
    }
}

#[test]
fn a_wrong_call_exits_2_and_says_so_on_stderr() {
    let folder = tempfile::tempdir().expect("a folder");
    for args in
        [&["ring"][..], &[], &["serve", "--port", "1"], &["demo", "--json", "--serve"], &["demo", "--rule", "x"]]
    {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert_ne!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn openapi_is_a_document_with_the_paths() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(folder.path(), &["openapi"]);
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{}", document["openapi"]);
    for path in ["/v1/calls", "/v1/calls/{id}/answer", "/v1/devices/{device_id}", "/v1/events"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}

#[test]
fn every_ticket_secret_is_another_and_long_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = stdout(&run(folder.path(), &["token", "ticket-secret"]));
    let other = stdout(&run(folder.path(), &["token", "ticket-secret"]));
    assert!(one.trim().len() >= 32, "{one}");
    assert_ne!(one, other);
}

#[test]
fn a_user_token_needs_a_configured_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("bellwire.toml"), TICKETS).expect("the configuration file");
    let output = run(folder.path(), &["token", "user", "alice", "--config", "bellwire.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("[[auth.users]]"), "{}", stderr(&output));
}

#[test]
fn check_prints_what_is_in_force_without_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let livekit = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = livekit.local_addr().expect("an address");
    let more = format!(
        "{TICKETS}[livekit]\nurl = \"ws://{address}\"\napi_secret = \"the-secret-of-livekit\"\nrooms = false\n[limits]\ninvites_per_pair = \"\"\n"
    );
    write_config(folder.path(), &more);

    let good = run(folder.path(), &["check", "--config", "bellwire.toml"]);
    let text = stdout(&good);
    assert_eq!(good.status.code(), Some(0), "{text}{}", stderr(&good));
    for line in ["http.listen = \"127.0.0.1:0\"", "auth.ticket_secret = (secret)", "livekit.api_secret = (secret)"] {
        assert!(text.lines().any(|found| found.replace('"', "") == line.replace('"', "")), "{line} in {text}");
    }
    for secret in ["a-secret-of-the-identity", "a-secret-for-the-tickets", "the-secret-of-livekit"] {
        assert!(!text.contains(secret) && !stderr(&good).contains(secret), "{secret}");
    }
    for what in ["ok    store", "ok    auth.ticket_secret", "ok    livekit"] {
        assert!(text.lines().any(|line| line.starts_with(what)), "{what} in {text}");
    }
    assert!(text.contains("note  limits: there is none of invites_per_pair\n"), "{text}");
    assert!(!text.contains("FAIL"), "{text}");

    drop(livekit);
    let bad = run(folder.path(), &["check", "--config", "bellwire.toml"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stdout(&bad).lines().any(|line| line.starts_with("FAIL  livekit")), "{}", stdout(&bad));
    assert!(stderr(&bad).contains("1 of the checks failed"), "{}", stderr(&bad));
}
