//! The faults that a simulator can be told to make, and the one line of text that says each.
//!
//! `[<share>% of] <provider> <fault> [retry-after <duration>] [since <time>] [for <token>] [times <number>]`, as in
//! `10% of apns 503`, `fcm 429 retry-after 2s`, `apns 410 for 0a1b` or `apns delay 300ms times 2`. When a rule
//! applies is up to `rules`.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use thiserror::Error;

use super::log::Provider;
use super::{apns, google};
use crate::domain::Timestamp;

/// A fault, whom it befalls, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Of a hundred requests; 100 befalls every one without drawing lots.
    pub(super) share: f64,
    pub(super) host: Host,
    pub(super) fault: Fault,
    pub(super) token: Option<String>,
    pub(super) times: Option<u32>,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected {expected}, found {}", found.as_deref().unwrap_or("the end"))]
pub struct RuleError {
    expected: String,
    found: Option<String>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The answer is this one.
    Answer(Canned),
    /// The answer comes later.
    Delay(Duration),
    /// The stream is refused, which says that nothing was done and it may be sent again.
    Refuse,
    /// The request is answered, and the connection takes no more.
    GoAway,
    /// The connection is cut without an answer.
    Reset,
    /// The connection stays open, and nothing comes on it any more.
    HalfOpen,
}

/// An answer that is prescribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Canned {
    pub(super) status: u16,
    /// The provider's word for it; without one, the body is empty, as proxies' are.
    pub(super) reason: Option<&'static str>,
    pub(super) retry_after: Option<Duration>,
    /// For 410: since when the token has been invalid; by default since the answer.
    pub(super) since: Option<Timestamp>,
}

impl Host {
    const NAMES: [(&'static str, Self); 5] = [
        ("apns", Self::Apns),
        ("apns-production", Self::ApnsProduction),
        ("apns-sandbox", Self::ApnsSandbox),
        ("fcm", Self::Fcm),
        ("oauth", Self::OAuth),
    ];

    pub(super) fn is(self, provider: Provider) -> bool {
        match self {
            Self::Apns => matches!(provider, Provider::Apns | Provider::ApnsSandbox),
            Self::ApnsProduction => provider == Provider::Apns,
            Self::ApnsSandbox => provider == Provider::ApnsSandbox,
            Self::Fcm => provider == Provider::Fcm,
            Self::OAuth => provider == Provider::OAuth,
        }
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

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = Words(text.split_whitespace());
        let mut word = words.next("a provider or a share such as 10%")?;
        let mut share = 100.0;
        if let Some(percent) = word.strip_suffix('%') {
            share = percent
                .parse()
                .ok()
                .filter(|share| (0.0..=100.0).contains(share))
                .ok_or_else(|| unexpected("a share from 0% to 100%", word))?;
            let of = words.next("of")?;
            if of != "of" {
                return Err(unexpected("of", of));
            }
            word = words.next(PROVIDERS)?;
        }
        let named = Host::NAMES.iter().find(|(name, _)| *name == word);
        let (_, host) = *named.ok_or_else(|| unexpected(PROVIDERS, word))?;
        let fault = words.fault(host)?;
        let mut rule = Self { share, host, fault, token: None, times: None };
        while let Some(word) = words.0.next() {
            rule.option(word, &mut words)?;
        }
        Ok(rule)
    }
}

const PROVIDERS: &str = "a provider: apns, apns-production, apns-sandbox, fcm or oauth";

impl Rule {
    fn option(&mut self, name: &str, words: &mut Words<'_>) -> Result<(), RuleError> {
        match (name, &mut self.fault) {
            ("for", _) => self.token = Some(words.next("a device token after `for`")?.to_owned()),
            ("times", _) => self.times = Some(words.parse("a number after `times`", |word| word.parse().ok())?),
            ("retry-after", Fault::Answer(canned)) => canned.retry_after = Some(words.duration()?),
            ("since", Fault::Answer(canned)) if canned.status == 410 => {
                canned.since = Some(words.parse("a time such as 2026-01-31T12:00:00Z", Timestamp::parse_rfc3339)?);
            }
            _ => return Err(unexpected("for, times, retry-after (of a status) or since (of 410)", name)),
        }
        Ok(())
    }
}

struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self, expected: &str) -> Result<&'a str, RuleError> {
        self.0.next().ok_or_else(|| RuleError { expected: expected.to_owned(), found: None })
    }

    fn parse<T>(&mut self, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RuleError> {
        let word = self.next(expected)?;
        parse(word).ok_or_else(|| unexpected(expected, word))
    }

    fn duration(&mut self) -> Result<Duration, RuleError> {
        self.parse("a duration such as 300ms or 2s", |word| humantime::parse_duration(word).ok())
    }

    fn fault(&mut self, host: Host) -> Result<Fault, RuleError> {
        let reasons = host.reasons();
        let names = reasons.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let expected = format!("a status from 400 to 599, delay, refuse, goaway, reset, half-open, or one of {names}");
        let word = self.next(&expected)?;
        Ok(match word {
            "delay" => Fault::Delay(self.duration()?),
            "refuse" => Fault::Refuse,
            "goaway" => Fault::GoAway,
            "reset" => Fault::Reset,
            "half-open" => Fault::HalfOpen,
            _ => Fault::Answer(canned(&reasons, word).ok_or_else(|| unexpected(expected, word))?),
        })
    }
}

