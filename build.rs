//! Tells the program which compiler it is built by (`bellwire_build_info`).

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let said = Command::new(rustc).arg("--version").output().ok();
    let said = said.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    // "rustc 1.95.0 (59807616e 2026-04-14)"
    println!("cargo:rustc-env=BELLWIRE_RUSTC={}", said.split_whitespace().nth(1).unwrap_or("unknown"));
}
