//! What a push that was not taken says about its cause: by the provider's word, or ours; else by the status.
//!
//! What is done about each answer is `push`'s; here the same words are only told apart for people.

use super::cause::Cause;
use crate::domain::receipt::Receipt;

/// An answer of a provider, as far as it tells the cause.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer<'a> {
    pub status: Option<u16>,
    pub reason: &'a str,
    pub verdict: &'a str,
}

impl<'a> From<&'a Receipt> for Answer<'a> {
    fn from(receipt: &'a Receipt) -> Self {
        Self { status: receipt.status, reason: &receipt.reason, verdict: &receipt.verdict }
    }
}

/// The cause behind an answer that is not "taken".
pub(super) fn cause(answer: Answer<'_>) -> Cause {
    // Ours may go on after a colon.
    let (word, rest) = answer.reason.split_once(':').unwrap_or((answer.reason, ""));
    ours(word, rest.trim())
        .or_else(|| apples(word, answer))
        .or_else(|| googles(word, answer))
        .unwrap_or_else(|| by_status(answer))
}

fn ours(word: &str, rest: &str) -> Option<Cause> {
    Some(match word {
        "no-provider" => Cause::NoProvider,
        "no-token" => Cause::NoToken,
        "no-project" => Cause::NoProject,
        "bad-token" => Cause::TokenInvalid,
        "ring-over" => Cause::EndedBeforePush,
        "payload-too-large" => Cause::PayloadRefused,
        "known-bad-token" if rest == "DeviceTokenNotForTopic" => Cause::WrongTopic,
        "known-bad-token" if rest == "in-both-environments" => Cause::RefusedInBothEnvironments,
        "known-bad-token" => Cause::RefusedInOneEnvironment,
        "too-many-bad-tokens" => Cause::TooManyBadTokens,
        "credential-refused" => Cause::CredentialRefused,
        "held-back" => Cause::HeldBack,
        "disconnected" => Cause::BrowserGone,
        "deadline" => Cause::ProviderSilent,
        "not-connected" | "connection-broken" => Cause::ProviderUnreachable,
        _ => return None,
    })
}

fn apples(word: &str, answer: Answer<'_>) -> Option<Cause> {
    Some(match word {
        "Unregistered" | "ExpiredToken" => Cause::TokenDead,
        "BadDeviceToken" if answer.verdict == Receipt::DEAD_TOKEN => Cause::RefusedInBothEnvironments,
        "BadDeviceToken" => Cause::RefusedInOneEnvironment,
        "DeviceTokenNotForTopic" => Cause::WrongTopic,
        "TopicDisallowed" | "BadTopic" | "MissingTopic" => Cause::TopicRefused,
        "BadEnvironmentKeyIdInToken" | "BadEnvironmentKeyInToken" => Cause::KeyOfOtherEnvironment,
        _ => return None,
    })
}

fn googles(word: &str, answer: Answer<'_>) -> Option<Cause> {
    Some(match word {
        "UNREGISTERED" => Cause::TokenDead,
        "INVALID_ARGUMENT" if answer.verdict == Receipt::DEAD_TOKEN => Cause::TokenInvalid,
        "SENDER_ID_MISMATCH" => Cause::WrongProject,
        "THIRD_PARTY_AUTH_ERROR" => Cause::ThirdPartyCredential,
        "NOT_FOUND" => Cause::NoProject,
        _ => return None,
    })
}

/// Of words that say no more than their status does, of bodies that nobody could read, and of what providers think of next.
fn by_status(answer: Answer<'_>) -> Cause {
    match (answer.status, answer.verdict) {
        (Some(410), _) => Cause::TokenDead,
        // Without a status: a key that signs nothing, say.
        (Some(401 | 403), _) | (None, "our_fault") => Cause::CredentialRefused,
        (Some(429), _) => Cause::Throttled,
        (Some(500..=599), _) => Cause::ProviderFailing,
        (Some(400..=499), "our_fault") => Cause::PayloadRefused,
        // No answer at all: what the transport says about it.
        (None, "retry") => Cause::ProviderUnreachable,
        _ => Cause::Refused,
    }
}
