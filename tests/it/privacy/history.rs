//! `history.retention`: rows do not stay for longer than that.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::postgres::PostgresServer;
use crate::support::{SOON, Stage};

#[tokio::test]
async fn rows_that_are_too_old_are_deleted_whoever_wrote_them() {
    let Some(server) = PostgresServer::shared().await else { return };
    let database = server.database().await;
    let stage = Stage::with(&database.section()).await;
    let tables = "SELECT to_regclass('bellwire.bans')::text AS made";
    let made = async {
        while database.rows(tables).await != [json!({"made": "bellwire.bans"})] {
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(SOON, made).await.expect("the tables are made");
    drop(stage);
    database
        .run(
            "INSERT INTO bellwire.calls (id, caller_id, callee_id, media, end_reason, created_at, ended_at, talk_seconds, \
             total_seconds, peak_participants, reconnects, hidden_from_callee) \
             SELECT gen_random_uuid(), 'ann', 'bob', 'audio', 'completed', now() - n * interval '1 day', now(), 0, 0, 0, 0, false \
             FROM generate_series(1, 1200) AS n; \
             INSERT INTO bellwire.bans (user_id, created_at) SELECT 'u' || n, now() - n * interval '1 day' FROM generate_series(1, 1200) AS n",
        )
        .await;
    let section = format!("{}\nretention = \"30d\"", database.section());
    let stage = Stage::with(&section).await;
    let count = "SELECT (SELECT count(*) FROM bellwire.calls) AS calls, (SELECT count(*) FROM bellwire.bans) AS bans";
    let gone = async {
        while database.rows(count).await != [json!({"calls": 29, "bans": 29})] {
            sleep(Duration::from_secs(1)).await;
        }
    };
    let gone = timeout(6 * SOON, gone).await;
    assert!(gone.is_ok(), "more is left than what is younger than 30 days: {:?}", database.rows(count).await);
    drop(stage);
}
