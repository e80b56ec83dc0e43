//! A few long-lived connections to one host: opened before they are needed, replaced when they end, shared by all.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::backoff::Backoff;
use super::connection::{Answer, BrokenOff, Connection};
use super::endpoint::Endpoint;
use super::error::{TransportError, chain};
use super::goaway::Farewell;
use super::report::{Action, Outcome, Probe, State};
use crate::clock::Clock;

/// A host that refuses more often than this is not asked further.
const MAX_REFUSALS: u32 = 8;
/// A request that broke connections more often than this may be what breaks them.
const MAX_BREAKS: u32 = 2;
/// An answer is late after this time, and its connection doubted.
const LATE_AFTER: Duration = Duration::from_millis(400);

/// When a pool opens its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// At once, and again whenever one has ended.
    AtOnce,
    /// When a request waits for one.
    OnDemand,
}

/// The connections to one host. They close when it is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
    keepers: Vec<AbortHandle>,
}

struct Shared {
    name: String,
    endpoint: Endpoint,
    clock: Clock,
    connections: watch::Sender<Vec<Option<Arc<Connection>>>>,
    /// How many requests wait for a connection.
    waiting: watch::Sender<usize>,
    last_error: Mutex<Option<String>>,
    farewell: Farewell,
}

impl Pool {
    /// Starts to keep `size` connections open; `name` is for logs and states.
    pub(super) fn start(
        name: String,
        endpoint: Endpoint,
        size: usize,
        opening: Opening,
        clock: Clock,
        farewell: Farewell,
    ) -> Self {
        let shared = Arc::new(Shared {
            name,
            endpoint,
            clock,
            connections: watch::Sender::new(vec![None; size]),
            waiting: watch::Sender::new(0),
            last_error: Mutex::new(None),
            farewell,
        });
        let keep = |slot| tokio::spawn(shared.clone().keep(slot, opening)).abort_handle();
        let keepers = (0..size).map(keep).collect();
        Self { shared, keepers }
    }

    /// Where it connects to.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Sends a request over the connection with the fewest streams; over another one again if it is refused, or if it
    /// breaks off.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Request<()>,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, TransportError> {
        let exchange = self.exchange(request, body);
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(self.shared.too_late()))
    }

    /// Sends a request and judges its answer. A connection over which a provider could not serve is given up.
    pub(super) async fn deliver(
        &self,
        request: impl Fn() -> Request<()>,
        body: Bytes,
        deadline: Instant,
        judge: impl FnOnce(&Answer) -> Outcome,
    ) -> Outcome {
        let answer = match self.send(request, body, deadline).await {
            Ok(answer) => answer,
            Err(error) => return error.into(),
        };
        let outcome = judge(&answer);
        if let Action::Retry { fresh: true, .. } = outcome.action {
            answer.retire_connection();
        }
        outcome
    }

    async fn exchange(&self, request: impl Fn() -> Request<()>, body: Bytes) -> Result<Answer, TransportError> {
        let (mut refused, mut broken) = (0, 0);
        let mut last = None;
        loop {
            let connection = self.shared.connection(last.as_ref()).await;
            match self.shared.ask(&connection, request(), body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(BrokenOff { undone: true, .. }) if refused < MAX_REFUSALS => refused += 1,
                Err(BrokenOff { undone: false, .. }) if broken < MAX_BREAKS => broken += 1,
                Err(BrokenOff { error, .. }) => return Err(TransportError::Broken(error)),
            }
            last = Some(connection);
        }
    }

    /// Opens a connection of its own, to see whether that works, and tells where to.
    pub(super) async fn probe(&self) -> Probe {
        let opened = Connection::open(&self.shared.endpoint, 0, &self.shared.farewell).await;
        let result = opened.map(|connection| format!("HTTP/2 with {}", connection.peer()));
        Probe { name: self.shared.name.clone(), result: result.map_err(|error| chain(&error)) }
    }

    /// Whether it has a connection.
    pub(super) fn is_standing(&self) -> bool {
        self.shared.best(None).is_some()
    }

    /// Waits until it has one.
    pub(super) async fn stands(&self) {
        let is_open = |all: &Vec<Option<Arc<Connection>>>| all.iter().flatten().any(|one| one.is_open());
        let _ = self.shared.connections.subscribe().wait_for(is_open).await;
    }

    /// Why it has none.
    pub(super) fn why_not(&self) -> String {
        self.shared.why_not()
    }

    /// How many connections there are.
    pub(super) fn state(&self) -> State {
        let connections = self.shared.connections.borrow();
        State {
            name: self.shared.name.clone(),
            connected: connections.iter().flatten().filter(|connection| connection.is_open()).count(),
            of: connections.len(),
            last_error: self.shared.last_error(),
            held_back: None,
            times_held_back: 0,
            stale: None,
            fault: None,
            token_expires_at: None,
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.keepers.iter().for_each(AbortHandle::abort);
    }
}