/// The answer that a status or a reason names.
fn canned(reasons: &[(&'static str, u16)], word: &str) -> Option<Canned> {
    let (status, reason) = if let Ok(status) = word.parse() {
        (status, reasons.iter().find(|known| known.1 == status).map(|known| known.0))
    } else {
        let (name, status) = reasons.iter().find(|known| known.0 == word)?;
        (*status, Some(*name))
    };
    (400..600).contains(&status).then_some(Canned { status, reason, retry_after: None, since: None })
}

fn unexpected(expected: impl Into<String>, found: &str) -> RuleError {
    RuleError { expected: expected.into(), found: Some(format!("`{found}`")) }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share < 100.0 {
            write!(f, "{}% of ", self.share)?;
        }
        let host = Host::NAMES.iter().find(|(_, host)| *host == self.host).map_or("", |(name, _)| name);
        write!(f, "{host} {}", self.fault)?;
        if let Some(token) = &self.token {
            write!(f, " for {token}")?;
        }
        self.times.map_or(Ok(()), |times| write!(f, " times {times}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let canned = match self {
            Self::Answer(canned) => canned,
            Self::Delay(by) => return write!(f, "delay {}", one_word(*by)),
            Self::Refuse => return f.write_str("refuse"),
            Self::GoAway => return f.write_str("goaway"),
            Self::Reset => return f.write_str("reset"),
            Self::HalfOpen => return f.write_str("half-open"),
        };
        match canned.reason {
            Some(reason) => f.write_str(reason)?,
            None => write!(f, "{}", canned.status)?,
        }
        if let Some(after) = canned.retry_after {
            write!(f, " retry-after {}", one_word(after))?;
        }
        canned.since.map_or(Ok(()), |since| write!(f, " since {since}"))
    }
}

fn one_word(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rule, RuleError> {
        text.parse()
    }

    #[test]
    fn rules_read_and_print() {
        for (text, printed) in [
            ("apns 503", "apns ServiceUnavailable"),
            ("10% of apns 503", "10% of apns ServiceUnavailable"),
            ("0.5% of fcm 502", "0.5% of fcm 502"),
            ("apns 410", "apns Unregistered"),
            ("apns 410 since 2026-01-31T12:00:00Z", "apns Unregistered since 2026-01-31T12:00:00.000Z"),
            ("apns-sandbox BadDeviceToken for 0a1b", "apns-sandbox BadDeviceToken for 0a1b"),
            ("fcm 429 retry-after 2s", "fcm QUOTA_EXCEEDED retry-after 2s"),
            ("fcm UNREGISTERED times 2", "fcm UNREGISTERED times 2"),
            ("apns delay 300ms", "apns delay 300ms"),
            ("apns reset", "apns reset"),
            ("apns goaway times 1", "apns goaway times 1"),
            ("oauth 500", "oauth internal_failure"),
        ] {
            let rule = parse(text).expect(text);
            assert_eq!(rule.to_string(), printed);
            assert_eq!(parse(printed), Ok(rule));
        }
    }

    #[test]
    fn errors_say_what_is_expected() {
        for (text, said) in [
            ("", "expected a provider or a share such as 10%, found the end"),
            ("101% of apns 503", "expected a share from 0% to 100%, found `101%`"),
            ("10% apns 503", "expected of, found `apns`"),
            ("apple 503", "expected a provider: apns, apns-production, apns-sandbox, fcm or oauth, found `apple`"),
            ("apns delay long", "expected a duration such as 300ms or 2s, found `long`"),
            ("apns reset retry-after 2s", "expected for, times, retry-after (of a status) or since (of 410), found"),
            ("apns 503 times often", "expected a number after `times`, found `often`"),
            ("oauth 200", "or one of invalid_grant, unauthorized_client, rate_limit_exceeded, internal_failure"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
