//! What became of a push, and what of it `dispatch` acts on.

use std::time::Duration;

use super::error::TransportError;
use super::payload::LeftOut;
use crate::domain::{AppId, Environment, Platform, Timestamp};

/// What to do after a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The provider took it; whether the device rings is for the device to say.
    Accepted,
    /// It may go out again, not before this time has passed.
    Retry {
        /// What the provider asked for, if it did.
        after: Option<Duration>,
    },
    /// The token is dead.
    DropToken {
        /// Since when, as the provider knows it; a registration after that is not meant.
        since: Option<Timestamp>,
    },
    /// The configuration or Bellwire is wrong: raise an alarm, keep the token.
    OurFault,
    /// This push will not arrive, and nothing is to be done.
    GiveUp,
}

/// Which token of the device a push went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The PushKit token.
    Voip,
    /// The token for alerts and background pushes.
    Alert,
    /// The FCM token or installation id.
    Fcm,
}

/// What became of one attempt.
#[derive(Debug, Clone)]
pub struct Report {
    /// What to do next.
    pub verdict: Verdict,
    /// `apns`, `fcm`, or `none`.
    pub provider: &'static str,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The provider's own word, or Bellwire's in kebab case; empty when accepted.
    pub reason: String,
    /// The `apns-id` or FCM's message name.
    pub provider_id: Option<String>,
    /// How long the attempt took.
    pub latency: Duration,
    /// Set if the host of the device's *other* APNs environment took it: keep that.
    pub environment: Option<Environment>,
    /// The token that was used; none if nothing could be sent.
    pub token: Option<TokenKind>,
    /// What had to be left out for size.
    pub left_out: LeftOut,
    /// Whether the provider did not accept the configured credential.
    pub credential_refused: bool,
}

impl Report {
    /// No section of the configuration is for such a device.
    pub(super) fn no_provider() -> Self {
        Self::unsent("none", Verdict::GiveUp, "no-provider")
    }

    /// The report of a push that was never sent.
    pub(super) fn unsent(provider: &'static str, verdict: Verdict, reason: &str) -> Self {
        Self {
            verdict,
            provider,
            status: None,
            reason: reason.to_owned(),
            provider_id: None,
            latency: Duration::ZERO,
            environment: None,
            token: None,
            left_out: LeftOut::default(),
            credential_refused: false,
        }
    }
}

/// What a provider's answer asks for; `OtherEnvironment` and `RefreshCredential` are done within the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Accepted,
    /// Send it again; `fresh` if not over this connection.
    Retry {
        after: Option<Duration>,
        fresh: bool,
    },
    DropToken {
        since: Option<Timestamp>,
    },
    OtherEnvironment,
    RefreshCredential,
    OurFault,
    GiveUp,
}

impl From<Action> for Verdict {
    /// The verdict where nothing more can be done within the attempt.
    fn from(action: Action) -> Self {
        match action {
            Action::Accepted => Self::Accepted,
            Action::Retry { after, .. } => Self::Retry { after },
            Action::DropToken { since } => Self::DropToken { since },
            // Only the other host could tell whether the token is dead, and it could not be asked.
            Action::OtherEnvironment | Action::GiveUp => Self::GiveUp,
            Action::RefreshCredential | Action::OurFault => Self::OurFault,
        }
    }
}

/// What an answer, or that there is none, says of what other pushes would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The provider takes pushes, if not this one.
    Serves,
    /// It would not take any with this credential.
    RefusesUs,
    /// It cannot be reached or cannot serve.
    Fails,
}

/// What one request to a provider came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub action: Action,
    /// None if the provider was not asked.
    pub standing: Option<Standing>,
    pub status: Option<u16>,
    pub reason: String,
    pub provider_id: Option<String>,
}

impl Outcome {
    /// An outcome without an answer.
    pub(super) fn unanswered(action: Action, standing: Option<Standing>, reason: impl Into<String>) -> Self {
        Self { action, standing, status: None, reason: reason.into(), provider_id: None }
    }

