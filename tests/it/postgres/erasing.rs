//! Rows that are deleted: beside somebody else who deletes, and where that takes too long.

use std::sync::Arc;
use std::time::Duration;

use bellwire::domain::UserId;
use tokio::time::{sleep, timeout};

use super::deliverer;
use crate::support::SOON;
use crate::support::postgres::{Database, PostgresServer, history};

/// Puts rows of Ann's calls there.
async fn calls_of_ann(database: &Database<'_>, many: usize) {
    database
        .run(&format!(
            "INSERT INTO bellwire.calls (id, caller_id, callee_id, media, end_reason, created_at, ended_at, talk_seconds, \
             total_seconds, peak_participants, reconnects, hidden_from_callee) \
             SELECT gen_random_uuid(), 'ann', 'bob', 'audio', 'completed', now() - n * interval '1 second', now(), 0, 0, 0, 0, false \
             FROM generate_series(1, {many}) AS n"
        ))
        .await;
}

fn ann() -> UserId {
    UserId::new("ann").expect("a user id")
}

#[tokio::test]
async fn rows_that_somebody_else_deletes_meanwhile_keep_no_others() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let (_webhooks, postgres, _stopper) = deliverer(&history(&[("postgres_url", &database.url("?sslmode=disable"))]));
    postgres.look().await.expect("it works");
    calls_of_ann(&database, 1200).await;
    let mut other = database.admin().await;
    // As another gateway would, but for its pace.
    let first =
        "BEGIN; DELETE FROM bellwire.calls WHERE id IN (SELECT id FROM bellwire.calls ORDER BY created_at LIMIT 600)";
    sqlx::raw_sql(first).execute(&mut other).await.expect("deleted");
    let erasing = tokio::spawn({
        let postgres = Arc::clone(&postgres);
        async move { postgres.erase(&ann(), true).await }
    });
    let waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let it_waits = async {
        while database.rows(waits).await.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, it_waits).await.expect("it meets the other one");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("committed");
    assert_eq!(erasing.await.expect("no panic").expect("erased"), 600);
    assert!(database.rows("SELECT id FROM bellwire.calls").await.is_empty(), "none is left");
}

#[tokio::test]
async fn a_deletion_that_takes_too_long_says_nothing_of_the_database() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let url = database.url("?sslmode=disable");
    let keys = [("postgres_url", &*url), ("statement_timeout", "200ms")];
    let (_webhooks, postgres, _stopper) = deliverer(&history(&keys));
    postgres.look().await.expect("it works");
    calls_of_ann(&database, 1).await;
    let mut holder = database.admin().await;
    sqlx::raw_sql("BEGIN; SELECT id FROM bellwire.calls FOR UPDATE").execute(&mut holder).await.expect("locked");
    let refused = postgres.erase(&ann(), false).await.expect_err("it is locked");
    assert!(refused.to_string().contains("57014"), "{refused}");
    assert_eq!(postgres.problem(), None);
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.expect("unlocked");
    assert_eq!(postgres.erase(&ann(), false).await.expect("erased"), 1);
}
