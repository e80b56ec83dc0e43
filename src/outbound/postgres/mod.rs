//! A PostgreSQL that keeps a row of each ended call and of each ban: one more endpoint, which is written to instead of posted to.
//!
//! `link` holds its connections, `tables` what is in it. That a message comes, and comes again until it was taken, is `dispatch`'s, as for
//! every endpoint. While the database cannot be used, messages are sent back at once; `keep` finds out when it can be again.

mod erasure;
mod link;
mod tables;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Connection;
use sqlx::migrate::MigrateError;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::message::Message;
use crate::config::history::{History, PostgresUrl};
use crate::domain::WebhookEvent;
use crate::lifecycle::Stop;
use link::Link;

/// How often a database that works is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(15);
/// The pause before a database that does not work is tried again, at first and at last; it doubles until a row was written.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long it may take to find the database, to wait for another gateway that migrates it, and to migrate it.
const MIGRATED_WITHIN: Duration = Duration::from_mins(1);
/// How long a statement may take of somebody who only asks.
const PROBED_WITHIN: Duration = Duration::from_secs(1);

/// The database of a gateway.
pub struct Postgres {
    link: Link,
    /// How many connections there may be. One of them is for looking after the database.
    pub(super) connections: usize,
    state: watch::Sender<State>,
    failed: Notify,
    /// Whether a row was written since it last failed.
    has_written: AtomicBool,
    retention: Option<Duration>,
    /// When rows that are too old were last looked for.
    swept: std::sync::Mutex<Option<std::time::Instant>>,
}

/// What is known of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing yet.
    New,
    /// It can be used.
    Works,
    /// It cannot, for this reason, in words for readers of `/readyz`.
    Fails(String),
}

