//! The rules of the source tree that no compiler checks: who may import whom, and how a file is made.
//!
//! `TABLE` and the lists after it are the rules; docs/ARCHITECTURE.md tells the story behind them. A new edge between two parts is
//! a new line here, with its reason, and so a visible part of a change. Files are read as Rust tokens, so comments and strings
//! never count; what only tests see (`#[cfg(test)]`) may import anything.

#[path = "architecture/logs.rs"]
mod logs;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use source::{Source, everything, imports, read, sources, tokens_of};

/// What one part (a file or folder in `src`) may import beside itself.
struct Row {
    part: &'static str,
    /// `domain` and every leaf.
    leaves: bool,
    /// Other parts, or single modules and items of them.
    also: &'static [&'static str],
}

const fn row(part: &'static str, leaves: bool, also: &'static [&'static str]) -> Row {
    Row { part, leaves, also }
}

/// Parts that anyone above them may use.
const LEAVES: &[&str] = &["clock", "config", "crypto", "lifecycle", "live", "places", "telemetry", "ticket"];

/// The composition root: it puts the parts together, so it may import all of them.
const ROOTS: &[&str] = &["app", "cli", "lib", "main"];

const TABLE: &[Row] = &[
    // The rules of a call: pure, so nothing of ours.
    row("domain", false, &[]),
    // Leaves. They may use the domain's ids and times, and one another only where a reason stands here.
    row("clock", false, &["domain"]),
    row("config", false, &["domain"]),
    row("crypto", false, &["domain"]),
    row("lifecycle", false, &["domain"]),
    row("live", false, &[]),
    row("places", false, &[]),
    row("telemetry", false, &["domain", "config", "clock", "lifecycle"]), // logs are set up as configured; spans have times, random ids and an end
    row("ticket", false, &["domain", "config::Secret", "crypto"]),        // a ticket is a JWT under a configured secret
    // What talks to the outside, each for itself: no store knows of pushes, no push of LiveKit.
    row("store", true, &[]),
    row("push", true, &[]),
    row("livekit", true, &[]),
    row("outbound", true, &[]),
    // Bellwire's stand-in for Apple and Google shares no code with the part that it checks.
    row("simulator", true, &[]),
    // The use cases, and what carries out and wakes up for them.
    row("engine", true, &["store"]),
    row("dispatch", true, &["engine", "push", "livekit", "outbound"]),
    row("scheduler", true, &["engine"]),
    // A handler never sends a push and never reads the store past the engine.
    // A call is shown to the backend alike, whether it asks or is told.
    row("http", true, &["engine", "livekit::storage", "livekit::token", "livekit::webhook", "outbound::record"]),
];

/// Crates whose types stop at one part, so that replacing the crate changes that part alone.
const CONFINED: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("clap", &["cli"]),
    ("crypto_primes", &["simulator"]),
    ("livekit_api", &["livekit", "crypto"]), // `crypto` sets up the one JWT provider before livekit-api can
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("redb", &["store"]),
    ("rusty_s3", &["livekit"]),
    ("jiff", &["livekit"]),
    ("sqlx", &["outbound"]),
];

/// What pure code has no use for.
const IMPURE: &[&str] = &["async", "await", "tokio", "SystemTime", "Instant", "fs", "net", "thread"];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "types", "misc"];

/// The most lines of code (no comments, no blank lines, no tests) in a file.
const LONGEST: usize = 300;

// The tests: each collects every fault that it finds, with file and line.

#[test]
fn parts_import_only_what_their_rows_name() {
    assert_none(&sources("src").iter().flat_map(forbidden_imports).collect::<Vec<_>>());
}

#[test]
fn every_part_has_a_row_and_every_row_a_part() {
    let parts: BTreeSet<_> = sources("src").iter().map(Source::part).collect();
    let rows: BTreeSet<_> = TABLE.iter().map(|row| row.part.to_owned()).collect();
    let parts: BTreeSet<_> = parts.into_iter().filter(|part| !ROOTS.contains(&part.as_str())).collect();
    assert_eq!(parts, rows);
}

#[test]
fn crates_stop_at_the_parts_that_may_use_them() {
    assert_none(&sources("src").iter().flat_map(escaped_crates).collect::<Vec<_>>());
}

