//! Names of things: calls, users, devices, apps, and the push tokens that providers gave.
//!
//! Each is checked where it is made, so a value of these types is always well formed and may be used as a
//! key. A bad one says what is wrong with it, never what it was.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

use super::time::Timestamp;

/// Why a text cannot be an id or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It is longer than the number of bytes named.
    #[error("must be at most {0} bytes long")]
    TooLong(usize),
    /// It has a character that may not stand there.
    #[error("{0}")]
    Character(&'static str),
    /// It is `.` or `..`, which URLs take for a place.
    #[error("must not be . or ..")]
    Dots,
    /// It is not a UUID.
    #[error("must be a UUID, as in 0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a")]
    NotUuid,
}

/// A call: a lower-case UUID, the same in the API, in every push and in CallKit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// The call id of a UUID; version 7, so that ids sort by time.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The millisecond of its making, which version 7 keeps in the first 48 bits (RFC 9562, section 5.7).
    pub const fn made_at(self) -> Timestamp {
        Timestamp::from_millis((self.0.as_u128() >> 80) as u64)
    }

    /// The least id of a millisecond, which no call has: those that come after it were made then or later.
    pub const fn first_of(at: Timestamp) -> Self {
        Self(Uuid::from_u128((at.as_millis() as u128) << 80))
    }

    /// Its last byte, which is random in version 7: by it what calls do alike is spread.
    pub const fn random_byte(self) -> u8 {
        self.0.as_bytes()[15]
    }

    /// Reads the hyphenated form, in either case.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        // `Uuid` also reads braces, URNs and bare hex; one spelling keeps ids comparable as text.
        if text.len() != 36 {
            return Err(IdError::NotUuid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| IdError::NotUuid)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The greatest length, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Checks a text and takes it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check(text.as_ref(), $max, $allowed, $rule).map(|()| Self(text.as_ref().into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        // Derived, both would copy the text into a `String` first; a record has a dozen of them.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(OfText(PhantomData))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

/// Reads what is made of a text.
struct OfText<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for OfText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! shown {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A user, as the app's identity provider names them (often the `sub` of a JWT, with a prefix if configured).
    UserId, 128, |c| !c.is_control() && !c.is_whitespace() && !turns_text(c),
    "must have no white space, no control characters and no marks that turn text"
);
text_id!(
    /// A device of a user, as the app names it.
    DeviceId, 64, |c| c.is_ascii_alphanumeric() || "._:-".contains(c),
    "must be of letters, digits and . _ : -"
);
text_id!(
    /// An app: the bundle id at Apple, the application id at Google.
    AppId, 155, |c| c.is_ascii_alphanumeric() || "._-".contains(c),
    "must be of letters, digits and . _ -"
);
text_id!(
    /// What a provider calls a device: an APNs token in hex, an FCM token or installation id. A secret: it
    /// is printed by nothing but [`as_str`](Self::as_str).
    PushToken, 512, |c| c.is_ascii_graphic() && !"/?#%\"\\".contains(c),
    "must be of printable ASCII characters without / ? # % \" and \\"
);
text_id!(
    /// A job, by what it is for.
    JobId, 120, |c| c.is_ascii_alphanumeric() || "._:-".contains(c),
    "must be of letters, digits and . _ : -"
);
text_id!(
    /// An endpoint that webhooks go to: a digest of its URL. The PostgreSQL of the history is one too.
    EndpointId, 64, |c| c.is_ascii_alphanumeric() || "_-".contains(c),
    "must be of letters, digits and _ -"
);
shown!(UserId);
shown!(DeviceId);
shown!(AppId);
shown!(JobId);
shown!(EndpointId);

impl EndpointId {
    /// The PostgreSQL of the history. Digests are of hexadecimal digits, so that this is none.
    pub fn postgres() -> Self {
        Self("postgres".into())
    }
}

impl JobId {
    /// The job of a ban, by a digest of the user, whose name may have any characters, and of when it began.
    pub fn ban(ban: Uuid) -> Self {
        Self(format!("ban:{ban}").into())
    }

    /// The job that erases what is held of a user, by a digest of the user.
    pub fn erasure(user: Uuid) -> Self {
        Self(format!("erasure:{user}").into())
    }

    /// The recording of a call.
    pub fn recording(call: CallId) -> Self {
        Self(format!("recording:{call}").into())
    }

    /// The job that delivers a message.
    pub fn webhook(message: Uuid) -> Self {
        Self(format!("webhook:{message}").into())
    }

    /// The job that sees how much is used when this minute (since 1970) is over.
    pub fn usage_check(minute: u64) -> Self {
        Self(format!("usage-check:{minute}").into())
    }

    /// The mark of a warning: what ran out, in which month or day (`2026-11`, `2026-11-22`), of how much, and the share in per cent.
    pub fn usage_warned(what: &'static str, period: impl fmt::Display, limit: u64, per_cent: u32) -> Self {
        Self(format!("usage:{what}:{period}:{limit}:{per_cent}").into())
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(push token)")
    }
}

/// Whether a character changes the direction of the text around it, or its lines, so that it could write over that
/// (<https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>).
pub fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

fn check(text: &str, max: usize, allowed: impl Fn(char) -> bool, rule: &'static str) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > max {
        Err(IdError::TooLong(max))
    } else if matches!(text, "." | "..") {
        Err(IdError::Dots)
    } else if !text.chars().all(allowed) {
        Err(IdError::Character(rule))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_a_hyphenated_uuid_and_prints_in_lower_case() {
        let id = CallId::parse("0192F3D1-7C3A-7C3A-8C3A-0192F3D17C3A").expect("a UUID");
        assert_eq!(id.to_string(), "0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a");
        for bad in ["", "42", "0192f3d17c3a7c3a8c3a0192f3d17c3a", "{0192f3d1-7c3a-7c3a-8c3a-0192f3d17c3a}"] {
            assert_eq!(CallId::parse(bad), Err(IdError::NotUuid), "{bad}");
        }
    }

    #[test]
    fn text_ids_refuse_what_they_should() {
        assert!(UserId::new("auth0|5f7c").is_ok());
        assert_eq!(UserId::new(""), Err(IdError::Empty));
        assert_eq!(UserId::new("x".repeat(129)), Err(IdError::TooLong(128)));
        assert!(matches!(UserId::new("a b"), Err(IdError::Character(_))));
        assert!(matches!(UserId::new("bob\u{202e}"), Err(IdError::Character(_))));
        assert_eq!(UserId::new(".."), Err(IdError::Dots));
        assert!(matches!(DeviceId::new("a/b"), Err(IdError::Character(_))));
        assert!(serde_json::from_str::<DeviceId>("\"iphone-1\"").is_ok());
        assert!(serde_json::from_str::<DeviceId>("\"\\u0000\"").is_err());
    }

    #[test]
    fn a_push_token_does_not_print_itself() {
        let token = PushToken::new("abcdef").expect("a token");
        assert_eq!(format!("{token:?}"), "(push token)");
    }
}