/// Why the database does not take something. Its own words may have names and values in them; they are the source only.
#[derive(Debug, Error)]
pub enum PostgresError {
    /// It did not work when it was last tried.
    #[error("it does not work for now")]
    Away,
    /// No connection.
    #[error("it cannot be connected to")]
    Connect(#[source] sqlx::Error),
    /// The user, the password, the database or the schema is not as it must be.
    #[error("it refuses the connection with SQLSTATE {0}")]
    Refused(String, #[source] sqlx::Error),
    /// A statement failed on the way.
    #[error("its connection broke")]
    Broken(#[source] sqlx::Error),
    /// A statement failed there.
    #[error("it refuses a statement with SQLSTATE {0}")]
    Statement(String, #[source] sqlx::Error),
    /// The tables cannot be made.
    #[error("its tables cannot be made or brought up to date")]
    Migration(#[source] MigrateError),
    /// No answer in time.
    #[error("it does not answer in time")]
    Slow,
}

impl PostgresError {
    /// Whether it says nothing of the database: a value that it cannot take, that is too much for it, or that breaks a rule of the table or of
    /// a trigger. These are the classes 22, 23 and 54, and P0001, of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn is_of_the_row(&self) -> bool {
        let is_of_the_row =
            |code: &str| code == "P0001" || ["22", "23", "54"].contains(&code.get(..2).unwrap_or_default());
        matches!(self, Self::Statement(code, _) if is_of_the_row(code))
    }
}

impl Postgres {
    /// A database that is not looked for yet.
    pub fn new(url: &PostgresUrl, section: &History) -> Self {
        Self {
            link: Link::new(url, section),
            connections: section.connections.into(),
            state: watch::Sender::new(State::New),
            failed: Notify::new(),
            has_written: AtomicBool::new(false),
            retention: section.retention,
            swept: std::sync::Mutex::default(),
        }
    }

    /// The events that it has tables for.
    pub(super) const EVENTS: [WebhookEvent; 2] = [WebhookEvent::CallEnded, WebhookEvent::UserBanned];

    /// Waits until something is known of it; at the start of the gateway that is in a moment.
    async fn works(&self) -> bool {
        let mut states = self.state.subscribe();
        states.wait_for(|state| *state != State::New).await.is_ok_and(|state| *state == State::Works)
    }

    /// Writes what a message tells of, unless it stands there.
    pub(super) async fn write(&self, message: &Message) -> Result<(), PostgresError> {
        let Some(statement) = tables::insert(message.event) else { return Ok(()) };
        if !self.works().await {
            return Err(PostgresError::Away);
        }
        let written = self.run(statement, &tables::storable(&message.body)).await.map(drop);
        if written.is_ok() {
            self.has_written.store(true, Ordering::Relaxed);
        }
        written
    }

    /// Runs one statement; an error that is not of its row says that the database does not work.
    async fn run(&self, statement: &'static str, text: &str) -> Result<u64, PostgresError> {
        let written = self.link.run(statement, Some(text)).await;
        if let Err(error) = &written
            && !error.is_of_the_row()
        {
            self.note(&written);
            self.failed.notify_one();
        }
        written
    }

    /// What in the environment of this process changes how it is connected to, in words.
    pub fn warnings() -> Vec<String> {
        link::ambient(|name| std::env::var_os(name).is_some())
    }

    /// Why it cannot be used; nothing while it can.
    pub fn problem(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::New => Some("not reached yet".to_owned()),
            State::Works => None,
            State::Fails(why) => Some(why.clone()),
        }
    }

    /// Brings its tables up to date as soon as it can be reached, and looks after it until `stop`.
    pub async fn keep(&self, mut stop: Stop) {
        let mut pause = PAUSES.0;
        loop {
            let looked_at = tokio::select! {
                looked_at = self.look() => looked_at,
                () = stop.given() => break,
            };
            if looked_at.is_ok() {
                let peace = async {
                    self.forget_old().await;
                    sleep(LOOKED_AT_EVERY).await;
                };
                tokio::select! {
                    () = peace => continue,
                    () = self.failed.notified() => {}
                    () = stop.given() => break,
                }
            }
            // That it could be used when it was looked at is no proof: rows are.
            if self.has_written.swap(false, Ordering::Relaxed) {
                pause = Duration::ZERO;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.given() => break,
            }
            pause = (pause * 2).clamp(PAUSES.0, PAUSES.1);
        }
        self.link.close().await;
    }

    /// Looks once whether it can be used, with its tables up to date and rows written to them; from then on that is known.
    pub async fn look(&self) -> Result<(), PostgresError> {
        let works = *self.state.borrow() == State::Works;
        if works {
            let answers = self.link.run(tables::NOTHING, None).await.map(drop);
            if answers.is_err() {
                self.note(&answers);
            }
            // A row that was refused meanwhile says more than an answer.
            return answers;
        }
        let prepared = timeout(MIGRATED_WITHIN, self.migrate()).await.unwrap_or(Err(PostgresError::Slow));
        let looked_at = match prepared {
            Ok(()) => self.link.rehearse(tables::rehearsals()).await,
            failed => failed,
        };
        self.note(&looked_at);
        looked_at
    }

    async fn migrate(&self) -> Result<(), PostgresError> {
        // What befell it may have befallen them.
        self.link.forget_idle();
        // If it fails the connection is closed, and the lock that it may hold goes with it.
        let mut connection = self.link.connect(MIGRATED_WITHIN).await?;
        tables::migrate(&mut connection, self.link.schema()).await.map_err(PostgresError::Migration)?;
        // What matters has been done.
        let _ = connection.close().await;
        Ok(())
    }

    /// Whether it can be connected to, for somebody who asks just that.
    pub async fn probe(&self) -> Result<(), PostgresError> {
        self.link.connect(PROBED_WITHIN).await.map(drop)
    }

    fn note<T>(&self, looked_at: &Result<T, PostgresError>) {
        let state = match looked_at {
            Ok(_) => State::Works,
            Err(error) => State::Fails(error.to_string()),
        };
        if self.state.send_replace(state.clone()) == state {
            return;
        }
        match looked_at {
            Ok(_) => tracing::info!("history is written to PostgreSQL"),
            Err(error) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "history cannot be written to PostgreSQL for now; it is kept until it can");
            }
        }
    }
}
