//! LiveKit's webhooks: who sent one, and what it says to whom.
//!
//! Believed is what came with a token that one of the configured keys has signed for exactly these bytes. What it says is a hint for the
//! call's record, which decides by itself (`domain::presence`). Events and words that are not known are no error: LiveKit's next
//! release has some. Sources: `webhook/` and `livekit_webhook.proto` of <https://github.com/livekit/protocol>,
//! <https://docs.livekit.io/home/server/webhooks/>.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::wire::word;
use crate::clock::Clock;
use crate::config::LiveKit;
use crate::crypto::{self, AlreadyInstalled, Compact, VerifyingKey};
use crate::domain::{Input, UserId};
use crate::live::Live;

/// The most bytes of a webhook's body.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// How far LiveKit's clock may be from this one.
const LEEWAY_SECS: u64 = 60;
/// A token that is longer is not looked at.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How many webhooks are remembered, so that one that comes again is known.
const REMEMBERED: usize = 4096;
/// The longest id of a webhook that is remembered.
const MAX_ID_BYTES: usize = 64;
/// The most bytes of what an egress says that are handed on.
const MAX_EGRESS_BYTES: usize = 64 * 1024;

/// Checks webhooks and reads them.
pub struct Webhooks {
    keys: Live<Keys>,
    clock: Clock,
    seen: Mutex<Seen>,
}

/// By their names, of which there may be several the same.
type Keys = HashMap<String, Vec<VerifyingKey>>;

/// A webhook whose token is LiveKit's.
pub struct Expected {
    sha256: Vec<u8>,
}

/// A webhook that LiveKit has sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its id, the same each time that it comes; empty if it has none.
    pub id: String,
    /// LiveKit's name for what happened.
    pub event: String,
    /// What it is about.
    pub news: News,
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Something happened in a room: an input for its call.
    Room {
        /// The room's name.
        room: String,
        /// The input.
        input: Input,
    },
    /// A recording began, went on or ended.
    Egress(Egress),
    /// Nothing that anybody here has a use for.
    Nothing,
}

/// What LiveKit says about a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// LiveKit's id of it, `EG_…`.
    pub id: String,
    /// The name of the room that is recorded.
    pub room: String,
    /// How it stands, such as `EGRESS_ACTIVE`. LiveKit leaves out `EGRESS_STARTING`; it is put in here.
    pub status: String,
    /// All that was said, LiveKit's `EgressInfo` as JSON, of at most 64 KiB; empty if it was longer.
    pub raw: String,
}

/// Why a webhook is not believed, or cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// It has no token, or none that can be read.
    #[error("it needs a token in the Authorization header")]
    NoToken,
    /// The token's key is not configured.
    #[error("its API key is not one of [livekit] or [[livekit.webhook_keys]]")]
    UnknownKey,
    /// The token was signed with another secret, or another algorithm.
    #[error("its signature is wrong")]
    Signature,
    /// The token is over, does not say until when it is good, or is not good yet.
    #[error("its token is over or not good yet")]
    Time,
    /// The token is for another body.
    #[error("its token is for another body")]
    Hash,
    /// The body is no webhook.
    #[error("its body cannot be read")]
    Body,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    sha256: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    #[serde(deserialize_with = "word")]
    id: String,
    #[serde(deserialize_with = "word")]
    event: String,
    room: Option<Room>,
    participant: Option<Participant>,
    egress_info: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Room {
    #[serde(deserialize_with = "word")]
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Participant {
    #[serde(deserialize_with = "word")]
    sid: String,
    #[serde(deserialize_with = "word")]
    identity: String,
    #[serde(deserialize_with = "word")]
    kind: String,
    #[serde(deserialize_with = "word")]
    disconnect_reason: String,
}

impl Webhooks {
    /// Takes the keys of the configuration.
    pub fn new(config: &LiveKit, clock: Clock) -> Result<Self, AlreadyInstalled> {
        crypto::install()?;
        Ok(Self { keys: Live::new(keys(config)), clock, seen: Mutex::default() })
    }

    /// From now on these keys are good.
    pub fn set_keys(&self, config: &LiveKit) {
        self.keys.set(keys(config));
    }

    /// Whether LiveKit sends a webhook with this `Authorization` header, and which one; its body need not have come yet.
    pub fn expect(&self, authorization: Option<&str>) -> Result<Expected, WebhookError> {
        self.check(authorization.ok_or(WebhookError::NoToken)?)
    }

    /// Reads the webhook that was expected, if this is it.
    pub fn receive(expected: &Expected, body: &[u8]) -> Result<Webhook, WebhookError> {
        if !same(&expected.sha256, digest(&SHA256, body).as_ref()) {
            return Err(WebhookError::Hash);
        }
        // Serde would read an array as a struct too, field by field.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(WebhookError::Body);
        }
        let body: Body = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
        Ok(Webhook { id: body.id.clone(), event: body.event.clone(), news: body.news() })
    }

    /// Whether a webhook has been dealt with here.
    pub fn has_seen(&self, webhook: &Webhook) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ids.contains(&webhook.id)
    }

    /// Remembers that a webhook has been dealt with.
    pub fn remember(&self, webhook: &Webhook) {
        if (1..=MAX_ID_BYTES).contains(&webhook.id.len()) {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).add(&webhook.id);
        }
    }

    fn check(&self, authorization: &str) -> Result<Expected, WebhookError> {
        // LiveKit sends the token alone; a proxy may insist on the scheme.
        let token = match authorization.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token.trim(),
            Some(_) => return Err(WebhookError::NoToken),
            None => authorization,
        };
        if token.len() > MAX_TOKEN_BYTES {
            return Err(WebhookError::NoToken);
        }
        let token = Compact::read(token).map_err(|_| WebhookError::NoToken)?;
        let claims: Claims = token.claims().map_err(|_| WebhookError::NoToken)?;
        let all = self.keys.now();
        let keys = claims.iss.as_ref().and_then(|key| all.get(key)).ok_or(WebhookError::UnknownKey)?;
        if !keys.iter().any(|key| token.verify(key).is_ok()) {
            return Err(WebhookError::Signature);
        }
        self.check_time(&claims)?;
        // Tokens of participants are signed with the same secret: they have no such claim.
        let sha256 = claims.sha256.and_then(|hash| BASE64.decode(hash.as_bytes()).ok()).ok_or(WebhookError::Hash)?;
        Ok(Expected { sha256 })
    }

    fn check_time(&self, claims: &Claims) -> Result<(), WebhookError> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
        let (now, leeway) = (self.clock.now().as_secs() as f64, LEEWAY_SECS as f64);
        let is_good =
            claims.exp.is_some_and(|exp| now < exp + leeway) && claims.nbf.is_none_or(|nbf| nbf <= now + leeway);
        if is_good { Ok(()) } else { Err(WebhookError::Time) }
    }
}