    /// Status and reason, for people.
    pub(super) fn in_words(&self) -> String {
        match self.status {
            Some(status) => format!("{status} {}", self.reason).trim_end().to_owned(),
            None => self.reason.clone(),
        }
    }

    /// The report of an attempt that ends with this.
    pub(super) fn report(self, provider: &'static str, token: TokenKind, latency: Duration) -> Report {
        Report {
            verdict: self.action.into(),
            provider,
            status: self.status,
            reason: self.reason,
            provider_id: self.provider_id,
            latency,
            environment: None,
            token: Some(token),
            left_out: LeftOut::default(),
            credential_refused: self.standing == Some(Standing::RefusesUs),
        }
    }
}

impl From<TransportError> for Outcome {
    /// What is broken now may work in a moment; a credential that is refused is for the operator to mend.
    fn from(error: TransportError) -> Self {
        let (action, standing) = match error {
            TransportError::CredentialRefused(_) => (Action::OurFault, Standing::RefusesUs),
            _ => (Action::Retry { after: None, fresh: true }, Standing::Fails),
        };
        Self::unanswered(action, Some(standing), error.to_string())
    }
}

/// Whether a provider can be reached with the configured credentials.
#[derive(Debug, Clone)]
pub struct Probe {
    /// `apns com.example.phone production`.
    pub name: String,
    /// What was reached, or why not.
    pub result: Result<String, String>,
}

/// The connections to one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `apns com.example.phone production`.
    pub name: String,
    /// Connections open now.
    pub connected: usize,
    /// Connections wanted.
    pub of: usize,
    /// Why the last connection or credential failed; none once one worked.
    pub last_error: Option<String>,
    /// Why pushes are held back, one at a time probing; none while they are not.
    pub held_back: Option<String>,
    /// How often it came to that.
    pub times_held_back: u64,
    /// Why a key or certificate that has changed is not in use; none while the one in its file is.
    pub stale: Option<String>,
    /// The last push that failed by a fault of ours; none once one was accepted, or, where the credential was refused, once an answer
    /// showed that it no longer is.
    pub fault: Option<Fault>,
    /// When the token in use expires; none before there is one. Apple's is renewed only when there is a push.
    pub token_expires_at: Option<Timestamp>,
}

/// A push that failed by a fault of the configuration or of Bellwire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: Timestamp,
    /// Status and reason.
    pub why: String,
    /// Whether the provider did not accept the credential, so that it would refuse any push.
    pub is_of_credential: bool,
}

impl State {
    /// What is wrong with it, in one line; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        let held_back = self.held_back.as_ref().map(|why| format!("pushes are held back, one at a time probes: {why}"));
        let stale = self.stale.as_ref().map(|why| format!("the old key or certificate stays in use: {why}"));
        let fault = self.fault.as_ref().map(|Fault { at, why, .. }| {
            format!("a push at {at} failed by a fault of ours or of the configuration: {why}; none was accepted since")
        });
        let all: Vec<_> = [self.last_error.clone(), held_back, stale, fault].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// What hinders pushes, each by its word in metrics, and whether it does.
    pub fn hindrances(&self) -> [(&'static str, bool); 4] {
        let refuses_us = self.fault.as_ref().is_some_and(|fault| fault.is_of_credential);
        [
            ("unreachable", self.last_error.is_some() || self.connected == 0),
            ("held_back", self.held_back.is_some()),
            ("stale", self.stale.is_some()),
            ("refused", refuses_us),
        ]
    }

    /// Whether pushes are likely to go through: what was wrong with one push alone does not count.
    pub fn is_good(&self) -> bool {
        self.hindrances().iter().all(|(_, hinders)| !hinders)
    }
}

/// Devices that can be rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Those that run this app
    pub app: AppId,
    /// on this platform,
    pub platform: Platform,
    /// with tokens of this APNs environment.
    pub environment: Option<Environment>,
}
