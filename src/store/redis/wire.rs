//! One server's connection, which all commands to it share: replaced when it breaks or falls silent.
//!
//! Which server is asked, and what its answer means, is `link`'s.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::sync::watch;
use tokio::time::sleep;

use super::client::{Client, Place};
use super::script::{self, Script};
use super::verdict::in_words;
use crate::clock::Clock;

/// The first pause before a connection is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest one, after a connection that was not made.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one, after a connection that was made and did not last: short enough for a command to meet several of them.
const LONGEST_PAUSE_BETWEEN: Duration = Duration::from_millis(200);
/// A connection that lasted longer was a good one.
const LASTED: Duration = Duration::from_secs(1);

/// The shared connection to a server. Clones share it.
#[derive(Clone)]
pub(super) struct Wire(Arc<Inner>);

struct Inner {
    client: Arc<Client>,
    place: Place,
    clock: Clock,
    current: watch::Sender<Current>,
}

/// The connection in use; none while the next one is made.
struct Current {
    live: Option<Live>,
    /// How many there were before.
    generation: u64,
    since: Instant,
    /// The pause before the last try.
    pause: Duration,
    /// Why there is none.
    trouble: Option<String>,
}

/// A connection that was made.
#[derive(Clone)]
pub(super) struct Live {
    connection: MultiplexedConnection,
    generation: u64,
    /// How many answers came, errors of the server among them.
    heard: Arc<AtomicU64>,
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a Script, &'a Cmd),
    All(&'a [Cmd]),
}

impl Wire {
    /// A wire to a server, to which it begins to connect.
    pub(super) fn new(client: Arc<Client>, place: Place, clock: Clock) -> Self {
        let (since, pause) = (Instant::now(), Duration::ZERO);
        let (current, _) = watch::channel(Current { live: None, generation: 0, since, pause, trouble: None });
        let wire = Self(Arc::new(Inner { client, place, clock, current }));
        tokio::spawn(connect(Arc::downgrade(&wire.0), pause));
        wire
    }

    /// A wire by a connection that was made.
    pub(super) fn by(client: Arc<Client>, place: Place, clock: Clock, connection: MultiplexedConnection) -> Self {
        let (since, pause) = (Instant::now(), Duration::ZERO);
        let (current, _) = watch::channel(Current { live: None, generation: 0, since, pause, trouble: None });
        let wire = Self(Arc::new(Inner { client, place, clock, current }));
        wire.0.begin(connection);
        wire
    }

    /// Where it leads.
    pub(super) fn place(&self) -> &Place {
        &self.0.place
    }

    /// The connection in use, or the next one as soon as it is there.
    pub(super) async fn live(&self) -> Live {
        if let Some(live) = &self.0.current.borrow().live {
            return live.clone();
        }
        let mut changes = self.0.current.subscribe();
        loop {
            if let Some(live) = &changes.borrow_and_update().live {
                return live.clone();
            }
            if changes.changed().await.is_err() {
                // The sender lives as long as this wire.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why there is no connection, as far as that is known.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.current.borrow().trouble.clone()
    }

    /// Replaces a connection, once.
    pub(super) fn give_up(&self, live: &Live) {
        let mut pause = Duration::ZERO;
        let first = self.0.current.send_if_modified(|current| {
            let is_in_use = current.live.as_ref().is_some_and(|used| used.generation == live.generation);
            if is_in_use {
                current.live = None;
                // One that is given up again and again is made less and less often.
                let lasted = current.since.elapsed() > LASTED;
                current.pause = if lasted { Duration::ZERO } else { longer(current.pause, LONGEST_PAUSE_BETWEEN) };
                pause = current.pause;
            }
            is_in_use
        });
        if first {
            tokio::spawn(connect(Arc::downgrade(&self.0), pause));
        }
    }
}

impl Inner {
    /// Uses a connection from now on.
    fn begin(&self, connection: MultiplexedConnection) {
        load_scripts(connection.clone());
        self.current.send_modify(|current| {
            current.generation += 1;
            let (generation, heard) = (current.generation, Arc::default());
            current.live = Some(Live { connection, generation, heard });
            current.since = Instant::now();
            current.trouble = None;
        });
    }
}

fn longer(pause: Duration, longest: Duration) -> Duration {
    (pause * 2).clamp(FIRST_PAUSE, longest)
}

/// Makes the next connection, until it is there or nobody needs it.
async fn connect(wire: Weak<Inner>, mut pause: Duration) {
    loop {
        let Some(wait) = wire.upgrade().map(|wire| wire.clock.jitter(pause)) else { return };
        sleep(wait).await;
        let Some((client, place)) = wire.upgrade().map(|wire| (Arc::clone(&wire.client), wire.place.clone())) else {
            return;
        };
        let made = client.connect(&place, None).await;
        let Some(wire) = wire.upgrade() else { return };
        match made {
            Ok(connection) => {
                tracing::info!(store = %client.target(), server = %place, "connected");
                return wire.begin(connection);
            }
            Err(error) => {
                let trouble = in_words(&error);
                if wire.current.borrow().trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(store = %client.target(), server = %place, error = trouble, "no connection");
                }
                pause = longer(pause, LONGEST_PAUSE);
                wire.current.send_modify(|current| {
                    current.pause = pause;
                    current.trouble = Some(trouble);
                });
            }
        }
    }
}

/// Makes the server know every script before the first call of one comes, which would otherwise take two round trips. Where that is not
/// allowed, each is sent when it is called.
fn load_scripts(mut connection: MultiplexedConnection) {
    let mut load = Pipeline::new();
    for script in script::ALL {
        load.cmd("SCRIPT").arg("LOAD").arg(script.source());
    }
    let mut loading = Box::pin(async move {
        let _: RedisResult<Value> = load.query_async(&mut connection).await;
    });
    // The first step puts it before all that others send.
    if (&mut loading).now_or_never().is_none() {
        tokio::spawn(loading);
    }
}

impl Live {
    /// How many answers came so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// The answer to a request; `asking` where a cluster's node said that another one has it for the moment.
    pub(super) async fn send(&mut self, request: Request<'_>, asking: bool) -> RedisResult<Value> {
        match request {
            Request::Command(command) => self.ask(command, asking).await,
            Request::All(commands) => self.ask_all(commands, asking).await.map(Value::Array),
            Request::Script(script, call) => match self.ask(call, asking).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    self.ask(&script.with_source(call), asking).await
                }
                answer => answer,
            },
        }
    }

    async fn ask(&mut self, command: &Cmd, asking: bool) -> RedisResult<Value> {
        if asking {
            let answers = self.ask_all(std::slice::from_ref(command), true).await?;
            return Ok(answers.into_iter().next().unwrap_or(Value::Nil));
        }
        // As `query_async` does, without a box around it.
        let answer = self.connection.send_packed_command(command).await.and_then(Value::extract_error);
        self.note(&answer);
        answer
    }

    async fn ask_all(&mut self, commands: &[Cmd], asking: bool) -> RedisResult<Vec<Value>> {
        let mut all = Pipeline::with_capacity(commands.len());
        for command in commands {
            if asking {
                all.cmd("ASKING").ignore();
            }
            all.add_command(command.clone());
        }
        let answers = all.query_async(&mut self.connection).await;
        self.note(&answers);
        answers
    }

    fn note<T>(&self, answer: &RedisResult<T>) {
        if answer.as_ref().err().is_none_or(|error| !error.is_io_error()) {
            self.heard.fetch_add(1, Ordering::Relaxed);
        }
    }
}
