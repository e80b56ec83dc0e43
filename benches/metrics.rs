//! What measuring costs: one request, one operation of the store, one task, one wake-up; and a scrape.
//!
//! `cargo bench --bench metrics`. How often each comes with an invite is in docs/PERFORMANCE.md.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::time::Duration;

use bellwire::domain::{DeviceId, Platform, TaskKind};
use bellwire::telemetry::Metrics;
use divan::{Bencher, black_box};

const TOOK: Duration = Duration::from_micros(350);
const OPERATIONS: [&str; 12] = [
    "commit",
    "load",
    "open_line",
    "ring_line",
    "free_line",
    "admit",
    "history",
    "devices",
    "due",
    "due_jobs",
    "note_heard",
    "account",
];

fn main() {
    divan::main();
}

/// Metrics with about as many series as a gateway has.
fn busy() -> Metrics {
    let metrics = Metrics::default();
    for operation in OPERATIONS {
        metrics.stored(operation, Some("unavailable"), TOOK);
    }
    for route in 0..40 {
        metrics.requested(Some(&format!("/v1/routes/{route}")), "GET", Some(200), TOOK);
    }
    metrics
}

#[divan::bench]
fn request(bencher: Bencher) {
    let metrics = busy();
    bencher.bench(|| metrics.requested(black_box(Some("/v1/calls/{id}/answer")), "POST", Some(200), TOOK));
}

#[divan::bench]
fn operation_of_the_store(bencher: Bencher) {
    let metrics = busy();
    bencher.bench(|| metrics.stored(black_box("commit"), None, TOOK));
}

#[divan::bench]
fn task(bencher: Bencher) {
    let metrics = busy();
    let device = DeviceId::new("phone").expect("a device id");
    let kind = TaskKind::Ring { device, platform: Platform::Ios, number: 1 };
    bencher.bench(|| metrics.carrying(black_box(&kind)).ends("done"));
}

#[divan::bench]
fn wake_up(bencher: Bencher) {
    let metrics = busy();
    bencher.bench(|| metrics.woken(black_box("calls"), TOOK));
}

#[divan::bench]
fn scrape(bencher: Bencher) {
    let metrics = busy();
    bencher.bench(|| metrics.text());
}
