//! The faults that a simulator can be told to make: what a rule is, and the fields that it is written in.
//!
//! The same fields make a line of text (`line`), a table of a rule file (`file`) and an object of the control port. When
//! a rule applies is up to `rules`, what a fault does to `exchange` and `connection`.

mod fault;
mod file;
mod line;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub(super) use fault::{Canned, Fault, Streams};
pub use file::RuleFileError;

use super::log::Provider;
use super::{apns, google};
use crate::domain::Timestamp;

/// A fault, whom it befalls, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The name by which the control port knows it; it is given one if this is none.
    pub(super) id: Option<String>,
    /// Of a hundred requests; 100 befalls every one without drawing lots.
    pub(super) share: f64,
    pub(super) host: Host,
    pub(super) fault: Fault,
    pub(super) only: Only,
    pub(super) times: Option<u32>,
    pub(super) from: Option<Moment>,
    pub(super) until: Option<Moment>,
}

/// Which requests a rule is for; what is `None` excludes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Only {
    /// The device token or installation id.
    pub(super) token: Option<String>,
    /// The bundle id of a topic, or FCM's `restricted_package_name`.
    pub(super) app: Option<String>,
    /// The payload's `type`, or Apple's push type.
    pub(super) kind: Option<String>,
    /// The payload's `call_id`.
    pub(super) call: Option<String>,
}

/// A time, or how long after the rule was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    At(Timestamp),
    After(Duration),
}

/// Why something is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {expected}, found {}", found.as_deref().unwrap_or("nothing"))]
pub struct RuleError {
    field: String,
    expected: String,
    found: Option<String>,
}

impl RuleError {
    /// The field at fault, as a rule file and the control port name it.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// The provider of a rule; `apns` is both of Apple's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Apns,
    ApnsProduction,
    ApnsSandbox,
    Fcm,
    OAuth,
}

const PROVIDERS: &str = "a provider: apns, apns-production, apns-sandbox, fcm or oauth";
const FIELDS: [&str; 14] = [
    "id",
    "line",
    "provider",
    "fault",
    "share",
    "token",
    "app",
    "kind",
    "call",
    "times",
    "from",
    "until",
    "retry_after",
    "since",
];
const ID: &str = "an id of 1 to 64 letters, digits, `-`, `_` and `.`";
const MAX_ID_BYTES: usize = 64;
/// More than any token, app or id has.
const MAX_TEXT_BYTES: usize = 4096;

impl Host {
    const NAMES: [(&'static str, Self); 5] = [
        ("apns", Self::Apns),
        ("apns-production", Self::ApnsProduction),
        ("apns-sandbox", Self::ApnsSandbox),
        ("fcm", Self::Fcm),
        ("oauth", Self::OAuth),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, host)| *host == self).map_or("", |(name, _)| name)
    }

    pub(super) fn is(self, provider: Provider) -> bool {
        match self {
            Self::Apns => self.is_apple(provider),
            Self::ApnsProduction => provider == Provider::Apns,
            Self::ApnsSandbox => provider == Provider::ApnsSandbox,
            Self::Fcm => provider == Provider::Fcm,
            Self::OAuth => provider == Provider::OAuth,
        }
    }

    fn is_apple(self, provider: Provider) -> bool {
        self.is_apples() && matches!(provider, Provider::Apns | Provider::ApnsSandbox)
    }

    fn is_apples(self) -> bool {
        matches!(self, Self::Apns | Self::ApnsProduction | Self::ApnsSandbox)
    }

    /// The provider's words and their statuses; of several with one status the first is meant by it.
    fn reasons(self) -> Vec<(&'static str, u16)> {
        match self {
            Self::Apns | Self::ApnsProduction | Self::ApnsSandbox => apns::REASONS.to_vec(),
            Self::Fcm => google::fcm_reasons(),
            Self::OAuth => google::OAUTH_REASONS.to_vec(),
        }
    }
}

impl Moment {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let after = || humantime::parse_duration(text).ok().map(Self::After);
        Timestamp::parse_rfc3339(text).map(Self::At).or_else(after)
    }

    pub(super) fn seen_from(self, made: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(after) => made + after,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => at.fmt(f),
            Self::After(after) => f.write_str(&one_word(*after)),
        }
    }
}

impl Rule {
    /// Reads a rule from its fields.
    pub(super) fn from_fields(fields: impl IntoIterator<Item = (String, String)>) -> Result<Self, RuleError> {
        let mut given = Given(Vec::new());
        for (name, text) in fields {
            if !FIELDS.contains(&name.as_str()) {
                return Err(error(&name, format!("one of {}", FIELDS.join(", ")), Some(&name)));
            }
            if text.len() > MAX_TEXT_BYTES {
                return Err(error(&name, format!("at most {MAX_TEXT_BYTES} bytes"), Some("more")));
            }
            given.0.push((name, text));
        }
        if given.text("line").is_some() { given.line() } else { given.rule() }
    }

    /// The same rule under this id, if it is one.
    pub(super) fn named(self, text: &str) -> Result<Self, RuleError> {
        let id = id(text).ok_or_else(|| error("id", ID, Some(text)))?;
        Ok(Self { id: Some(id), ..self })
    }

