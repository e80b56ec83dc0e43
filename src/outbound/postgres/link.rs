//! Connections to the database: opened when they are needed, used again, and closed at the first doubt.
//!
//! Not sqlx's own pool, which waits without an end for the answer of a dead connection that is given back, and so in time has none left
//! (<https://github.com/transact-rs/sqlx/issues/4349>). How many are in use at a time is the caller's.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

use super::PostgresError;
use crate::config::Secret;
use crate::config::history::{History, PostgresUrl, SslMode};

/// How long it may take to connect.
const CONNECTED_WITHIN: Duration = Duration::from_secs(4);
/// How long an answer may take beside the time that its statement has.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// How long it may take to say goodbye.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may be idle. What is on the way to a server may forget an older one without a word.
const IDLE_FOR: Duration = Duration::from_secs(30);
/// What sqlx takes from the environment and cannot be told not to, and what that changes.
const AMBIENT: [(&str, &str); 4] = [
    ("PGSSLROOTCERT", "whom it trusts, unless there is a history.ca_file"),
    ("PGSSLCERT", "the certificate that it shows"),
    ("PGSSLKEY", "the key of the certificate that it shows"),
    ("PGOPTIONS", "the settings of its sessions"),
];
/// What a connection begins with: the schema, the time that a statement has, and no notices of tables that are there.
const SETTINGS: &str = "SELECT set_config('search_path', $1, false), set_config('statement_timeout', $2, false), \
                        set_config('client_min_messages', 'warning', false)";

pub(super) struct Link {
    options: PgConnectOptions,
    schema: String,
    statement_timeout: Duration,
    /// The one that was given back last is the last.
    idle: Mutex<Vec<(Instant, PgConnection)>>,
}

/// Says of each variable of the environment that changes how a database is connected to, beside the configuration, that it does.
pub(super) fn ambient(is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let set = AMBIENT.into_iter().filter(|(name, _)| is_set(name));
    set.map(|(name, what)| {
        format!("{name} is set in the environment and changes how PostgreSQL is connected to: {what}")
    })
    .collect()
}

impl Link {
    pub(super) fn new(url: &PostgresUrl, section: &History) -> Self {
        let History { ca_file, schema, statement_timeout, .. } = section;
        // Whatever a URL has is set in any case, so that variables such as PGPASSWORD say nothing of it. `AMBIENT` are those that do.
        let options = PgConnectOptions::new_without_pgpass()
            .host(&url.server.host)
            .port(url.server.port)
            .username(&url.user)
            .password(url.password.as_ref().map_or("", Secret::reveal))
            .database(&url.database)
            .application_name("bellwire")
            .ssl_mode(mode(url.tls))
            .disable_statement_logging();
        let options = match ca_file {
            Some(file) => options.ssl_root_cert(file),
            None => options,
        };
        let (schema, statement_timeout) = (schema.clone(), *statement_timeout);
        Self { options, schema, statement_timeout, idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// Runs one statement, which may be repeated, on a connection of its own for the time; says how many rows it changed.
    pub(super) async fn run(&self, statement: &'static str, text: Option<&str>) -> Result<u64, PostgresError> {
        if let Some(connection) = self.take_idle() {
            match self.run_on(connection, statement, text).await {
                // It was cut while nobody looked.
                Err(PostgresError::Broken(_)) => {}
                other => return other,
            }
        }
        let connection = self.connect(self.statement_timeout).await?;
        self.run_on(connection, statement, text).await
    }

    async fn run_on(
        &self,
        mut connection: PgConnection,
        statement: &'static str,
        text: Option<&str>,
    ) -> Result<u64, PostgresError> {
        let query = sqlx::query(statement);
        let query = match text {
            Some(text) => query.bind(text),
            None => query,
        };
        let answer = self.in_time(query.execute(&mut connection)).await.map(|done| done.rows_affected());
        match &answer {
            Ok(_) => self.give_back(connection),
            Err(error) if error.is_of_the_row() => {}
            // What befell this connection may have befallen the others.
            Err(_) => self.forget_idle(),
        }
        answer
    }

    /// Runs statements, each with its text, on a new connection and takes them back: whether they can be run is all that is wanted.
    pub(super) async fn rehearse(&self, statements: [(&'static str, &'static str); 2]) -> Result<(), PostgresError> {
        let mut connection = self.connect(self.statement_timeout).await?;
        for (statement, text) in statements {
            let rehearsing = async {
                let mut transaction = connection.begin().await?;
                sqlx::query(statement).bind(text).execute(&mut *transaction).await?;
                transaction.rollback().await
            };
            match self.in_time(rehearsing).await {
                Err(error) if !error.is_of_the_row() => return Err(error),
                _ => {}
            }
        }
        self.give_back(connection);
        Ok(())
    }

    async fn in_time<T>(&self, answer: impl Future<Output = sqlx::Result<T>>) -> Result<T, PostgresError> {
        let answer = timeout(self.statement_timeout + ON_THE_WAY, answer).await;
        answer.map_err(|_| PostgresError::Slow)?.map_err(classify)
    }

    /// A new connection, whose statements may take so long.
    pub(super) async fn connect(&self, statement_timeout: Duration) -> Result<PgConnection, PostgresError> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            let (path, time) = (format!("\"{}\"", self.schema), statement_timeout.as_millis().to_string());
            sqlx::query(SETTINGS).bind(path).bind(time).execute(&mut connection).await?;
            Ok(connection)
        };
        let connected: Result<_, sqlx::Error> =
            timeout(CONNECTED_WITHIN, connecting).await.map_err(|_| PostgresError::Slow)?;
        connected.map_err(|error| match sqlstate(&error) {
            Some(code) => PostgresError::Refused(code, error),
            None => PostgresError::Connect(error),
        })
    }

    /// The youngest idle connection; those that are too old are closed.
    fn take_idle(&self) -> Option<PgConnection> {
        let mut idle = self.idle();
        idle.retain(|(since, _)| since.elapsed() < IDLE_FOR);
        idle.pop().map(|(_, connection)| connection)
    }

    /// Keeps a connection on which nothing is under way.
    fn give_back(&self, connection: PgConnection) {
        self.idle().push((Instant::now(), connection));
    }

    /// Closes what is idle, without a goodbye that nobody may hear.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    /// Closes what is idle.
    pub(super) async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle());
        let closing = async {
            for (_, connection) in idle {
                // It goes in any case.
                let _ = connection.close().await;
            }
        };
        let _ = timeout(CLOSED_WITHIN, closing).await;
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, PgConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a failed statement means.
fn classify(error: sqlx::Error) -> PostgresError {
    match sqlstate(&error) {
        // The server ends or is about to: class 57P, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
        Some(code) if !code.starts_with("57P") => PostgresError::Statement(code, error),
        _ => PostgresError::Broken(error),
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error().and_then(DatabaseError::code)?.into_owned())
}

fn mode(mode: SslMode) -> PgSslMode {
    match mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Prefer => PgSslMode::Prefer,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_changes_the_connection_is_named() {
        assert!(ambient(|_| false).is_empty());
        let named = ambient(|name| ["PGOPTIONS", "PGPASSWORD", "PGSSLCERT"].contains(&name));
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(named[0].starts_with("PGSSLCERT ") && named[1].starts_with("PGOPTIONS "), "{named:?}");
    }
}
