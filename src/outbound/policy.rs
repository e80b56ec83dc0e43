//! The policy question: whether a call may be, asked of the app's backend before anything rings.
//!
//! A question is signed as a webhook is, and unlike one it is asked once, while the caller waits: what is no answer in time is a failure, and
//! what that means is for the configuration to say. So many are asked at once; more are not queued, since a backend that is slow would only
//! become slower.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ClientError;
use super::client::client;
use super::record::PartyView;
use super::signature::Keys;
use crate::clock::Clock;
use crate::config::Policy as Config;
use crate::domain::ids::turns_text;
use crate::domain::{Media, Party, Timestamp, Unknown, UserId};
use crate::places::PlacesPer;
use crate::telemetry::Metrics;

/// How many questions are under way at a time, and how many of them about calls of one user: copies of an invite must not take the turns of all,
/// least of all where calls go on without an answer.
const AT_ONCE: usize = 64;
const OF_A_CALLER: usize = 2;
/// The longest answer.
const ANSWER_BYTES: usize = 4096;
/// The longest reason that a caller is told.
const REASON_CHARS: usize = 200;

/// Who is asked.
pub struct Policy {
    url: Url,
    keys: Keys,
    timeout: Duration,
    fails_open: bool,
    client: Client,
    clock: Clock,
    metrics: Arc<Metrics>,
    turns: Semaphore,
    callers: PlacesPer<UserId>,
    /// Since when there were no answers, and why not.
    trouble: Mutex<Option<(Timestamp, &'static str)>>,
}

/// A call that is about to be.
#[derive(Debug, Serialize)]
pub struct Question<'a> {
    /// Who calls.
    pub caller: PartyView,
    /// Who is called.
    pub callee: &'a UserId,
    /// Sound or pictures.
    pub media: Media,
    /// The app's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a Value>,
    /// Whether it only tries whether phones ring.
    pub test: bool,
    /// Who asks for the call.
    pub asked_by: By,
}

/// Who asks for a call.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The caller.
    User,
    /// The app's backend.
    Service,
}

/// Whether a call may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It may.
    Allowed,
    /// It may not; why, if that was said.
    Refused(Option<String>),
    /// Nobody can say now, and it may not without.
    Unknown,
    /// The caller has as many calls that are asked about as they may: nobody was asked about this one.
    TooMany,
}

/// What came of asking.
type Asked = Result<Answer, &'static str>;

#[derive(Debug, Deserialize)]
struct Answer {
    allow: bool,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Body<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: &'a T,
}

