//! Readers of events: some of the people have one all the time, which goes elsewhere when its gateway dies, and now and then for no
//! reason. Each holds against the gateways every gap and every repetition.

mod stream;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwire::domain::CallId;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::people::Person;
use crate::report::Kind;
use stream::Stream;

/// The most calls that a reader names when it comes back.
const NAMED: usize = 95;
/// How long a gateway may take to let a reader in.
const OPENED_WITHIN: Duration = Duration::from_secs(5);

/// By call: the number of the last event, and whether that was the end.
type Seen = BTreeMap<CallId, (u64, bool)>;

/// What a reader has been told.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Seen>>);

impl Told {
    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last event's number of a call, and whether that was the end.
    pub fn of(&self, call: CallId) -> Option<(u64, bool)> {
        self.locked().get(&call).copied()
    }

    pub fn count(&self) -> u64 {
        self.locked().values().map(|(seq, _)| seq).sum()
    }
}

/// All readers; they read until this is dropped.
#[derive(Default)]
pub struct Readers {
    /// By user.
    pub told: BTreeMap<String, Told>,
    tasks: JoinSet<()>,
}

impl Readers {
    /// One more; every other one reads as browsers do.
    pub fn add(&mut self, person: &Person, client: Client, ledger: Arc<Ledger>, dice: Dice) {
        let told = Told::default();
        let as_browser = self.told.len().is_multiple_of(2);
        let (user, token) = (person.id.clone(), person.token.clone());
        self.told.insert(user.clone(), told.clone());
        let reader = Reader { user, token, as_browser, last_id: None, told, client, ledger, dice };
        self.tasks.spawn(reader.read());
    }
}

struct Reader {
    user: String,
    token: String,
    as_browser: bool,
    last_id: Option<String>,
    told: Told,
    client: Client,
    ledger: Arc<Ledger>,
    dice: Dice,
}

impl Reader {
    async fn read(mut self) {
        loop {
            let since = self.since();
            if let Ok(Some((mut stream, snapshot))) = timeout(OPENED_WITHIN, self.open(&since)).await {
                if since.is_empty() {
                    self.begin(&snapshot);
                }
                for _ in 0..2 + self.dice.below(40) {
                    let Some(event) = stream.next().await else { break };
                    self.note(&event);
                    if let Some(id) = stream.last_id() {
                        self.last_id = Some(id);
                    }
                }
            }
            sleep(self.dice.millis(50..300)).await;
        }
    }

    async fn open(&mut self, since: &str) -> Option<(Stream, Value)> {
        let Self { client, token, dice, last_id, .. } = self;
        let mut stream = if self.as_browser {
            Stream::sse(client, token, last_id.as_deref(), dice).await?
        } else {
            Stream::socket(client, token, since, dice).await?
        };
        let snapshot = stream.next().await?;
        (snapshot["type"] == "snapshot").then_some((stream, snapshot))
    }

    /// Where the reader is; nothing, if it has been told nothing.
    fn since(&self) -> String {
        if self.as_browser {
            return self.last_id.clone().unwrap_or_default();
        }
        let seen = self.told.locked();
        let numbers: Vec<String> =
            seen.iter().rev().take(NAMED).map(|(call, (seq, _))| format!("{call}:{seq}")).collect();
        numbers.join(",")
    }

    /// What was before is in the snapshot.
    fn begin(&self, snapshot: &Value) {
        for call in snapshot["calls"].as_array().into_iter().flatten() {
            let id = call["id"].as_str().and_then(|id| CallId::parse(id).ok());
            if let (Some(id), Some(seq)) = (id, call["seq"].as_u64()) {
                self.told.locked().insert(id, (seq, call["state"] == "ended"));
            }
        }
    }

    fn note(&self, event: &Value) {
        let call = event["call_id"].as_str().and_then(|id| CallId::parse(id).ok());
        let (Some(call), Some(seq)) = (call, event["seq"].as_u64()) else {
            return self.object(None, &format!("{} was told {event}", self.user));
        };
        let (last, ended) = self.told.of(call).unwrap_or_default();
        if seq != last + 1 || ended {
            self.object(Some(call), &format!("{} was told of event {seq} after {last}: {event}", self.user));
        }
        self.told.locked().insert(call, (seq.max(last), ended || event["type"] == "call.ended"));
    }

    fn object(&self, call: Option<CallId>, seen: &str) {
        let form = if self.as_browser { "SSE" } else { "WebSocket" };
        self.ledger.locked().violation(Kind::Gaps, call, format!("{seen} ({form})"));
    }
}
