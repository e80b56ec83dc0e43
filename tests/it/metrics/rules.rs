//! The alerts, by Prometheus's own tool: that it reads them, and that they fire when they are to (`alerts_test.yml`).
//!
//! `BELLWIRE_TEST_PROMTOOL` names the program, or it is on the path (Debian's package `prometheus` has it); where it is neither, tests say
//! SKIPPED.

use std::path::{Path, PathBuf};
use std::process::Command;

fn promtool(arguments: &[&str]) {
    let named = std::env::var_os("BELLWIRE_TEST_PROMTOOL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|path| path.is_file());
    let Some(program) = named.or_else(on_path) else {
        println!("SKIPPED: no promtool on the path, and BELLWIRE_TEST_PROMTOOL is not set");
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_reads_the_rules_and_the_example() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn alerts_fire_when_they_are_to_and_not_before() {
    promtool(&["test", "rules", "alerts_test.yml"]);
}
