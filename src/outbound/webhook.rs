//! One try to deliver a message: signed, to an address that the configuration names, with an answer of which only the status counts; or,
//! where the endpoint is a database, as rows there.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use ring::digest::{SHA256, digest};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::client::client;
use super::message::Message;
use super::postgres::{Postgres, PostgresError};
use super::signature::Keys;
use crate::clock::Clock;
use crate::config::Webhook;
use crate::domain::{EndpointId, Subscribers, Unknown, UserId, WebhookEvent};
use crate::lifecycle::Stop;
use crate::live::Live;

/// How long a try may take, the wait for its turn included.
const TRY_WITHIN: Duration = Duration::from_secs(15);
/// How many first tries are under way at an endpoint at a time, and how many later ones.
const FRESH_AT_ONCE: usize = 32;
const LATE_AT_ONCE: usize = 8;
/// How long a message waits for its turn. Where that is not enough the endpoint is slow, and the message comes back.
const TURN_WITHIN: Duration = Duration::from_secs(4);
/// How much of an answer is read, and how long, so that its connection can be used again.
const ANSWER_BYTES: usize = 16 * 1024;
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// The longest pause that an endpoint may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How long a try goes on after the gateway was told to stop.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// The endpoints of a gateway.
pub struct Webhooks {
    endpoints: Live<Endpoints>,
    client: Client,
    clock: Clock,
    stop: Stop,
}

/// Where messages go, ready to take the place of others.
pub struct Endpoints(Vec<Arc<Endpoint>>);

struct Endpoint {
    id: EndpointId,
    events: Vec<WebhookEvent>,
    turns: Arc<Turns>,
    way: Way,
}

/// How many tries are under way.
struct Turns {
    fresh: Semaphore,
    late: Semaphore,
}

impl Turns {
    fn of(fresh: usize, late: usize) -> Arc<Self> {
        Arc::new(Self { fresh: Semaphore::new(fresh), late: Semaphore::new(late) })
    }
}

/// How an endpoint is told.
enum Way {
    Post(Post),
    Rows(Arc<Postgres>),
}

struct Post {
    url: Url,
    /// For logs; a path or query may have a secret.
    host: String,
    keys: Keys,
}

/// Whose turn a try is: the backlog of an endpoint that was down holds no new message up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A first try.
    Fresh,
    /// One of a message that waits for long.
    Late,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The endpoint took it.
    Done,
    /// The endpoint says that it is gone (410).
    Gone,
    /// This gateway's configuration has no such endpoint: it was taken out, or came in at other gateways first.
    Unknown,
    /// Later, and not before this pause, if it named one.
    Later(Option<Duration>),
}

/// Why there can be no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The URL of an endpoint is none.
    #[error("the url of webhooks[{0}] cannot be read")]
    Url(usize),
    /// The URL of the policy is none.
    #[error("policy.url cannot be read")]
    PolicyUrl,
    /// No TLS.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// No client.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

impl Webhooks {
    /// The endpoints of a configuration.
    pub fn new(sections: &[Webhook], clock: Clock, stop: Stop) -> Result<Self, ClientError> {
        let endpoints = Live::new(Endpoints::of(sections, &[])?);
        Ok(Self { endpoints, client: client(TRY_WITHIN)?, clock, stop })
    }

    /// These endpoints, and a database, if there is one, that is told as they are.
    #[must_use]
    pub fn with_history(self, postgres: Option<&Arc<Postgres>>) -> Self {
        let Some(postgres) = postgres else { return self };
        let writing = postgres.connections.saturating_sub(1);
        let late = writing / 2;
        let rows = Endpoint {
            id: EndpointId::postgres(),
            events: Postgres::EVENTS.to_vec(),
            turns: Turns::of(writing - late, late),
            way: Way::Rows(Arc::clone(postgres)),
        };
        let posts = self.endpoints.now();
        self.endpoints.set(Endpoints(posts.0.iter().cloned().chain([Arc::new(rows)]).collect()));
        self
    }

