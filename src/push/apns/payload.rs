//! What Apple is sent for each message: to which token, with which headers and which JSON.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>

use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::config::push::Privacy;
use crate::domain::{Device, IosPushMode, Platform, PushToken, Timestamp, UserId};
use crate::push::message::{Message, MessageKind, Push};
use crate::push::payload::{Fields, TooLarge, fit};
use crate::push::report::TokenKind;

const MISSED_KEPT_FOR: Duration = Duration::from_hours(24);

/// The value of `apns-push-type`, which goes with a topic, a priority and a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushType {
    Voip,
    Alert,
    Background,
}

impl PushType {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Voip => "voip",
            Self::Alert => "alert",
            Self::Background => "background",
        }
    }

    /// Apple refuses background pushes of any higher priority.
    pub(super) const fn priority(self) -> &'static str {
        match self {
            Self::Voip | Self::Alert => "10",
            Self::Background => "5",
        }
    }

    pub(super) const fn token(self) -> TokenKind {
        match self {
            Self::Voip => TokenKind::Voip,
            Self::Alert | Self::Background => TokenKind::Alert,
        }
    }

    const fn max_bytes(self) -> usize {
        match self {
            Self::Voip => 5120,
            Self::Alert | Self::Background => 4096,
        }
    }
}

/// What the configuration has to say about notifications.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub privacy: Privacy,
    pub cancel_by_voip: bool,
    pub ring_expiration: Duration,
}

impl Rules {
    /// The pushes that a message to a device takes; none if it lacks the token.
    pub(super) fn pushes<'a>(&self, device: &'a Device, kind: MessageKind) -> Vec<(PushType, &'a PushToken)> {
        if device.platform != Platform::Ios {
            return Vec::new();
        }
        let rings_by_voip = device.ios_push_mode == IosPushMode::Voip;
        let ring_type = if rings_by_voip { PushType::Voip } else { PushType::Alert };
        let again_by_voip = kind == MessageKind::Cancel && rings_by_voip && self.cancel_by_voip;
        let first = match kind {
            MessageKind::Ring => device.ring_token().map(|token| (ring_type, token)),
            MessageKind::Cancel => device.notice_token().map(|token| (PushType::Background, token)),
            MessageKind::Missed => device.notice_token().map(|token| (PushType::Alert, token)),
        };
        let second = device.ring_token().filter(|_| again_by_voip).map(|token| (PushType::Voip, token));
        first.into_iter().chain(second).collect()
    }
}

/// One request to Apple, but for the credential.
pub(super) struct Notification<'a> {
    pub id: Uuid,
    pub token: &'a PushToken,
    pub push_type: PushType,
    /// Seconds since 1970; 0: try once, store nothing.
    pub expiration: u64,
    pub collapse_id: Option<String>,
    pub body: Bytes,
    pub metadata_dropped: bool,
}

impl<'a> Notification<'a> {
    /// Writes the notification of a push that goes out `now`.
    pub(super) fn new(
        push: &Push,
        id: Uuid,
        push_type: PushType,
        token: &'a PushToken,
        rules: Rules,
        now: Timestamp,
    ) -> Result<Self, TooLarge> {
        let caller = match &push.message {
            Message::Missed { caller, .. } => Some(hash(&caller.id)),
            _ => None,
        };
        let render = |fields: &Fields| {
            let aps = Aps::new(push_type, &push.message, fields.caller_name(), caller.as_deref());
            let body = serde_json::to_vec(&Payload { aps, fields });
            body.map_or((usize::MAX, Vec::new()), |body| (body.len(), body))
        };
        let (body, metadata_dropped) = fit(Fields::new(push, rules.privacy, now), push_type.max_bytes(), render)?;
        Ok(Self {
            id,
            token,
            push_type,
            expiration: expiration(push, rules, now),
            collapse_id: caller,
            body: body.into(),
            metadata_dropped,
        })
    }
}

/// Rounded down, so that Apple never keeps a push longer than its ring lasts.
fn expiration(push: &Push, rules: Rules, now: Timestamp) -> u64 {
    match &push.message {
        Message::Ring(_) if rules.ring_expiration.is_zero() => 0,
        Message::Ring(ring) => (now + rules.ring_expiration).min(ring.ring_until).as_secs(),
        Message::Missed { .. } if push.expires_at <= now => (now + MISSED_KEPT_FOR).as_secs(),
        Message::Cancel { .. } | Message::Missed { .. } => push.expires_at.as_secs(),
    }
}

/// Names a caller to Apple without telling who it is; 32 bytes of the 64 that are allowed.
fn hash(caller: &UserId) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, caller.as_str().as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..16])
}

struct Payload<'a> {
    aps: Aps<'a>,
    fields: &'a Fields<'a>,
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("aps", &self.aps)?;
        self.fields.write(&mut map)?;
        map.end()
    }
}

/// Apple's own dictionary; empty in a VoIP push, which the app shows through `CallKit`.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<Alert<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sound: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruption_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
}

#[derive(Serialize)]
struct Alert<'a> {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
}

impl<'a> Aps<'a> {
    fn new(push_type: PushType, message: &Message, caller_name: Option<&'a str>, thread: Option<&'a str>) -> Self {
        match push_type {
            PushType::Voip => Self::default(),
            PushType::Background => Self { content_available: Some(1), ..Self::default() },
            PushType::Alert => Self {
                alert: Alert::new(message, caller_name),
                sound: Some("default"),
                interruption_level: Some("time-sensitive"),
                thread_id: thread,
                ..Self::default()
            },
        }
    }
}

impl<'a> Alert<'a> {
    fn new(message: &Message, caller_name: Option<&'a str>) -> Option<Self> {
        let (title, body) = match (message, caller_name) {
            (Message::Cancel { .. }, _) => return None,
            (Message::Missed { count: 0 | 1, .. }, name) => ("Missed call".to_owned(), name),
            (Message::Missed { count, .. }, name) => (format!("{count} missed calls"), name),
            (Message::Ring(ring), Some(name)) => (name.to_owned(), Some(incoming(ring.video))),
            (Message::Ring(ring), None) => (incoming(ring.video).to_owned(), None),
        };
        Some(Self { title, body })
    }
}

const fn incoming(video: bool) -> &'static str {
    if video { "Incoming video call" } else { "Incoming call" }
}
