//! Where in a distributed trace something belongs, as W3C Trace Context writes it: <https://www.w3.org/TR/trace-context/#traceparent-header>.
//!
//! It comes from clients, so it is read strictly: what is not exactly as it must be is not there. Spans are `telemetry`'s.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version that is written.
const VERSION: &str = "00";
/// The version that is none.
const NO_VERSION: &str = "ff";
/// The bit that says that the trace is kept.
const SAMPLED: u8 = 1;

/// A place in a trace: the trace, and the span that what comes is a child of. Neither id is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether the trace is kept by whoever began it.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the value of a `traceparent`. Of a later version only what this one knows is read, as the specification has it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut part = |length| parts.next().filter(|part| part.len() == length && part.bytes().all(is_hex));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == NO_VERSION || (version == VERSION && parts.next().is_some()) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }
}

const fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, sampled } = self;
        write!(f, "{VERSION}-{trace:032x}-{span:016x}-{:02x}", u8::from(*sampled))
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

impl TryFrom<String> for TraceParent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a traceparent of W3C Trace Context")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_back() {
        let parent = TraceParent::parse(EXAMPLE).expect("a place in a trace");
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(parent.to_string(), EXAMPLE);
        let json = serde_json::to_string(&parent).expect("JSON");
        assert_eq!(serde_json::from_str::<TraceParent>(&json).expect("read"), parent);
    }

    #[test]
    fn flags_that_are_not_known_are_let_be_and_not_passed_on() {
        let parent = |flags: &str| TraceParent::parse(&EXAMPLE.replace("-01", flags)).expect("a place");
        assert!(!parent("-00").sampled && !parent("-fe").sampled && parent("-ff").sampled);
        assert!(parent("-ff").to_string().ends_with("-01"));
    }

    #[test]
    fn of_a_later_version_the_known_part_is_read() {
        let later = |end: &str| TraceParent::parse(&format!("cc{}{end}", &EXAMPLE[2..]));
        assert_eq!(later(""), TraceParent::parse(EXAMPLE));
        assert_eq!(later("-what-the-future-is-like"), TraceParent::parse(EXAMPLE));
        assert_eq!(later(".what"), None);
    }

    #[test]
    fn what_is_not_exactly_as_it_must_be_is_not_there() {
        let zero_trace = EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let zero_span = EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16));
        let bad = [
            "",
            "-",
            "00",
            "---",
            &EXAMPLE[1..],
            &EXAMPLE[..54],
            &EXAMPLE.to_uppercase(),
            &format!(" {EXAMPLE}"),
            &format!("{EXAMPLE} "),
            &format!("{EXAMPLE}-"),
            &format!("{EXAMPLE}-00"),
            &format!("{EXAMPLE},{EXAMPLE}"),
            &EXAMPLE.replace("00-", "ff-"),
            &EXAMPLE.replace("00-", "0-"),
            &EXAMPLE.replace("00-", "+0-"),
            &EXAMPLE.replace("-01", "-1"),
            &EXAMPLE.replace("-01", "-0x"),
            &EXAMPLE.replace("-01", "-+1"),
            &EXAMPLE.replace("-b7", "-\u{ff21}"),
            &EXAMPLE.replace('-', "_"),
            &zero_trace,
            &zero_span,
            &"0".repeat(100_000),
        ];
        for text in bad {
            assert_eq!(TraceParent::parse(text), None, "{text:.80}");
        }
    }
}
