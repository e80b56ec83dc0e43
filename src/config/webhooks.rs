//! `[[webhooks]]`: where the app's backend is told of what happened.

use std::fmt;

use data_encoding::BASE64;

use super::describe::Description;
use super::fields::Fields;
use super::kind;
use super::secret::Secret;
use crate::domain::WebhookEvent;

/// The most endpoints: each has a task in the record of every call.
pub const MOST_ENDPOINTS: usize = 8;

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where messages are posted to.
    pub url: String,
    /// The secrets, each of which signs.
    pub secrets: Vec<SigningSecret>,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
}

/// A secret of Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// Reads a secret; nothing if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix("whsec_")?.as_bytes()).ok()?;
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The key.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

const EVENTS: &[(&str, WebhookEvent)] = &[
    ("call.ended", WebhookEvent::CallEnded),
    ("call.missed", WebhookEvent::CallMissed),
    ("user.banned", WebhookEvent::UserBanned),
    ("usage.warning", WebhookEvent::UsageWarning),
    ("recording.ready", WebhookEvent::RecordingReady),
];
pub(super) const HINT: &str = "`bellwire token webhook-secret` makes one";

pub(super) fn read(fields: &mut Fields) -> Option<Webhook> {
    let url = fields.required("url", &kind::safe_url("https://api.example.com/bellwire"));
    let secrets = fields.secrets("secrets", 1, HINT).and_then(|secrets| signing(fields, &secrets));
    let events = if fields.has("events") {
        fields.required("events", &kind::list(kind::one_of(EVENTS)))
    } else {
        fields.ignore(&["events"]);
        Some(Vec::new())
    };
    let events = match events? {
        none if none.is_empty() => WebhookEvent::ALL.to_vec(),
        some => some,
    };
    Some(Webhook { url: url?, secrets: secrets?, events })
}

/// Two endpoints with the same URL.
pub(super) fn twice(webhooks: &[Webhook]) -> Option<(usize, usize)> {
    let first = |url: &str| webhooks.iter().position(|other| other.url == url);
    webhooks.iter().enumerate().find_map(|(second, webhook)| {
        let first = first(&webhook.url)?;
        (first < second).then_some((first, second))
    })
}

/// Secrets that sign as Standard Webhooks has it.
pub(super) fn signing(fields: &mut Fields, secrets: &[Secret]) -> Option<Vec<SigningSecret>> {
    let secrets: Option<Vec<_>> = secrets.iter().map(|secret| SigningSecret::parse(secret.reveal())).collect();
    secrets.or_else(|| {
        fields.problem("secrets", format!("expected \"whsec_\" and the base64 of 24 to 64 bytes, each ({HINT})"))
    })
}

impl Webhook {
    pub(super) fn describe(&self, out: &mut Description) {
        // A query may have a token in it.
        out.text("url", self.url.split('?').next().unwrap_or_default());
        out.hides([&self.url]);
        out.secret("secrets", self.secrets.iter().map(SigningSecret::reveal));
        out.texts("events", self.events.iter().map(|event| event.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_can_be_chosen() {
        assert_eq!(EVENTS.len(), WebhookEvent::ALL.len());
        assert!(EVENTS.iter().all(|(name, event)| event.as_str() == *name));
    }

    #[test]
    fn a_secret_is_base64_of_the_right_length() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
        for (text, good) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            ("whsec_".to_owned(), false),
            (of(32).replace("whsec_", ""), false),
            (format!("{} ", of(32)), false),
        ] {
            assert_eq!(SigningSecret::parse(&text).is_some(), good, "{text}");
        }
        assert_eq!(format!("{:?}", SigningSecret::parse(&of(32))), "Some((secret))");
    }
}
