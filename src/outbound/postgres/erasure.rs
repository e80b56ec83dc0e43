//! What is deleted from the tables: rows of a user, and rows that are older than they are kept. A little at a time, so that no statement
//! takes long; gateways may do it at once.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Postgres, PostgresError};
use crate::domain::UserId;

/// How often rows that are too old are looked for.
const SWEPT_EVERY: Duration = Duration::from_hours(1);
/// How many rows a statement below deletes at most.
const AT_ONCE: u64 = 500;

// Which rows is found out once, and with a lock on each: rows that another gateway deletes meanwhile are waited for and passed over, so that
// fewer than there may be are deleted only where there are no more. All take them in one order.
const CALLS_OF: &str = "DELETE FROM calls WHERE id = ANY (ARRAY(SELECT id FROM calls WHERE caller_id = $1 OR callee_id = $1 \
     ORDER BY created_at, id LIMIT 500 FOR UPDATE))";
const BANS_OF: &str = "DELETE FROM bans WHERE user_id = $1 AND created_at = ANY (ARRAY(SELECT created_at FROM bans WHERE user_id = $1 \
     ORDER BY created_at LIMIT 500 FOR UPDATE))";
const OLD_CALLS: &str = "DELETE FROM calls WHERE id = ANY (ARRAY(SELECT id FROM calls \
     WHERE created_at < now() - make_interval(secs => $1::double precision) ORDER BY created_at, id LIMIT 500 FOR UPDATE))";
/// Of a ban that holds the gateway has a record of its own.
const OLD_BANS: &str = "DELETE FROM bans WHERE ctid = ANY (ARRAY(SELECT ctid FROM bans \
     WHERE created_at < now() - make_interval(secs => $1::double precision) ORDER BY created_at, user_id LIMIT 500 FOR UPDATE))";

impl Postgres {
    /// Deletes the rows of a user's calls, and with `bans` of their bans; says how many.
    pub async fn erase(&self, user: &UserId, bans: bool) -> Result<u64, PostgresError> {
        if !self.works().await {
            return Err(PostgresError::Away);
        }
        let mut rows = self.delete(CALLS_OF, user.as_str()).await?;
        if bans {
            rows += self.delete(BANS_OF, user.as_str()).await?;
        }
        Ok(rows)
    }

    /// Deletes rows that are older than they are kept, if that was not done a short while ago.
    pub(super) async fn forget_old(&self) {
        let Some(retention) = self.retention else { return };
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if swept.is_some_and(|at| at.elapsed() < SWEPT_EVERY) {
                return;
            }
            *swept = Some(Instant::now());
        }
        let seconds = retention.as_secs().to_string();
        let deleted = async { Ok(self.delete(OLD_CALLS, &seconds).await? + self.delete(OLD_BANS, &seconds).await?) };
        match deleted.await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "rows of the history were deleted: they are older than history.retention"),
            Err(error) => {
                // It is tried again when the database was looked at next.
                *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let error: PostgresError = error;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "rows of the history that are too old could not be deleted yet");
            }
        }
    }

    /// Runs a statement until it finds no more rows.
    async fn delete(&self, statement: &'static str, of: &str) -> Result<u64, PostgresError> {
        let mut rows = 0;
        loop {
            let deleted = self.delete_some(statement, of).await?;
            rows += deleted;
            if deleted < AT_ONCE {
                return Ok(rows);
            }
        }
    }

    /// Runs a statement once. Only that the database could not be had says something of it: one that takes too long, or meets another one, does not.
    async fn delete_some(&self, statement: &'static str, of: &str) -> Result<u64, PostgresError> {
        let deleted = self.link.run(statement, Some(of)).await;
        if matches!(deleted, Err(PostgresError::Connect(_) | PostgresError::Broken(_) | PostgresError::Slow)) {
            self.note(&deleted);
            self.failed.notify_one();
        }
        deleted
    }
}
