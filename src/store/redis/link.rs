//! The connection to Redis that commands share: replaced when it breaks, and no command waits longer than its time.
//!
//! A command is tried again while it has time, which it may be: each one changes nothing the second time (a commit knows itself
//! again by its number). What is refused for good is told at once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::client::{Client, Connection};
use super::script::Script;
use crate::clock::Clock;
use crate::store::StoreError;

/// The first pause before a command or a connection is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause before a connection is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The shared connection. Clones share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Arc<Client>,
    clock: Clock,
    timeout: Duration,
    current: watch::Sender<Current>,
}

/// The connection in use; none while a new one is made.
#[derive(Clone)]
struct Current {
    generation: u64,
    connection: Option<Connection>,
}

/// What is sent.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a Script, &'a Cmd),
    Pipeline(&'a Pipeline),
}

/// What an error means for the command that met it.
enum Verdict {
    /// It will be refused again.
    Refused,
    /// The server will take it in a while.
    Wait,
    /// This connection leads nowhere.
    Reconnect,
}

impl Link {
    /// A link by a connection that was made.
    pub(super) fn new(client: Arc<Client>, connection: Connection, clock: Clock, timeout: Duration) -> Self {
        let (current, _) = watch::channel(Current { generation: 0, connection: Some(connection) });
        Self(Arc::new(Inner { client, clock, timeout, current }))
    }

    /// The answer to a command.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.request(Request::Command(command)).await
    }

    /// The answer to a call of a script.
    pub(super) async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, StoreError> {
        self.request(Request::Script(script, call)).await
    }

    /// The answers to commands on keys of one partition.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> Result<Value, StoreError> {
        self.request(Request::Pipeline(commands)).await
    }

    async fn request(&self, request: Request<'_>) -> Result<Value, StoreError> {
        let (mut generation, mut met) = (0, None);
        if let Ok(answer) = timeout(self.0.timeout, self.until_answered(request, &mut generation, &mut met)).await {
            return answer.map_err(|error| StoreError::Unavailable(in_words(&error)));
        }
        // It may be half open: the other side is gone and nobody has said so.
        self.give_up(generation);
        let what = met.map_or_else(|| "no answer".to_owned(), |error| in_words(&error));
        Err(StoreError::Unavailable(format!("{what}, after {} ms", self.0.timeout.as_millis())))
    }

    async fn until_answered(
        &self,
        request: Request<'_>,
        generation: &mut u64,
        met: &mut Option<RedisError>,
    ) -> RedisResult<Value> {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut connection = self.connection(generation).await;
            let error = match send(&mut connection, request).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match verdict(&error) {
                Verdict::Refused => return Err(error),
                Verdict::Wait => {}
                Verdict::Reconnect => self.give_up(*generation),
            }
            *met = Some(error);
            sleep(self.0.clock.jitter(pause)).await;
            pause *= 2;
        }
    }

    /// The connection in use, or the next one as soon as it is there.
    async fn connection(&self, generation: &mut u64) -> Connection {
        let mut changes = self.0.current.subscribe();
        loop {
            {
                let current = changes.borrow_and_update();
                *generation = current.generation;
                if let Some(connection) = &current.connection {
                    return connection.clone();
                }
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as this link.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Replaces the connection of a generation, once.
    fn give_up(&self, generation: u64) {
        let first = self
            .0
            .current
            .send_if_modified(|current| current.generation == generation && current.connection.take().is_some());
        if first {
            tokio::spawn(reconnect(Arc::downgrade(&self.0)));
        }
    }
}

/// Makes the next connection, until it is there or nobody needs it.
async fn reconnect(link: Weak<Inner>) {
    let mut pause = FIRST_PAUSE;
    while let Some(inner) = link.upgrade() {
        let client = Arc::clone(&inner.client);
        match timeout(LONGEST_PAUSE, client.connect(None)).await {
            Ok(Ok(connection)) => {
                tracing::info!(store = %client.target(), "connected again");
                inner.current.send_modify(|current| {
                    *current = Current { generation: current.generation + 1, connection: Some(connection) };
                });
                return;
            }
            Ok(Err(error)) => tracing::warn!(store = %client.target(), error = in_words(&error), "no connection"),
            Err(_) => tracing::warn!(store = %client.target(), "no connection within a second"),
        }
        let wait = inner.clock.jitter(pause);
        drop(inner);
        sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn send(connection: &mut Connection, request: Request<'_>) -> RedisResult<Value> {
    match request {
        Request::Command(command) => connection.ask(command).await,
        Request::Pipeline(commands) => connection.ask_all(commands).await,
        Request::Script(script, call) => match connection.ask(call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                connection.ask(&script.with_source(call)).await
            }
            answer => answer,
        },
    }
}

fn verdict(error: &RedisError) -> Verdict {
    match error.kind() {
        // A master that was demoted says READONLY; the next connection leads to the new one.
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(ServerErrorKind::ReadOnly) => Verdict::Reconnect,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::TryAgain
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::NoScript,
        ) => Verdict::Wait,
        _ if error.is_unrecoverable_error() || error.is_timeout() => Verdict::Reconnect,
        _ => Verdict::Refused,
    }
}

/// Says what went wrong without the server's own words, which may quote what it was sent.
pub(super) fn in_words(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("Redis says {code}"),
        None if error.is_timeout() => "Redis did not answer in time".to_owned(),
        None if error.is_connection_refusal() => "Redis refuses connections".to_owned(),
        None if error.is_connection_dropped() => "the connection to Redis broke".to_owned(),
        None => format!("Redis: {}", error.category()),
    }
}
