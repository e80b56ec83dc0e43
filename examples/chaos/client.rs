//! How apps talk to the gateways: whatever gets no answer, or one that says "later", is sent again elsewhere, as it was. Sometimes
//! an answer is not waited for, and sometimes a request is sent twice at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::domain::{CallId, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::Failure;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::people::Person;
use crate::report::Kind;
use crate::world::gateway::{Addresses, Running, Version};

/// How long an app waits for an answer. A gateway gives up the store after a second a command.
const ANSWERED_WITHIN: Duration = Duration::from_secs(6);
/// How long an app tries.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a gateway is asked that should answer.
const TRIES_AT: usize = 5;
/// Of a hundred requests, how many have their first answer thrown away, and how many are sent twice at once.
const THROWN_AWAY_PERCENT: usize = 6;
const DOUBLED_PERCENT: usize = 6;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Register,
    Invite,
    Read,
    Alerting,
    Answer,
    Decline,
    Cancel,
    HangUp,
    Token,
}

impl Verb {
    /// Whether it can end a call.
    pub fn ends(self) -> bool {
        matches!(self, Self::Decline | Self::Cancel | Self::HangUp)
    }

    /// Whether it carries a call on.
    pub fn is_step(self) -> bool {
        self.ends() || matches!(self, Self::Invite | Self::Alerting | Self::Answer)
    }

    /// Whether it is a device of the callee that speaks.
    pub fn is_of_device(self) -> bool {
        matches!(self, Self::Alerting | Self::Answer | Self::Decline)
    }

    fn method(self) -> Method {
        match self {
            Self::Register => Method::PUT,
            Self::Read => Method::GET,
            _ => Method::POST,
        }
    }

    fn path(self, call: Option<CallId>, device: Option<&str>) -> String {
        let of_call = |verb: &str| format!("/v1/calls/{}{verb}", call.map(|id| id.to_string()).unwrap_or_default());
        match self {
            Self::Register => format!("/v1/devices/{}", device.unwrap_or_default()),
            Self::Invite => "/v1/calls".to_owned(),
            Self::Read => of_call(""),
            Self::Alerting => of_call("/alerting"),
            Self::Answer => of_call("/answer"),
            Self::Decline => of_call("/decline"),
            Self::Cancel => of_call("/cancel"),
            Self::HangUp => of_call("/hangup"),
            Self::Token => of_call("/token"),
        }
    }
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub verb: Verb,
    pub call: Option<CallId>,
    /// Who asks, and by which device.
    pub user: String,
    pub device: Option<String>,
    pub bearer: String,
    pub key: Option<String>,
    pub body: Value,
    /// Of an invite: the callee's phones as they are registered.
    pub rung: Vec<Rung>,
    pub may_be_busy: bool,
    /// It is asked for what nobody may have.
    pub is_tried: bool,
}

/// A phone that an invite must ring.
#[derive(Debug, Clone)]
pub struct Rung {
    pub device: String,
    pub is_iphone: bool,
    /// Of its rings.
    pub token: String,
}

impl Ask {
    /// A request of a person by their own token.
    pub fn new(person: &Person, verb: Verb, call: Option<CallId>) -> Self {
        Self::of(&person.id, &person.token, verb, call)
    }

    /// A request of a user by some token.
    pub fn of(user: &str, bearer: &str, verb: Verb, call: Option<CallId>) -> Self {
        Self {
            verb,
            call,
            user: user.to_owned(),
            device: None,
            bearer: bearer.to_owned(),
            key: None,
            body: json!({}),
            rung: Vec::new(),
            may_be_busy: false,
            is_tried: false,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call.map(|call| call.to_string()).unwrap_or_default();
        write!(f, "{:?} {call} {} {:?} {:?}", self.verb, self.user, self.device, self.key)
    }
}

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub sent_at: Timestamp,
    pub at: Timestamp,
    pub gateway: usize,
    pub version: Version,
}

/// Nobody answered for a very long time.
#[derive(Debug, Clone, Copy)]
pub struct GaveUp;

/// Why there is no answer.
enum Broken {
    /// One of 503, or another that says "later".
    Later,
    Lost {
        sent_at: Timestamp,
    },
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    ledger: Arc<Ledger>,
    clock: Clock,
}

