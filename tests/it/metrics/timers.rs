//! Tasks and wake-ups: how many, and how late.

use std::time::Duration;

use super::{until, until_at_least};
use crate::support::Stage;

#[tokio::test]
async fn a_ring_that_is_over_is_woken_and_ended_in_time() {
    let stage = Stage::new().await;
    stage.pixel("bob", "phone").await;
    let call = stage.invite_for("alice", "bob", 10).await.expect(201)["call"]["id"].take();
    stage.clock.advance(Duration::from_secs(12));
    stage.event("alice", "call.ended", &call).await;
    let all = until_at_least(&stage, "bellwire_ring_end_late_seconds_count", 1.0).await;
    let late = all.expect("bellwire_ring_end_late_seconds_sum");
    // The clock went two seconds past the end at a bound.
    assert!((2.0..12.0).contains(&late), "{late} s");
    assert!(all.expect(r#"bellwire_wake_up_late_seconds_count{of="calls"}"#) >= 1.0);
    assert!(all.expect(r#"bellwire_overdue{of="calls"}"#) >= 0.0);
}

#[tokio::test]
async fn an_attempt_is_measured_and_how_late_the_next_one_begins() {
    let stage = Stage::new().await;
    stage.iphone("bob", "iphone-1").await;
    stage.simulator.add_rule("apns 503".parse().expect("a rule"));
    stage.invite("alice", "bob").await;
    // Its quick retries take the time of the attempt, and then the record waits for the next.
    let retried = r#"bellwire_task_seconds_count{task="ring",outcome="retry"}"#;
    let all = until_at_least(&stage, retried, 1.0).await;
    assert!(all.expect(r#"bellwire_task_seconds_sum{task="ring",outcome="retry"}"#) > 0.0);
    let all = until_at_least(&stage, r#"bellwire_task_late_seconds_count{task="ring"}"#, 1.0).await;
    let late = all.expect(r#"bellwire_task_late_seconds_sum{task="ring"}"#);
    let begun = all.expect(r#"bellwire_task_late_seconds_count{task="ring"}"#);
    assert!(late / begun < 10.0, "{late} s in {begun}");
    stage.simulator.clear_rules();
    until_at_least(&stage, r#"bellwire_task_seconds_count{task="ring",outcome="done"}"#, 1.0).await;
    until(&stage, r#"bellwire_tasks_running{task="ring"}"#, |running| running.abs() < 0.1).await;
}