    /// The endpoints of another configuration, beside the database of this one.
    pub fn others(&self, sections: &[Webhook]) -> Result<Endpoints, ClientError> {
        let now = self.endpoints.now();
        let mut others = Endpoints::of(sections, &now.0)?;
        others.0.extend(now.0.iter().filter(|endpoint| matches!(endpoint.way, Way::Rows(_))).cloned());
        Ok(others)
    }

    /// Messages go to these from now on.
    pub fn set(&self, endpoints: Endpoints) {
        self.endpoints.set(endpoints);
    }

    /// The number of an endpoint's section in the configuration, from 0, or `postgres`, in a word; `unknown` where it has none.
    pub fn number(&self, id: &EndpointId) -> String {
        if *id == EndpointId::postgres() {
            return id.to_string();
        }
        let place = self.endpoints.now().0.iter().position(|endpoint| endpoint.id == *id);
        place.map_or_else(|| "unknown".to_owned(), |place| place.to_string())
    }

    /// The endpoints as they are now.
    pub fn endpoints(&self) -> Arc<Endpoints> {
        self.endpoints.now()
    }

    /// The endpoints that are to be told of an event.
    pub fn wanting(&self, event: WebhookEvent) -> Vec<EndpointId> {
        self.endpoints.now().wanting(event)
    }

    /// Deletes what the database has of a user, their bans only if `bans`; says how many rows that were. There are none without a database.
    pub async fn erase_history(&self, user: &UserId, bans: bool) -> Result<u64, PostgresError> {
        for endpoint in &self.endpoints.now().0 {
            if let Way::Rows(postgres) = &endpoint.way {
                return postgres.erase(user, bans).await;
            }
        }
        Ok(0)
    }

    /// Tries to deliver a message.
    pub async fn deliver(&self, message: &Message, turn: Turn) -> Delivery {
        let endpoints = self.endpoints.now();
        let Some(endpoint) = endpoints.0.iter().find(|endpoint| endpoint.id == message.endpoint) else {
            tracing::warn!(webhook_id = %message.id, event = %message.event, "a webhook waits: this gateway does not know its endpoint");
            return Delivery::Unknown;
        };
        let mut stop = self.stop.clone();
        let cut_off = async {
            stop.given().await;
            tokio::time::sleep(LAST_CHANCE).await;
        };
        tokio::select! {
            delivery = timeout(TRY_WITHIN, endpoint.deliver(self, message, turn)) => {
                delivery.unwrap_or(Delivery::Later(None))
            }
            () = cut_off => Delivery::Later(None),
        }
    }
}

impl Endpoints {
    /// Those of a configuration; one that is there already keeps its turns.
    fn of(sections: &[Webhook], there: &[Arc<Endpoint>]) -> Result<Self, ClientError> {
        let endpoints = sections.iter().enumerate().map(|(index, section)| {
            let url = Url::parse(&section.url).map_err(|_| ClientError::Url(index))?;
            let id = endpoint_id(&section.url).ok_or(ClientError::Url(index))?;
            let known = there.iter().find(|endpoint| endpoint.id == id);
            let turns = known.map_or_else(|| Turns::of(FRESH_AT_ONCE, LATE_AT_ONCE), |known| Arc::clone(&known.turns));
            let host = url.host_str().unwrap_or_default().to_owned();
            let way = Way::Post(Post { host, url, keys: Keys::new(&section.secrets) });
            Ok(Arc::new(Endpoint { id, events: section.events.clone(), turns, way }))
        });
        Ok(Self(endpoints.collect::<Result<_, _>>()?))
    }

    /// Those that are to be told of an event.
    pub fn wanting(&self, event: WebhookEvent) -> Vec<EndpointId> {
        let wanting = self.0.iter().filter(|endpoint| endpoint.events.contains(&event));
        wanting.map(|endpoint| endpoint.id.clone()).collect()
    }

    /// Those that calls which begin now tell.
    pub fn subscribers(&self) -> Subscribers {
        let (ended, missed) = (self.wanting(WebhookEvent::CallEnded), self.wanting(WebhookEvent::CallMissed));
        Subscribers { ended, missed, unknown: Unknown::default() }
    }
}