impl Shared {
    /// Keeps one slot filled, for ever.
    async fn keep(self: Arc<Self>, slot: usize, opening: Opening) {
        let mut waiting = self.waiting.subscribe();
        let mut backoff = Backoff::default();
        for turn in slot.. {
            if opening == Opening::OnDemand {
                let _ = waiting.wait_for(|requests| *requests > 0).await;
            }
            match Connection::open(&self.endpoint, turn, &self.farewell).await {
                Ok(connection) => {
                    self.set_last_error(None);
                    self.connections.send_modify(|all| all[slot] = Some(connection.clone()));
                    connection.needs_replacement().await;
                    // What is said later is told at its end.
                    connection.last_words().tell_text();
                    if connection.was_of_use() {
                        backoff.succeeded();
                        continue;
                    }
                }
                Err(error) => {
                    let error = chain(&error);
                    tracing::debug!(provider = self.name, error, "cannot connect");
                    if self.set_last_error(Some(error.clone())).is_none() {
                        tracing::warn!(provider = self.name, error, "cannot connect; will try again");
                    }
                }
            }
            backoff.wait(&self.clock, waiting.wait_for(|requests| *requests > 0)).await;
        }
    }

    /// The best connection, once there is one; `not` only if there is no other.
    async fn connection(&self, not: Option<&Arc<Connection>>) -> Arc<Connection> {
        if let Some(connection) = self.best(not) {
            return connection;
        }
        let mut opened = self.connections.subscribe();
        let _waiting = Waiting::begin(&self.waiting);
        loop {
            if let Some(connection) = self.best(not) {
                return connection;
            }
            let _ = opened.changed().await;
        }
    }

    /// Sends a request over a connection; while the answer is late, the connections are asked for a sign of life.
    async fn ask(&self, connection: &Arc<Connection>, request: Request<()>, body: Bytes) -> Result<Answer, BrokenOff> {
        let mut answer = pin!(connection.request(request, body));
        loop {
            match timeout(LATE_AFTER, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) => self.doubt_the_silent(),
            }
        }
    }

    /// Asks for a sign of life on every connection without one: what has cut one off has often cut off all.
    fn doubt_the_silent(&self) {
        for connection in self.connections.borrow().iter().flatten() {
            connection.doubt_unless_heard_within(LATE_AFTER);
        }
    }

    fn best(&self, not: Option<&Arc<Connection>>) -> Option<Arc<Connection>> {
        let is_not = |connection: &Arc<Connection>| not.is_some_and(|not| Arc::ptr_eq(not, connection));
        let connections = self.connections.borrow();
        let open = connections.iter().flatten().filter(|connection| connection.is_open());
        open.min_by_key(|connection| (is_not(connection), connection.burden())).cloned()
    }

    fn too_late(&self) -> TransportError {
        if self.best(None).is_some() {
            return TransportError::Deadline;
        }
        TransportError::NotConnected(self.why_not())
    }

    fn why_not(&self) -> String {
        self.last_error().unwrap_or_else(|| "still connecting".to_owned())
    }

    fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the last error and gives the one before.
    fn set_last_error(&self, error: Option<String>) -> Option<String> {
        std::mem::replace(&mut self.last_error.lock().unwrap_or_else(PoisonError::into_inner), error)
    }
}

/// Counts somebody in need for as long as the need lasts.
pub(super) struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    pub(super) fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|waiting| *waiting += 1);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}
