//! The ticket in a push: a signed note that lets one device act in one call, without a session.
//!
//! It says who may come, and until when. What a ticket allows in a call's state is for `engine` to say.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Secret;
use crate::crypto::{self, AlreadyInstalled, Compact, Hs256Key, SignError, VerifyingKey};
use crate::domain::{CallId, DeviceId, Timestamp, UserId};

/// The `typ` of a ticket's header, which no user's token may have.
pub const TYP: &str = "bw-ticket";

const AUDIENCE: &str = "bw";

/// Whom a ticket lets in, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The call.
    pub call: CallId,
    /// The device's user.
    pub user: UserId,
    /// The device that got the push.
    pub device: DeviceId,
    /// When it ends; a ticket carries whole seconds, rounded up.
    pub expires_at: Timestamp,
}

/// Why a ticket is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// It is not a ticket, or not one of ours.
    #[error("is not a valid ticket")]
    Invalid,
    /// It was one, until its time was over.
    #[error("the ticket has expired")]
    Expired,
}

/// Why tickets can be neither minted nor checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketsError {
    /// There is no secret to sign with.
    #[error("at least one ticket secret is needed")]
    NoSecret,
    /// `jsonwebtoken` has another provider.
    #[error("tickets cannot be signed")]
    Crypto(#[from] AlreadyInstalled),
}

/// Mints and checks tickets.
#[derive(Clone)]
pub struct Tickets {
    signing: Hs256Key,
    verifying: Vec<VerifyingKey>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    c: String,
    u: UserId,
    d: DeviceId,
    exp: u64,
}

impl Tickets {
    /// Takes the secrets, of which the first signs and each verifies.
    pub fn new(secrets: &[Secret]) -> Result<Self, TicketsError> {
        crypto::install()?;
        let signing = secrets.first().ok_or(TicketsError::NoSecret)?;
        Ok(Self {
            signing: Hs256Key::new(signing.reveal().as_bytes(), TYP),
            verifying: secrets.iter().map(|secret| VerifyingKey::hs256(secret.reveal().as_bytes())).collect(),
        })
    }

    /// Writes a ticket, as a rule in less than 400 bytes.
    pub fn mint(&self, ticket: &Ticket) -> Result<String, SignError> {
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            c: ticket.call.to_string(),
            u: ticket.user.clone(),
            d: ticket.device.clone(),
            exp: ticket.expires_at.as_millis().div_ceil(1000),
        };
        self.signing.sign_jwt(&claims)
    }

    /// Reads a ticket that is genuine and good at `now`.
    pub fn check(&self, token: &str, now: Timestamp) -> Result<Ticket, TicketError> {
        let token = Compact::read(token).map_err(|_| TicketError::Invalid)?;
        self.check_read(&token, now)
    }

    /// As [`check`](Self::check), for a token that is already taken apart.
    pub fn check_read(&self, token: &Compact<'_>, now: Timestamp) -> Result<Ticket, TicketError> {
        let genuine =
            token.header().typ.as_deref() == Some(TYP) && self.verifying.iter().any(|key| token.verify(key).is_ok());
        if !genuine {
            return Err(TicketError::Invalid);
        }
        let claims: Claims = token.claims().map_err(|_| TicketError::Invalid)?;
        if claims.aud != AUDIENCE {
            return Err(TicketError::Invalid);
        }
        let expires_at = Timestamp::from_millis(claims.exp.saturating_mul(1000));
        if now >= expires_at {
            return Err(TicketError::Expired);
        }
        let call = CallId::parse(&claims.c).map_err(|_| TicketError::Invalid)?;
        Ok(Ticket { call, user: claims.u, device: claims.d, expires_at })
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tickets({} secrets)", self.verifying.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_712_345_678_000);

    fn tickets(secrets: &[&str]) -> Tickets {
        Tickets::new(&secrets.iter().map(|text| Secret::new(*text)).collect::<Vec<_>>()).expect("secrets")
    }

    fn ticket() -> Ticket {
        Ticket {
            call: CallId::parse("0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a").expect("a call"),
            user: UserId::new("bob").expect("a user"),
            device: DeviceId::new("iphone-1").expect("a device"),
            expires_at: NOW + Duration::from_mins(5),
        }
    }

    fn forge(secret: &str, typ: &str, claims: &Value) -> String {
        Hs256Key::new(secret.as_bytes(), typ).sign_jwt(claims).expect("signed")
    }

    #[test]
    fn a_ticket_comes_back_as_it_was() {
        let tickets = tickets(&["one"]);
        let token = tickets.mint(&ticket()).expect("minted");
        assert_eq!(tickets.check(&token, NOW), Ok(ticket()));
    }

    #[test]
    fn a_ticket_is_short() {
        let long = Ticket {
            user: UserId::new("u".repeat(64)).expect("a user"),
            device: DeviceId::new("d".repeat(64)).expect("a device"),
            ..ticket()
        };
        let token = tickets(&["one"]).mint(&long).expect("minted");
        assert!(token.len() < 400, "{}", token.len());
    }

    #[test]
    fn a_ticket_ends_at_its_second_and_not_before() {
        let tickets = tickets(&["one"]);
        let uneven = Ticket { expires_at: NOW + Duration::from_millis(1), ..ticket() };
        let token = tickets.mint(&uneven).expect("minted");
        assert!(tickets.check(&token, NOW + Duration::from_millis(999)).is_ok());
        assert_eq!(tickets.check(&token, NOW + Duration::from_secs(1)), Err(TicketError::Expired));
    }

    #[test]
    fn a_former_secret_verifies_and_a_strange_one_does_not() {
        let old = tickets(&["old"]).mint(&ticket()).expect("minted");
        assert!(tickets(&["new", "old"]).check(&old, NOW).is_ok());
        assert_eq!(tickets(&["new"]).check(&old, NOW), Err(TicketError::Invalid));
    }

    #[test]
    fn what_is_not_a_ticket_is_refused() {
        let tickets = tickets(&["one"]);
        let good = json!({"aud": "bw", "c": ticket().call, "u": "bob", "d": "iphone-1", "exp": 1_812_345_678_u64});
        assert!(tickets.check(&forge("one", TYP, &good), NOW).is_ok());
        assert_eq!(tickets.check(&forge("one", "JWT", &good), NOW), Err(TicketError::Invalid), "typ");
        for (claim, bad) in [
            ("aud", json!("other")),
            ("c", json!("42")),
            ("u", json!("")),
            ("d", json!("a/b")),
            ("exp", json!("soon")),
            ("exp", Value::Null),
        ] {
            let mut claims = good.clone();
            claims[claim] = bad;
            assert_eq!(tickets.check(&forge("one", TYP, &claims), NOW), Err(TicketError::Invalid), "{claim}");
        }
        for garbage in ["", "...", "a.b.c", "ticket"] {
            assert_eq!(tickets.check(garbage, NOW), Err(TicketError::Invalid), "{garbage}");
        }
    }

    #[test]
    fn secrets_are_needed_and_not_shown() {
        assert_eq!(Tickets::new(&[]).err(), Some(TicketsError::NoSecret));
        assert_eq!(format!("{:?}", tickets(&["one"])), "Tickets(1 secrets)");
    }
}
