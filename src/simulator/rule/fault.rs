//! What can go wrong, and the words for it.

use std::fmt;
use std::time::Duration;

use super::{Host, RuleError, duration, error, one_word};
use crate::domain::Timestamp;

/// Longer would outlive every deadline and only hold memory.
const MAX_DELAY: Duration = Duration::from_hours(1);
/// As many as a connection ever may have here.
const MAX_STREAMS: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) enum Fault {
    /// The answer is this one.
    Answer(Canned),
    /// The answer comes later, by a time drawn evenly from between the two.
    Delay(Duration, Duration),
    /// The stream is refused, which says that nothing was done and it may be sent again.
    Refuse,
    /// The stream is reset, which does not say whether anything was done.
    ResetStream,
    /// The request is answered, and the connection takes no more; Apple may say why.
    GoAway(Option<&'static str>),
    /// The connection ends, and says that this request was not looked at.
    GoAwayBefore(Option<&'static str>),
    /// The connection is cut without an answer.
    Reset,
    /// The connection is closed in order, but without an answer or a GOAWAY.
    Close,
    /// The connection stays open, and nothing comes on it any more.
    HalfOpen,
    /// There is no connection.
    RefuseConnection,
    /// The connection is accepted, and the TLS handshake never answered.
    NoHandshake,
    /// A connection allows this many streams at once.
    Streams(Streams),
    /// A connection is ended once it has caused so many errors.
    Errors(u32),
}

/// How many streams a connection allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct Streams {
    pub(in crate::simulator) most: u32,
    /// Only until a request with a good provider token has been answered.
    pub(in crate::simulator) until_authenticated: bool,
}

/// An answer that is prescribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator) struct Canned {
    pub(in crate::simulator) status: u16,
    /// The provider's word for it; without one, the body is empty, as proxies' are.
    pub(in crate::simulator) reason: Option<&'static str>,
    pub(in crate::simulator) retry_after: Option<Duration>,
    /// For 410: since when the token has been invalid; by default since the answer.
    pub(in crate::simulator) since: Option<Timestamp>,
}

impl Fault {
    /// Whether it befalls connections and not requests.
    pub(in crate::simulator) fn is_of_connection(&self) -> bool {
        matches!(self, Self::RefuseConnection | Self::NoHandshake | Self::Streams(_) | Self::Errors(_))
    }

    pub(super) fn parse(text: &str, host: Host, reasons: &[(&'static str, u16)]) -> Result<Self, RuleError> {
        let mut words = text.split_whitespace();
        let first = words.next();
        let fault = match first.unwrap_or_default() {
            "delay" => {
                let (least, most) = read(words.next(), "a duration such as 300ms, 2s or 100ms..2s", delay)?;
                Self::Delay(least, most)
            }
            "refuse" => Self::Refuse,
            "reset-stream" => Self::ResetStream,
            "goaway" => Self::GoAway(goaway_reason(words.next(), host, reasons)?),
            "goaway-before" => Self::GoAwayBefore(goaway_reason(words.next(), host, reasons)?),
            "reset" => Self::Reset,
            "close" => Self::Close,
            "half-open" => Self::HalfOpen,
            "refuse-connection" => Self::RefuseConnection,
            "no-handshake" => Self::NoHandshake,
            "errors" => {
                let number = |text: &str| text.parse().ok().filter(|most| *most > 0);
                Self::Errors(read(words.next(), "a number of errors from 1", number)?)
            }
            "streams" => Self::Streams(streams(&mut words, host)?),
            word => {
                let canned = canned(reasons, word).ok_or_else(|| error("fault", expected(reasons), first))?;
                Self::Answer(canned)
            }
        };
        words.next().map_or(Ok(fault), |more| Err(error("fault", "no more words", Some(more))))
    }
}

fn expected(reasons: &[(&'static str, u16)]) -> String {
    let names = reasons.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    format!(
        "a status from 400 to 599, delay, refuse, reset-stream, goaway, goaway-before, reset, close, half-open, \
         refuse-connection, no-handshake, streams, errors, or one of {names}"
    )
}

fn read<T>(word: Option<&str>, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RuleError> {
    word.and_then(parse).ok_or_else(|| error("fault", expected, word))
}

fn delay(text: &str) -> Option<(Duration, Duration)> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let (least, most) = (duration(least)?, duration(most)?);
    (least <= most && most <= MAX_DELAY).then_some((least, most))
}

fn goaway_reason(
    word: Option<&str>,
    host: Host,
    reasons: &[(&'static str, u16)],
) -> Result<Option<&'static str>, RuleError> {
    let Some(word) = word else { return Ok(None) };
    let known = reasons.iter().map(|(name, _)| *name).find(|name| *name == word && host.is_apples());
    known.map_or_else(
        || Err(error("fault", "nothing or one of Apple's reasons after goaway", Some(word))),
        |name| Ok(Some(name)),
    )
}

fn streams<'a>(words: &mut impl Iterator<Item = &'a str>, host: Host) -> Result<Streams, RuleError> {
    let number = |text: &str| text.parse().ok().filter(|most| (1..=MAX_STREAMS).contains(most));
    let most = read(words.next(), "a number of streams from 1 to 1000", number)?;
    match words.next() {
        None => Ok(Streams { most, until_authenticated: false }),
        Some("until-authenticated") if host.is_apples() => Ok(Streams { most, until_authenticated: true }),
        more => Err(error("fault", "nothing, or (of apns) until-authenticated", more)),
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, reason) = match self {
            Self::Answer(Canned { reason: Some(reason), .. }) => (*reason, None),
            Self::Answer(canned) => return canned.status.fmt(f),
            Self::Delay(least, most) if least == most => return write!(f, "delay {}", one_word(*least)),
            Self::Delay(least, most) => return write!(f, "delay {}..{}", one_word(*least), one_word(*most)),
            Self::Refuse => ("refuse", None),
            Self::ResetStream => ("reset-stream", None),
            Self::GoAway(reason) => ("goaway", *reason),
            Self::GoAwayBefore(reason) => ("goaway-before", *reason),
            Self::Reset => ("reset", None),
            Self::Close => ("close", None),
            Self::HalfOpen => ("half-open", None),
            Self::RefuseConnection => ("refuse-connection", None),
            Self::NoHandshake => ("no-handshake", None),
            Self::Errors(most) => return write!(f, "errors {most}"),
            Self::Streams(Streams { most, until_authenticated: false }) => return write!(f, "streams {most}"),
            Self::Streams(Streams { most, .. }) => return write!(f, "streams {most} until-authenticated"),
        };
        f.write_str(name)?;
        reason.map_or(Ok(()), |reason| write!(f, " {reason}"))
    }
}
