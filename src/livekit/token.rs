//! Tokens with which a party of a call joins its LiveKit room.
//!
//! Who gets one, and when, is for `engine` to say. A token can be read by whoever has it, so nothing
//! secret is put in. Source: <https://docs.livekit.io/home/get-started/authentication/>.

use std::fmt;
use std::time::Duration;

use livekit_api::access_token::{Claims, VideoGrants};

use super::rooms::MAX_PARTICIPANTS;
use crate::config::Secret;
use crate::crypto::{Hs256Key, SignError};
use crate::domain::{Timestamp, UserId};

/// What a party wants to join.
#[derive(Debug, Clone, Copy)]
pub struct Join<'a> {
    /// The room's name.
    pub room: &'a str,
    /// Who joins; LiveKit's identity.
    pub identity: &'a UserId,
    /// The display name that the other party sees.
    pub name: Option<&'a str>,
    /// Whether camera and screen may be published beside the microphone.
    pub video: bool,
    /// How long the token can be used to connect; who is connected stays.
    pub valid_for: Duration,
    /// How long the room stays if this join makes it and nobody has come.
    pub empty_timeout: Duration,
    /// How long it stays when everybody has left.
    pub departure_timeout: Duration,
}

/// All that an app needs to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveKitAccess {
    /// Where LiveKit is.
    pub url: String,
    /// The room's name.
    pub room: String,
    /// The token, a secret.
    pub token: String,
    /// When the token can no longer be used to connect.
    pub expires_at: Timestamp,
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("a LiveKit token could not be signed")]
pub struct MintError(#[from] SignError);

/// Mints tokens with the project's key.
#[derive(Clone)]
pub struct TokenMinter {
    url: String,
    api_key: String,
    key: Hs256Key,
}

impl TokenMinter {
    /// Takes LiveKit's URL as apps shall use it (`wss://…`), and the project's key with its secret.
    pub fn new(url: impl Into<String>, api_key: impl Into<String>, secret: &Secret) -> Self {
        Self { url: url.into(), api_key: api_key.into(), key: Hs256Key::new(secret.reveal().as_bytes(), "JWT") }
    }

    /// Mints a token that is good from `now` on for as long as `join` says, in whole seconds, rounded up.
    pub fn mint(&self, join: &Join<'_>, now: Timestamp) -> Result<LiveKitAccess, MintError> {
        let expires = (now + join.valid_for).as_millis().div_ceil(1000);
        let claims = self.claims(join, now.as_secs(), expires);
        Ok(LiveKitAccess {
            url: self.url.clone(),
            room: join.room.to_owned(),
            token: self.key.sign_jwt(&claims)?,
            expires_at: Timestamp::from_millis(expires.saturating_mul(1000)),
        })
    }

    fn claims(&self, join: &Join<'_>, from: u64, until: u64) -> Claims {
        let mut claims = Claims {
            iss: self.api_key.clone(),
            sub: join.identity.to_string(),
            name: join.name.unwrap_or_default().to_owned(),
            nbf: seconds(from),
            exp: seconds(until),
            video: grants(join),
            ..Claims::default()
        };
        // Used by LiveKit only when this join makes the room.
        let room = claims.room_config.get_or_insert_default();
        room.max_participants = MAX_PARTICIPANTS;
        room.empty_timeout = whole_seconds(join.empty_timeout);
        room.departure_timeout = whole_seconds(join.departure_timeout);
        claims
    }
}

fn grants(join: &Join<'_>) -> VideoGrants {
    let sources: &[&str] =
        if join.video { &["microphone", "camera", "screen_share", "screen_share_audio"] } else { &["microphone"] };
    VideoGrants {
        room_join: true,
        room: join.room.to_owned(),
        can_publish: Some(true),
        can_subscribe: Some(true),
        can_publish_data: Some(true),
        can_publish_sources: sources.iter().copied().map(str::to_owned).collect(),
        ..VideoGrants::default()
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

fn seconds(seconds: u64) -> usize {
    usize::try_from(seconds).unwrap_or(usize::MAX)
}

impl fmt::Debug for LiveKitAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveKitAccess")
            .field("url", &self.url)
            .field("room", &self.room)
            .field("token", &"(secret)")
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

impl fmt::Debug for TokenMinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMinter").field("url", &self.url).field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use livekit_api::access_token::TokenVerifier;
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Clock;
    use crate::crypto::Compact;

    const NOW: Timestamp = Timestamp::from_millis(1_712_345_678_901);

    fn mint(video: bool, name: Option<&str>, now: Timestamp) -> LiveKitAccess {
        let alice = UserId::new("alice").expect("a user");
        let join = Join {
            room: "bw_test",
            identity: &alice,
            name,
            video,
            valid_for: Duration::from_secs(105),
            empty_timeout: Duration::from_secs(125),
            departure_timeout: Duration::from_secs(40),
        };
        let minter = TokenMinter::new("wss://lk.example", "key", &Secret::new("a secret of LiveKit"));
        minter.mint(&join, now).expect("minted")
    }

    fn claims(access: &LiveKitAccess) -> Value {
        Compact::read(&access.token).expect("a token").claims().expect("claims")
    }

    #[test]
    fn a_video_call_has_exactly_these_claims() {
        let access = mint(true, Some("Alice"), NOW);
        assert_eq!(
            claims(&access),
            json!({
                "iss": "key", "sub": "alice", "name": "Alice", "nbf": 1_712_345_678, "exp": 1_712_345_784,
                "video": {
                    "roomJoin": true, "room": "bw_test",
                    "canPublish": true, "canSubscribe": true, "canPublishData": true,
                    "canPublishSources": ["microphone", "camera", "screen_share", "screen_share_audio"],
                },
                "roomConfig": {"maxParticipants": 2, "emptyTimeout": 125, "departureTimeout": 40},
            })
        );
        assert_eq!(access.expires_at, Timestamp::from_millis(1_712_345_784_000));
    }

    #[test]
    fn an_audio_call_publishes_the_microphone_alone() {
        let claims = claims(&mint(false, None, NOW));
        assert_eq!(claims["video"]["canPublishSources"], json!(["microphone"]));
        assert_eq!(claims.get("name"), None);
    }

    #[test]
    fn the_official_verifier_accepts_it() {
        let access = mint(false, None, Clock::system().now());
        let claims = TokenVerifier::with_api_key("key", "a secret of LiveKit").verify(&access.token).expect("valid");
        assert_eq!(claims.sub, "alice");
        assert!(TokenVerifier::with_api_key("key", "another").verify(&access.token).is_err());
    }

    #[test]
    fn debug_shows_neither_token_nor_secret() {
        let access = mint(false, None, NOW);
        assert!(!format!("{access:?}").contains(&access.token));
        let minter = TokenMinter::new("wss://lk.example", "key", &Secret::new("hidden"));
        assert!(!format!("{minter:?}").contains("hidden"));
    }
}
