//! Why a request is not believed.

use thiserror::Error;

use crate::crypto::{Malformed, Refused};
use crate::domain::ids::IdError;
use crate::http::code::Code;
use crate::ticket::TicketError;

/// Why a token is refused. It names claims by their configured paths and never shows what a token holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    /// There is no `Authorization: Bearer …`.
    #[error("a bearer token is needed")]
    Missing,
    /// It is longer than any token may be.
    #[error("the token is too long")]
    TooLong,
    /// It is neither a JWT, nor a ticket, nor a service key.
    #[error("the token is not a JWT that can be read")]
    Malformed,
    /// No `iss`, or one that is not configured.
    #[error("the token's issuer is not known here")]
    UnknownIssuer,
    /// No key of its issuer is for this algorithm.
    #[error("the token's algorithm is not its issuer's")]
    WrongAlgorithm,
    /// Its issuer has no key of this `kid`.
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    /// No key of its issuer has signed it.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// Its `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its `aud` is for somebody else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// It lacks this claim.
    #[error("the token lacks the claim {0}")]
    MissingClaim(String),
    /// This claim is not what it must be.
    #[error("the token's claim {0} is not as it must be")]
    WrongClaim(String),
    /// What names its user cannot be a user id.
    #[error("the token's user id {0}")]
    BadUserId(IdError),
    /// It is not one of our tickets.
    #[error("the ticket is not valid")]
    TicketInvalid,
    /// It was one of our tickets.
    #[error("the ticket has expired")]
    TicketExpired,
    /// No such service key.
    #[error("the service key is not known here")]
    BadServiceKey,
    /// The issuer's keys cannot be fetched at present; the same token may be good later (503).
    #[error("the keys of the token's issuer cannot be fetched at present")]
    KeysUnavailable,
}

impl AuthError {
    /// The stable code of the problem.
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing => Code::TokenMissing,
            Self::TooLong => Code::TokenTooLong,
            Self::Malformed => Code::TokenMalformed,
            Self::UnknownIssuer => Code::TokenUnknownIssuer,
            Self::WrongAlgorithm => Code::TokenWrongAlgorithm,
            Self::UnknownKey => Code::TokenUnknownKey,
            Self::BadSignature => Code::TokenBadSignature,
            Self::Expired => Code::TokenExpired,
            Self::NotYetValid => Code::TokenNotYetValid,
            Self::WrongAudience => Code::TokenWrongAudience,
            Self::MissingClaim(_) => Code::TokenMissingClaim,
            Self::WrongClaim(_) => Code::TokenWrongClaim,
            Self::BadUserId(_) => Code::TokenBadUserId,
            Self::TicketInvalid => Code::TicketInvalid,
            Self::TicketExpired => Code::TicketExpired,
            Self::BadServiceKey => Code::ServiceKeyUnknown,
            Self::KeysUnavailable => Code::KeysUnavailable,
        }
    }

    /// Of several keys' refusals, the one that came furthest says most.
    pub(super) fn or(self, later: Self) -> Self {
        if later.progress() >= self.progress() { later } else { self }
    }

    const fn progress(&self) -> u8 {
        match self {
            Self::UnknownIssuer | Self::WrongAlgorithm => 0,
            Self::UnknownKey | Self::BadSignature => 1,
            // Another key may not know the token; this one might.
            Self::KeysUnavailable => 2,
            _ => 3,
        }
    }
}

impl From<Malformed> for AuthError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Refused> for AuthError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Algorithm => Self::WrongAlgorithm,
            Refused::Signature => Self::BadSignature,
        }
    }
}

impl From<TicketError> for AuthError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Invalid => Self::TicketInvalid,
            TicketError::Expired => Self::TicketExpired,
        }
    }
}