fn keys(config: &LiveKit) -> Keys {
    let further = config.webhook_keys.iter().map(|key| (&key.api_key, &key.api_secret));
    let mut keys = Keys::new();
    for (name, secret) in std::iter::once((&config.api_key, &config.api_secret)).chain(further) {
        keys.entry(name.clone()).or_default().push(VerifyingKey::hs256(secret.reveal().as_bytes()));
    }
    keys
}

impl Body {
    fn news(self) -> News {
        if self.event.starts_with("egress_") {
            return self.egress_info.map_or(News::Nothing, |info| News::Egress(egress(&info)));
        }
        let Some(room) = self.room.map(|room| room.name).filter(|name| !name.is_empty()) else { return News::Nothing };
        let input = match self.event.as_str() {
            "room_started" => Some(Input::RoomStarted),
            "room_finished" => Some(Input::RoomFinished),
            "participant_joined" => self.participant.and_then(Participant::joined),
            // An aborted connection was never seen to join.
            "participant_left" | "participant_connection_aborted" => self.participant.and_then(Participant::left),
            _ => None,
        };
        input.map_or(News::Nothing, |input| News::Room { room, input })
    }
}

impl Participant {
    /// The user and their session; recorders, agents and whatever kinds there will be are no users.
    fn party(&self) -> Option<(UserId, String)> {
        let is_person = matches!(self.kind.as_str(), "" | "STANDARD" | "0");
        let session = !self.sid.is_empty() && self.sid.len() <= MAX_ID_BYTES;
        let user = UserId::new(&self.identity).ok().filter(|_| is_person && session)?;
        Some((user, self.sid.clone()))
    }

    fn joined(self) -> Option<Input> {
        let (user, session) = self.party()?;
        Some(Input::ParticipantJoined(user, session))
    }

    fn left(self) -> Option<Input> {
        let (user, session) = self.party()?;
        Some(Input::ParticipantLeft { user, session, reason: self.disconnect_reason })
    }
}

fn egress(info: &Value) -> Egress {
    let word = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let raw = info.to_string();
    Egress {
        id: word("egressId"),
        room: word("roomName"),
        status: if info["status"].is_null() { "EGRESS_STARTING".to_owned() } else { word("status") },
        raw: if raw.len() <= MAX_EGRESS_BYTES { raw } else { String::new() },
    }
}

/// Compares in a time that tells nothing of where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

/// The last webhooks that were dealt with.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn add(&mut self, id: &str) {
        if !self.ids.insert(id.to_owned()) {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}
