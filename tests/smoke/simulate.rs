//! `bellwire simulate` by its file of rules and its control port.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::process::{PATIENCE, Running, field, http, run, stderr};

fn control(simulator: &Running) -> String {
    field(&simulator.line("ready "), "control").trim_start_matches("http://").to_owned()
}

fn lines(control: &str) -> Vec<String> {
    let (status, body) = http(control, "GET", "/rules", "", &Value::Null);
    assert_eq!(status, 200, "{body}");
    let rules = body["rules"].as_array().expect("a list");
    rules.iter().map(|rule| rule["line"].as_str().expect("a line").to_owned()).collect()
}

#[test]
fn a_file_of_rules_is_read_and_read_again_when_it_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |text: &str| fs::write(folder.path().join("rules.toml"), text).expect("written");
    write("[[rule]]\nline = \"apns 503\"\n");
    let arguments = ["simulate", "--rules", "rules.toml", "--rule", "fcm 429", "--control", "127.0.0.1:0", "--quiet"];
    let mut simulator = Running::start(folder.path(), &arguments);
    let control = control(&simulator);
    assert_eq!(lines(&control), ["fcm QUOTA_EXCEEDED", "apns ServiceUnavailable"]);
    let (status, _) = http(&control, "POST", "/rules", "", &json!({"line": "oauth 500"}));
    assert_eq!(status, 201);

    write("[[rule]]\nprovider = \"apns\"\nfault = \"reset\"\nshare = 10\n");
    let changed = ["fcm QUOTA_EXCEEDED", "oauth internal_failure", "10% of apns reset"];
    let started = Instant::now();
    while lines(&control) != changed {
        assert!(started.elapsed() < PATIENCE, "{:?}", lines(&control));
        sleep(Duration::from_millis(50));
    }
    simulator.signal("TERM");
    assert_eq!(simulator.end().0.code(), Some(0));
}

#[test]
fn a_change_that_is_wrong_is_told_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |text: &str| fs::write(folder.path().join("rules.toml"), text).expect("written");
    write("[[rule]]\nline = \"apns 503\"\n");
    let arguments = ["simulate", "--rules", "rules.toml", "--control", "127.0.0.1:0"];
    let simulator = Running::start(folder.path(), &arguments);
    let control = control(&simulator);
    write("[[rule]]\nline = \"apns 503\"\nshare = 10\n");
    let told = simulator.error_line("bellwire: the rules stay as they were: ");
    assert!(told.starts_with("rules.toml: line 3: share: "), "{told}");
    assert_eq!(lines(&control), ["apns ServiceUnavailable"]);
}

#[test]
fn what_is_wrong_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("rules.toml"), "[[rule]]\nprovider = \"apns\"\nfualt = 503\n").expect("written");
    for (arguments, said) in [
        (&["simulate", "--rules", "rules.toml"][..], "rules.toml: line 3: fualt: expected one of id, line, provider"),
        (&["simulate", "--rules", "none.toml"], "none.toml: No such file"),
        (&["simulate", "--control", "0.0.0.0:0"], "--control-from-anywhere"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
    assert_eq!(run(folder.path(), &["simulate", "--rule", "apns 503 often"]).status.code(), Some(2));
}