impl Policy {
    /// Prepares to ask whomever the configuration names, if it names anybody; nothing is asked yet.
    pub fn of(config: &Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Option<Self>, ClientError> {
        let Some(hook) = &config.hook else { return Ok(None) };
        Ok(Some(Self {
            url: Url::parse(&hook.url).map_err(|_| ClientError::PolicyUrl)?,
            keys: Keys::new(&hook.secrets),
            client: client(config.timeout)?,
            timeout: config.timeout,
            fails_open: config.fails_open,
            clock,
            metrics,
            turns: Semaphore::new(AT_ONCE),
            callers: PlacesPer::new(OF_A_CALLER),
            trouble: Mutex::default(),
        }))
    }

    /// Asks whether a call of this user may be.
    pub async fn ask(&self, caller: &UserId, question: &Question<'_>) -> Ruling {
        let began = Instant::now();
        let callers_turn = self.callers.take_kept(caller.clone());
        // Whom the app's backend lets call is its own affair.
        if callers_turn.is_none() && matches!(question.asked_by, By::User) {
            self.metrics.policy_asked("caller_asks_much", began.elapsed());
            return Ruling::TooMany;
        }
        let asked = match self.turns.try_acquire() {
            Ok(_turn) => timeout(self.timeout, self.post(question)).await.unwrap_or(Err("timeout")),
            Err(_) => Err("too_many"),
        };
        let outcome = match &asked {
            Ok(Answer { allow: true, .. }) => "allowed",
            Ok(Answer { allow: false, .. }) => "refused",
            Err(failure) => failure,
        };
        self.metrics.policy_asked(outcome, began.elapsed());
        self.note(asked.as_ref().err().copied());
        match asked {
            Ok(Answer { allow: true, .. }) => Ruling::Allowed,
            Ok(Answer { reason, .. }) => Ruling::Refused(reason.as_deref().and_then(fit_to_show)),
            Err(_) if self.fails_open => Ruling::Allowed,
            Err(_) => Ruling::Unknown,
        }
    }

    /// Why there are no answers now, and since when.
    pub fn trouble(&self) -> Option<(Timestamp, &'static str)> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls go on where there is no answer.
    pub fn fails_open(&self) -> bool {
        self.fails_open
    }

    /// Asks about a test call of two users whom nobody has, and says what came of it.
    pub async fn probe(&self) -> Result<&'static str, &'static str> {
        let nobody = |name: &str| UserId::new(format!("bellwire-check-{name}")).map_err(|_| "no user");
        let caller = Party { id: nobody("caller")?, name: None, avatar: None, unknown: Unknown::default() };
        let callee = nobody("callee")?;
        let question = Question {
            caller: PartyView::from(&caller),
            callee: &callee,
            media: Media::Audio,
            metadata: None,
            test: true,
            asked_by: By::Service,
        };
        let asked = timeout(self.timeout, self.post(&question)).await.unwrap_or(Err("timeout"));
        asked.map(|answer| if answer.allow { "allowed" } else { "refused" })
    }

    async fn post(&self, question: &Question<'_>) -> Asked {
        let (id, now) = (self.clock.uuid(), self.clock.now());
        let body = Body { kind: "call.policy", timestamp: now.rfc3339(), data: question };
        let body = serde_json::to_string(&body).map_err(|_| "unreachable")?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id.to_string())
            .header("webhook-timestamp", now.as_secs().to_string())
            .header("webhook-signature", self.keys.sign(id, now.as_secs(), &body))
            .body(body);
        let answer = request.send().await.map_err(failure)?;
        let status = answer.status().as_u16();
        let answer = read(answer).await?;
        if status != 200 {
            tracing::warn!(status, "the policy was asked and answered with a status that says nothing");
            return Err("bad_status");
        }
        serde_json::from_slice(&answer).map_err(|error| {
            // Its words may quote the answer, its place does not.
            tracing::warn!(
                line = error.line(),
                column = error.column(),
                "the answer of the policy cannot be understood"
            );
            "bad_answer"
        })
    }

    /// Notes whether there was an answer, and tells when that changes.
    fn note(&self, failure: Option<&'static str>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (failure, *trouble) {
            (Some(why), None) => {
                let then = if self.fails_open { "calls go on without" } else { "no call can be made" };
                tracing::error!(why, "the policy does not answer, and {then}");
                *trouble = Some((self.clock.now(), why));
            }
            (Some(why), Some((since, _))) => *trouble = Some((since, why)),
            (None, Some(_)) => {
                tracing::info!("the policy answers again");
                *trouble = None;
            }
            (None, None) => {}
        }
    }
}

/// Reads a short answer to its end, so that its connection can be used again.
async fn read(mut answer: Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failure)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err("too_long");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failure(error: reqwest::Error) -> &'static str {
    let is_late = error.is_timeout();
    // Without the URL, which may have a secret.
    let error = error.without_url();
    tracing::warn!(error = &error as &dyn Error, "the policy could not be asked");
    if is_late { "timeout" } else { "unreachable" }
}

/// What of a reason a caller may be shown.
fn fit_to_show(reason: &str) -> Option<String> {
    let shown = reason.chars().filter(|c| !c.is_control() && !turns_text(*c)).take(REASON_CHARS);
    Some(shown.collect::<String>().trim().to_owned()).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_made_fit_to_be_shown() {
        assert_eq!(fit_to_show(" not\u{202e} now\r\n").as_deref(), Some("not now"));
        assert_eq!(fit_to_show(" \u{0} "), None);
        assert_eq!(fit_to_show(&"é".repeat(5000)).map(|reason| reason.chars().count()), Some(200));
    }
}