impl Client {
    pub fn new(addresses: Arc<Addresses>, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, addresses, ledger, clock: Clock::system() })
    }

    /// A request that the caller finishes, to a gateway that runs.
    pub fn begin(&self, method: Method, path: &str, dice: &mut Dice) -> Option<reqwest::RequestBuilder> {
        let Running { address, .. } = self.addresses.choose(dice, None)?;
        Some(self.http.request(method, format!("http://{address}{path}")))
    }

    /// Asks as unreliable apps on unreliable networks do, until there is an answer.
    pub async fn ask(&self, ask: &Ask, dice: &mut Dice) -> Result<Reply, GaveUp> {
        if dice.chance(THROWN_AWAY_PERCENT) {
            self.throw_away(ask, dice).await;
        } else if dice.chance(DOUBLED_PERCENT) {
            return self.ask_twice(ask, dice).await;
        }
        self.insist(ask, None, dice).await
    }

    /// Sends the same twice at once, to two gateways if there are.
    pub async fn ask_twice(&self, ask: &Ask, dice: &mut Dice) -> Result<Reply, GaveUp> {
        self.ledger.count(|tally| tally.doubled += 1);
        let first = self.addresses.choose(dice, None).map(|running| running.place);
        let (mut dice, mut others) = (dice.fork(), dice.fork());
        let (one, other) = tokio::join!(self.insist(ask, first, &mut dice), self.insist(ask, first, &mut others));
        other?;
        one
    }

    /// Sends it, and is gone before the answer is read.
    async fn throw_away(&self, ask: &Ask, dice: &mut Dice) {
        let Some(at) = self.addresses.choose(dice, None) else { return };
        self.ledger.count(|tally| tally.thrown_away += 1);
        self.ledger.sending(ask, at.place, self.clock.now());
        let _ = timeout(dice.millis(0..12), self.send(ask, at)).await;
    }

    /// Asks until there is an answer; first not at the gateway `but`, if there is a choice.
    pub async fn insist(&self, ask: &Ask, but: Option<usize>, dice: &mut Dice) -> Result<Reply, GaveUp> {
        let (started, mut but) = (Instant::now(), but);
        while started.elapsed() < PATIENCE {
            if let Some(at) = self.addresses.choose(dice, but) {
                match self.once(ask, at).await {
                    Ok(reply) => {
                        self.ledger.note(ask, &reply);
                        return Ok(reply);
                    }
                    Err(Broken::Later) => self.ledger.count(|tally| tally.unavailable += 1),
                    Err(Broken::Lost { sent_at }) => self.ledger.unanswered(at.place, sent_at, self.clock.now()),
                }
                but = Some(at.place);
            }
            sleep(dice.millis(100..400)).await;
        }
        let seen = format!("{:?} of {} got no answer for {PATIENCE:?}", ask.verb, ask.user);
        self.ledger.locked().violation(Kind::Answers, ask.call, seen);
        Err(GaveUp)
    }

    /// Asks one gateway, which should not fail any more.
    pub async fn ask_at(&self, ask: &Ask, at: Running) -> Option<Reply> {
        for _ in 0..TRIES_AT {
            if let Ok(reply) = self.once(ask, at).await {
                return Some(reply);
            }
            sleep(Duration::from_secs(1)).await;
        }
        None
    }

    async fn once(&self, ask: &Ask, gateway: Running) -> Result<Reply, Broken> {
        let sent_at = self.clock.now();
        self.ledger.sending(ask, gateway.place, sent_at);
        let Ok(Ok((status, body))) = timeout(ANSWERED_WITHIN, self.send(ask, gateway)).await else {
            return Err(Broken::Lost { sent_at });
        };
        let at = self.clock.now();
        let took = usize::try_from(at.since(sent_at).as_millis()).unwrap_or(usize::MAX);
        self.ledger.count(|tally| tally.slowest_ms = tally.slowest_ms.max(took));
        if matches!(status, 408 | 429 | 503) {
            return Err(Broken::Later);
        }
        Ok(Reply { status, body, sent_at, at, gateway: gateway.place, version: gateway.version })
    }

    async fn send(&self, ask: &Ask, to: Running) -> reqwest::Result<(u16, Value)> {
        let url = format!("http://{}{}", to.address, ask.verb.path(ask.call, ask.device.as_deref()));
        let mut request = self.http.request(ask.verb.method(), url).bearer_auth(&ask.bearer);
        if let Some(key) = &ask.key {
            request = request.header("idempotency-key", key);
        }
        if ask.verb != Verb::Read {
            request = request.header("content-type", "application/json").body(ask.body.to_string());
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.bytes().await?;
        Ok((status, serde_json::from_slice(&text).unwrap_or_default()))
    }
}
