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

const CALLS_OF: &str =
    "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE caller_id = $1 OR callee_id = $1 LIMIT 500)";
const BANS_OF: &str = "DELETE FROM bans WHERE user_id = $1";
const OLD_CALLS: &str = "DELETE FROM calls WHERE id IN \
     (SELECT id FROM calls WHERE created_at < now() - make_interval(secs => $1::double precision) ORDER BY created_at LIMIT 500)";
/// Of a ban that holds the gateway has a record of its own.
const OLD_BANS: &str = "DELETE FROM bans WHERE created_at < now() - make_interval(secs => $1::double precision)";

impl Postgres {
    /// Deletes the rows of a user's calls, and with `bans` of their bans; says how many.
    pub async fn erase(&self, user: &UserId, bans: bool) -> Result<u64, PostgresError> {
        if !self.works().await {
            return Err(PostgresError::Away);
        }
        let mut rows = self.delete(CALLS_OF, user.as_str()).await?;
        if bans {
            rows += self.run(BANS_OF, user.as_str()).await?;
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
        let deleted = async { Ok(self.delete(OLD_CALLS, &seconds).await? + self.run(OLD_BANS, &seconds).await?) };
        match deleted.await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "rows of the history were deleted: they are older than history.retention"),
            Err(error) => {
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
            let deleted = self.run(statement, of).await?;
            rows += deleted;
            if deleted < AT_ONCE {
                return Ok(rows);
            }
        }
    }
}