#[test]
fn the_domain_is_pure() {
    assert_none(&sources("src/domain").iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn files_say_their_purpose_first_and_are_short() {
    let everything = everything();
    let mut faults: Vec<_> = everything.iter().flat_map(unfit_for_reading).collect();
    faults.extend(sources("src").iter().filter_map(too_long));
    assert_none(&faults);
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    assert_none(&everything().iter().flat_map(undone).collect::<Vec<_>>());
}

#[test]
fn the_fields_of_log_lines_are_those_in_the_documents() {
    let used: BTreeSet<String> = sources("src").iter().flat_map(logs::fields).collect();
    let text = read("docs/LOGGING.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(used, listed, "of the code, and of docs/LOGGING.md");
}

#[test]
fn the_image_is_built_from_what_is_there() {
    let dockerfile = read("Dockerfile");
    let copied =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.contains("--from="));
    for source in copied.flat_map(|line| line.split_whitespace().rev().skip(1)) {
        assert!(Path::new(source).exists(), "the Dockerfile copies {source}, which is not there");
    }
    let manifest = read("Cargo.toml");
    let rust = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a Rust version");
    let image = format!("FROM rust:{}-slim-bookworm AS source", rust.trim_matches('"'));
    assert!(dockerfile.contains(&image), "the Dockerfile does not build with Rust {rust}");
    let ignored: BTreeSet<_> =
        read(".dockerignore").lines().map(|line| line.trim_start_matches('/').to_owned()).collect();
    assert!(ignored.contains("!/deploy/pgo"), ".dockerignore keeps what a release is built by from the build");
    for needed in ["Cargo.toml", "Cargo.lock", "benches", "config", "migrations", "src", "tests"] {
        assert!(!ignored.contains(needed), ".dockerignore keeps {needed} from the build");
    }
}

#[test]
fn a_planted_import_is_found() {
    for (text, line, import) in [
        ("use crate::store::Store;", 1, "store::Store"),
        ("use crate::engine::Engine;\nuse crate::{domain::Call, push::{self, Pushers}};", 2, "push::Pushers"),
        ("fn f() { drop(crate::scheduler::run()) }", 1, "scheduler::run"),
        ("fn f() { tokio::select! { _ = crate::dispatch::run() => {} } }", 1, "dispatch::run"),
        ("use super::super::simulator;", 1, "simulator"),
        ("mod inner { use super::super::super::store; }", 1, "store"),
        ("use crate::livekit::rooms::Rooms;", 1, "livekit::rooms::Rooms"),
        ("use crate as root;", 1, "the whole crate"),
        ("use crate::{self as root};", 1, "the whole crate"),
        ("use crate::*;", 1, "the whole crate"),
    ] {
        let faults = forbidden_imports(&Source::new("src/http/calls.rs", text));
        let expected = format!("src/http/calls.rs:{line}: http must not import {import};");
        assert!(faults.iter().any(|fault| fault.starts_with(&expected)), "{text}: {faults:?}");
    }
    let config = Source::new("src/ticket.rs", "use crate::config::{Secret, Config};");
    assert_eq!(forbidden_imports(&config).len(), 1);
    assert_eq!(forbidden_imports(&Source::new("src/novel.rs", "")).len(), 1);
}

#[test]
fn an_import_that_may_be_is_not_reported() {
    for (path, text) in [
        ("src/http/calls.rs", "use crate::engine::{Engine, StoreError}; use super::problem; pub(crate) fn f() {}"),
        ("src/http/calls.rs", "use crate::livekit::{token::Join, webhook};"),
        ("src/http/calls.rs", "// use crate::store;\n/// [`crate::store`]\nconst TEXT: &str = \"crate::store\";"),
        ("src/http/calls.rs", "#[cfg(test)]\n#[expect(missing_docs)]\nmod tests { use crate::store; fn f() {} }"),
        ("src/cli/serve.rs", "use crate::store::Store;"),
    ] {
        assert_eq!(forbidden_imports(&Source::new(path, text)), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn other_planted_faults_are_found() {
    let source = |path: &str, text: &str| Source::new(path, text);
    assert_eq!(escaped_crates(&source("src/engine/mod.rs", "use axum::Router; fn f() { redb::f() }")).len(), 2);
    assert_eq!(impurities(&source("src/domain/call.rs", "async fn f() { std::fs::read(a); Instant::now() }")).len(), 3);
    assert_eq!(impurities(&source("src/domain/call.rs", "//! An Instant.\nfn f() {}")).len(), 0);
    assert_eq!(unfit_for_reading(&source("src/engine/utils.rs", "fn f() {}")).len(), 2);
    assert_eq!(undone(&source("src/a.rs", "fn f() { todo!() }\n#[test]\n#[ignore = \"slow\"]\nfn g() {}")).len(), 2);
    let longest = "fn f() {}\n\n// why\n/// what\n".repeat(LONGEST);
    assert_eq!(too_long(&source("src/a.rs", &longest)), None);
    assert!(too_long(&source("src/a.rs", &format!("{longest}fn g() {{}}"))).is_some());
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

// The rules, each on one file.

fn forbidden_imports(source: &Source) -> Vec<String> {
    let part = source.part();
    if ROOTS.contains(&part.as_str()) {
        return Vec::new();
    }
    let Some(row) = TABLE.iter().find(|row| row.part == part) else {
        return vec![source.at(1, &format!("{part} has no row in the table of tests/architecture.rs"))];
    };
    imports(source)
        .into_iter()
        .filter(|(path, _)| !row.allows(path))
        .map(|(path, line)| {
            let path = if path.is_empty() { "the whole crate".to_owned() } else { path.join("::") };
            let leaves = if row.leaves { "domain, the leaves and " } else { "" };
            source.at(line, &format!("{part} must not import {path}; its row allows {leaves}{:?}", row.also))
        })
        .collect()
}

impl Row {
    fn allows(&self, path: &[String]) -> bool {
        let Some(part) = path.first() else { return false };
        let named = |allowed: &&str| path.iter().take(allowed.split("::").count()).eq(allowed.split("::"));
        *part == self.part
            || (self.leaves && (part == "domain" || LEAVES.contains(&part.as_str())))
            || self.also.iter().any(named)
    }
}

fn escaped_crates(source: &Source) -> Vec<String> {
    let part = source.part();
    let confined = |name: &str| {
        CONFINED
            .iter()
            .any(|(krate, parts)| *krate == name && !parts.contains(&part.as_str()) && !ROOTS.contains(&part.as_str()))
    };
    let uses = source.tokens.windows(2).filter(|pair| pair[1].text == "::" && confined(&pair[0].text));
    uses.map(|pair| source.at(pair[0].line, &format!("{part} must not use the crate {}", pair[0].text))).collect()
}

fn impurities(source: &Source) -> Vec<String> {
    let impure = source.tokens.iter().filter(|token| IMPURE.contains(&token.text.as_str()));
    impure.map(|token| source.at(token.line, &format!("the domain must not know of {}", token.text))).collect()
}

fn unfit_for_reading(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.text.starts_with("//!") {
        faults.push(source.at(1, "a file opens with its purpose, as //!"));
    }
    let names = source.path.iter().map(|name| Path::new(name).file_stem().unwrap_or_default().to_string_lossy());
    faults.extend(
        names
            .filter(|name| EMPTY_NAMES.contains(&name.as_ref()))
            .map(|name| source.at(1, &format!("{name} says nothing of what is inside"))),
    );
    faults
}

fn too_long(source: &Source) -> Option<String> {
    let lines: BTreeSet<_> = source.tokens.iter().flat_map(|token| token.line..=token.last_line).collect();
    (lines.len() > LONGEST)
        .then(|| source.at(1, &format!("{} lines of code; split it by reason to change, at {LONGEST}", lines.len())))
}

/// Looks at tests too.
fn undone(source: &Source) -> Vec<String> {
    let all = tokens_of(&source.text);
    let pairs = all
        .windows(2)
        .filter(|pair| matches!([&*pair[0].text, &*pair[1].text], ["todo" | "unimplemented", "!"] | ["[", "ignore"]));
    pairs.map(|pair| source.at(pair[0].line, &format!("{}{} has no place here", pair[0].text, pair[1].text))).collect()
}
