//! A rule as one line of text: `[<share>% of] <provider> <fault> [<option> <value>]…`, as in `10% of apns 503`,
//! `fcm 429 retry-after 2s`, `apns 410 since 2026-01-31T12:00:00Z for 0a1b` or `apns delay 100ms..2s times 2`.

use std::fmt;
use std::str::FromStr;

use super::{PROVIDERS, Rule, RuleError, error};

/// The options as a line has them, and their fields.
const OPTIONS: [(&str, &str); 9] = [
    ("retry-after", "retry_after"),
    ("since", "since"),
    ("for", "token"),
    ("app", "app"),
    ("kind", "kind"),
    ("call", "call"),
    ("from", "from"),
    ("until", "until"),
    ("times", "times"),
];

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split_whitespace().peekable();
        let mut fields = Vec::new();
        let mut field = |name: &str, text: &str| fields.push((name.to_owned(), text.to_owned()));
        let first = words.next().ok_or_else(|| error("provider", "a provider or a share such as 10%", None))?;
        if first.ends_with('%') {
            field("share", first);
            let of = words.next();
            if of != Some("of") {
                return Err(error("share", "of", of));
            }
            field("provider", words.next().ok_or_else(|| error("provider", PROVIDERS, None))?);
        } else {
            field("provider", first);
        }
        let mut fault = Vec::new();
        while let Some(word) = words.next_if(|word| option(word).is_none()) {
            fault.push(word);
        }
        field("fault", &fault.join(" "));
        while let Some(word) = words.next() {
            let name = option(word).ok_or_else(|| error("fault", expected(), Some(word)))?;
            field(name, words.next().ok_or_else(|| error(name, format!("something after `{word}`"), None))?);
        }
        Self::from_fields(fields)
    }
}

fn option(word: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(known, _)| *known == word).map(|(_, field)| *field)
}

fn expected() -> String {
    format!("one of {}", OPTIONS.map(|(word, _)| word).join(", "))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share < 100.0 {
            write!(f, "{}% of ", self.share)?;
        }
        write!(f, "{} {}", self.host.name(), self.fault)?;
        for (name, text) in self.fields() {
            if let Some((word, _)) = OPTIONS.iter().find(|(_, field)| *field == name) {
                write!(f, " {word} {text}")?;
            }
        }
        Ok(())
    }
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
            ("apns delay 100ms..2s kind ring", "apns delay 100ms..2s kind ring"),
            ("apns reset", "apns reset"),
            ("1% of fcm reset-stream", "1% of fcm reset-stream"),
            ("apns goaway times 1", "apns goaway times 1"),
            ("apns goaway Shutdown times 1", "apns goaway Shutdown times 1"),
            ("apns goaway-before", "apns goaway-before"),
            ("fcm close app com.example call c1", "fcm close app com.example call c1"),
            ("apns streams 1 until-authenticated", "apns streams 1 until-authenticated"),
            ("fcm streams 10", "fcm streams 10"),
            ("apns errors 20", "apns errors 20"),
            ("50% of apns no-handshake", "50% of apns no-handshake"),
            ("apns refuse-connection from 1s until 5s", "apns refuse-connection from 1s until 5s"),
            ("oauth 500 from 2026-01-31T12:00:00Z", "oauth internal_failure from 2026-01-31T12:00:00.000Z"),
        ] {
            let rule = parse(text).expect(text);
            assert_eq!(rule.to_string(), printed);
            assert_eq!(parse(printed), Ok(rule));
        }
    }

    #[test]
    fn errors_say_what_is_expected() {
        for (text, field, said) in [
            ("", "provider", "expected a provider or a share such as 10%, found nothing"),
            ("101% of apns 503", "share", "expected a share from 0% to 100%, found `101%`"),
            ("10% apns 503", "share", "expected of, found `apns`"),
            (
                "apple 503",
                "provider",
                "expected a provider: apns, apns-production, apns-sandbox, fcm or oauth, found `apple`",
            ),
            ("apns", "fault", "expected a status from 400 to 599"),
            ("apns 503 twice", "fault", "expected no more words, found `twice`"),
            ("apns 503 times 2 twice", "fault", "expected one of retry-after, since"),
            ("apns 503 times", "times", "expected something after `times`, found nothing"),
            ("apns delay long", "fault", "expected a duration such as 300ms, 2s or 100ms..2s, found `long`"),
            ("apns delay 2s..1s", "fault", "expected a duration"),
            ("apns delay 3h", "fault", "expected a duration"),
            ("apns reset retry-after 2s", "retry_after", "expected a status as fault"),
            ("apns reset since 2026-01-31T12:00:00Z", "since", "expected a status as fault"),
            ("apns 429 since 2026-01-31T12:00:00Z", "since", "expected 410 as fault"),
            ("apns 503 times often", "times", "expected a number after `times`, found `often`"),
            ("apns 503 from noon", "from", "expected a time such as"),
            ("apns 503 from 5s until 5s", "until", "expected an end after `from`"),
            ("fcm goaway Shutdown", "fault", "expected nothing or one of Apple's reasons"),
            ("apns streams 0", "fault", "expected a number of streams"),
            ("apns errors few", "fault", "expected a number of errors"),
            ("fcm streams 1 until-authenticated", "fault", "expected nothing, or (of apns)"),
            ("apns no-handshake for 0a", "token", "expected a fault of requests for this"),
            ("oauth 500 app com.example", "app", "expected apns or fcm as provider"),
            (
                "oauth 200",
                "fault",
                "or one of invalid_grant, unauthorized_client, rate_limit_exceeded, internal_failure",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.field(), field, "{text}: {error}");
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }
}