    /// The fields that it is written in, without its id.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![("provider", self.host.name().to_owned()), ("fault", self.fault.to_string())];
        let mut add = |name, text: Option<String>| fields.extend(text.map(|text| (name, text)));
        add("share", (self.share < 100.0).then(|| self.share.to_string()));
        if let Fault::Answer(canned) = self.fault {
            add("retry_after", canned.retry_after.map(one_word));
            add("since", canned.since.map(|since| since.to_string()));
        }
        add("token", self.only.token.clone());
        add("app", self.only.app.clone());
        add("kind", self.only.kind.clone());
        add("call", self.only.call.clone());
        add("from", self.from.map(|from| from.to_string()));
        add("until", self.until.map(|until| until.to_string()));
        add("times", self.times.map(|times| times.to_string()));
        fields
    }
}

/// Fields with known names.
struct Given(Vec<(String, String)>);

impl Given {
    fn rule(&self) -> Result<Rule, RuleError> {
        let named = |text: &str| Host::NAMES.iter().find(|(name, _)| *name == text).map(|(_, host)| *host);
        let host = self.read("provider", PROVIDERS, named)?.ok_or_else(|| error("provider", PROVIDERS, None))?;
        let fault = self.text("fault").unwrap_or_default();
        let mut fault = Fault::parse(fault, host, &host.reasons())?;
        self.answer_options(&mut fault)?;
        let share = self.read("share", "a share from 0% to 100%", share)?.unwrap_or(100.0);
        let only = self.only(host, &fault)?;
        let times = self.read("times", "a number after `times`", |text| text.parse().ok())?;
        let moment = "a time such as 2026-01-31T12:00:00Z, or a duration from now such as 10s";
        let (from, until) = (self.read("from", moment, Moment::parse)?, self.read("until", moment, Moment::parse)?);
        if matches!((from, until), (Some(Moment::At(from)), Some(Moment::At(until))) if until <= from)
            || matches!((from, until), (Some(Moment::After(from)), Some(Moment::After(until))) if until <= from)
        {
            return Err(error("until", "an end after `from`", self.text("until")));
        }
        let id = self.read("id", ID, id)?;
        Ok(Rule { id, share, host, fault, only, times, from, until })
    }

    /// A rule that is written as one line; beside it there may be an id.
    fn line(&self) -> Result<Rule, RuleError> {
        if let Some((name, _)) = self.0.iter().find(|(name, _)| !matches!(name.as_str(), "line" | "id")) {
            return Err(error(name, "only an id beside `line`", Some(name)));
        }
        let mut rule: Rule = self.text("line").unwrap_or_default().parse().map_err(|error: RuleError| {
            let expected = format!("{} ({})", error.expected, error.field);
            RuleError { expected, field: "line".to_owned(), ..error }
        })?;
        rule.id = self.read("id", ID, id)?;
        Ok(rule)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    fn read<T>(&self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, RuleError> {
        self.text(name).map(|text| parse(text).ok_or_else(|| error(name, expected, Some(text)))).transpose()
    }

    /// What only an answer has.
    fn answer_options(&self, fault: &mut Fault) -> Result<(), RuleError> {
        let after = self.read("retry_after", "a duration such as 300ms or 2s", duration)?;
        let since = self.read("since", "a time such as 2026-01-31T12:00:00Z", Timestamp::parse_rfc3339)?;
        let Fault::Answer(canned) = fault else {
            let (name, given) = if after.is_some() { ("retry_after", true) } else { ("since", since.is_some()) };
            return if given { Err(error(name, "a status as fault, for this", Some(name))) } else { Ok(()) };
        };
        if since.is_some() && canned.status != 410 {
            return Err(error("since", "410 as fault, for this", Some("since")));
        }
        (canned.retry_after, canned.since) = (after, since);
        Ok(())
    }

    fn only(&self, host: Host, fault: &Fault) -> Result<Only, RuleError> {
        // With white space in it, it could not stand in a line.
        let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        let some = |name| self.read(name, "a word", |text| is_word(text).then(|| text.to_owned()));
        let only = Only { token: some("token")?, app: some("app")?, kind: some("kind")?, call: some("call")? };
        let given = ["token", "app", "kind", "call"].into_iter().find(|name| self.text(name).is_some());
        match given {
            Some(name) if fault.is_of_connection() => {
                Err(error(name, "a fault of requests for this; this one is of connections", Some(name)))
            }
            Some(name) if host == Host::OAuth => {
                Err(error(name, "apns or fcm as provider for this; oauth knows of no pushes", Some(name)))
            }
            _ => Ok(only),
        }
    }
}

fn error(field: &str, expected: impl Into<String>, found: Option<&str>) -> RuleError {
    let found = found.map(|found| format!("`{}`", found.chars().take(100).collect::<String>()));
    RuleError { field: field.to_owned(), expected: expected.into(), found }
}

fn share(text: &str) -> Option<f64> {
    text.trim_end_matches('%').parse().ok().filter(|share| (0.0..=100.0).contains(share))
}

fn id(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!text.is_empty() && text.len() <= MAX_ID_BYTES && text.bytes().all(is_allowed)).then(|| text.to_owned())
}

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

fn one_word(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}