impl Endpoint {
    async fn turn(&self, turn: Turn) -> Option<SemaphorePermit<'_>> {
        let turns = match turn {
            Turn::Fresh => &self.turns.fresh,
            Turn::Late => &self.turns.late,
        };
        timeout(TURN_WITHIN, turns.acquire()).await.ok()?.ok()
    }

    async fn deliver(&self, all: &Webhooks, message: &Message, turn: Turn) -> Delivery {
        let Some(_turn) = self.turn(turn).await else {
            tracing::warn!(webhook_id = %message.id, endpoint = %self.id, "a message waits: its endpoint has too many under way");
            return Delivery::Later(None);
        };
        match &self.way {
            Way::Post(post) => post.deliver(all, message).await,
            Way::Rows(postgres) => write(postgres, message).await,
        }
    }
}

impl Post {
    async fn deliver(&self, all: &Webhooks, message: &Message) -> Delivery {
        let seconds = all.clock.now().as_secs();
        let request = all
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id.to_string())
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", self.keys.sign(message.id, seconds, &message.body))
            .body(message.body.clone());
        let request = match message.trace {
            Some(trace) => request.header("traceparent", trace.to_string()),
            None => request,
        };
        match request.send().await {
            Ok(answer) => {
                let delivery = judge(answer.status(), answer.headers());
                let status = answer.status().as_u16();
                if delivery == Delivery::Done {
                    tracing::debug!(webhook_id = %message.id, event = %message.event, host = self.host, status, "a webhook was taken");
                } else {
                    tracing::warn!(webhook_id = %message.id, event = %message.event, host = self.host, status, "a webhook was not taken");
                }
                let _ = timeout(ANSWER_WITHIN, read_through(answer)).await;
                delivery
            }
            Err(error) => {
                // Without the URL, which may have a secret.
                let error = error.without_url();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(webhook_id = %message.id, event = %message.event, host = self.host, error, "a webhook could not be sent");
                Delivery::Later(None)
            }
        }
    }
}

async fn write(postgres: &Postgres, message: &Message) -> Delivery {
    match postgres.write(message).await {
        Ok(()) => {
            tracing::debug!(webhook_id = %message.id, event = %message.event, "a row was written to PostgreSQL");
            Delivery::Done
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(webhook_id = %message.id, event = %message.event, error, "a row could not be written to PostgreSQL yet");
            Delivery::Later(None)
        }
    }
}

/// What a status means. Whatever is not said here may be a mistake that is mended, so the message comes again.
fn judge(status: StatusCode, headers: &HeaderMap) -> Delivery {
    match status {
        status if status.is_success() => Delivery::Done,
        StatusCode::GONE => Delivery::Gone,
        _ => {
            let seconds = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
            Delivery::Later(seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)))
        }
    }
}

/// Reads a short answer to its end, so that its connection can be used again.
async fn read_through(mut answer: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        read += chunk.len();
        if read > ANSWER_BYTES {
            return;
        }
    }
}

/// An endpoint's name in records: a digest of its URL.
fn endpoint_id(url: &str) -> Option<EndpointId> {
    EndpointId::new(HEXLOWER.encode(&digest(&SHA256, url.as_bytes()).as_ref()[..8])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_becomes_of_a_message() {
        let verdict = |status, after: Option<&str>| {
            let after = after.map(|after| (RETRY_AFTER, after.parse().expect("a value")));
            judge(StatusCode::from_u16(status).expect("a status"), &after.into_iter().collect())
        };
        for status in [200, 202, 204] {
            assert_eq!(verdict(status, None), Delivery::Done);
        }
        assert_eq!(verdict(410, None), Delivery::Gone);
        for status in [301, 308, 400, 401, 404, 500, 503] {
            assert_eq!(verdict(status, None), Delivery::Later(None), "{status}");
        }
        assert_eq!(verdict(429, Some("30")), Delivery::Later(Some(Duration::from_secs(30))));
        assert_eq!(verdict(503, Some("Wed, 21 Oct 2026 07:28:00 GMT")), Delivery::Later(None));
    }
}
