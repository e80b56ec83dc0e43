//! What Apple is sent for each message: to which token, with which headers and which JSON.
//!
//! Source: <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>

use std::time::Duration;

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::config::push::{Apns as Config, PayloadProfile, Privacy};
use crate::domain::{Device, IosPushMode, Platform, PushToken, Timestamp, UserId};
use crate::push::message::{Message, MessageKind, Push};
use crate::push::payload::{Fields, LeftOut, Told, TooLarge, Words, arrange, conversation, fit, write};
use crate::push::report::TokenKind;

const MISSED_KEPT_FOR: Duration = Duration::from_hours(24);

/// The value of `apns-push-type`, which goes with a topic, a priority and a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum PushType {
    Voip,
    Alert,
    Background,
}

impl PushType {
    pub(in crate::push) const fn as_str(self) -> &'static str {
        match self {
            Self::Voip => "voip",
            Self::Alert => "alert",
            Self::Background => "background",
        }
    }

    /// Apple refuses background pushes of any higher priority.
    pub(in crate::push) const fn priority(self) -> &'static str {
        match self {
            Self::Voip | Self::Alert => "10",
            Self::Background => "5",
        }
    }

    pub(in crate::push) const fn token(self) -> TokenKind {
        match self {
            Self::Voip => TokenKind::Voip,
            Self::Alert | Self::Background => TokenKind::Alert,
        }
    }

    pub(in crate::push) const fn max_bytes(self) -> usize {
        match self {
            Self::Voip => 5120,
            Self::Alert | Self::Background => 4096,
        }
    }
}

/// What the configuration has to say about notifications.
#[derive(Debug, Clone)]
pub(in crate::push) struct Rules {
    profile: PayloadProfile,
    privacy: Privacy,
    localize: bool,
    ring_sound: String,
    cancel_by_voip: bool,
    ring_expiration: Duration,
}

impl Rules {
    pub(in crate::push) fn new(section: &Config, privacy: Privacy) -> Self {
        Self {
            profile: section.payload,
            privacy,
            localize: section.localize,
            ring_sound: section.ring_sound.clone(),
            cancel_by_voip: section.cancel_by_voip,
            ring_expiration: section.ring_expiration,
        }
    }

    /// The pushes that a message to a device takes; none if it lacks the token.
    pub(in crate::push) fn pushes<'a>(&self, device: &'a Device, kind: MessageKind) -> Vec<(PushType, &'a PushToken)> {
        if device.platform != Platform::Ios {
            return Vec::new();
        }
        let rings_by_voip = device.ios_push_mode == IosPushMode::Voip;
        let ring_type = if rings_by_voip { PushType::Voip } else { PushType::Alert };
        let again_by_voip = kind == MessageKind::Cancel && rings_by_voip && self.cancel_by_voip;
        let first = match kind {
            MessageKind::Ring => device.ring_token().map(|token| (ring_type, token)),
            MessageKind::Cancel | MessageKind::Proof => {
                device.notice_token().map(|token| (PushType::Background, token))
            }
            MessageKind::Missed => device.notice_token().map(|token| (PushType::Alert, token)),
        };
        let second = device.ring_token().filter(|_| again_by_voip).map(|token| (PushType::Voip, token));
        first.into_iter().chain(second).collect()
    }
}

/// One request to Apple, but for the credential.
#[derive(Debug)]
pub(in crate::push) struct Notification<'a> {
    pub id: Uuid,
    pub token: &'a PushToken,
    pub push_type: PushType,
    /// Seconds since 1970; 0: try once, store nothing.
    pub expiration: u64,
    /// A notification with the same one takes the place of the one before.
    pub collapse_id: Option<String>,
    pub body: Bytes,
    pub left_out: LeftOut,
}

impl<'a> Notification<'a> {
    /// Writes the notification of a push that goes out `now`.
    pub(in crate::push) fn new(
        push: &Push,
        id: Uuid,
        push_type: PushType,
        token: &'a PushToken,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Self, TooLarge> {
        // So a missed call takes the place of the alert that rang, and the next missed call its.
        let thread = shown_caller(push_type, &push.message).map(conversation);
        let render = |told: &Told| {
            let aps = Aps::new(push_type, told, thread.as_deref(), rules);
            let body = write(&Payload { aps, fields: arrange(rules.profile, told) });
            body.map_or((usize::MAX, Vec::new()), |body| (body.len(), body))
        };
        let (body, left_out) = fit(Told::new(push, rules.privacy, now), push_type.max_bytes(), render)?;
        Ok(Self {
            id,
            token,
            push_type,
            expiration: expiration(push, push_type, rules, now),
            collapse_id: thread,
            body: body.into(),
            left_out,
        })
    }
}

/// The caller, in a push that the system shows.
fn shown_caller(push_type: PushType, message: &Message) -> Option<&UserId> {
    match (push_type, message) {
        (PushType::Alert, Message::Ring(ring)) => Some(&ring.caller.id),
        (PushType::Alert, Message::Missed { caller, .. }) => Some(&caller.id),
        _ => None,
    }
}

/// Rounded down, so that Apple never keeps a push longer than its ring lasts. An alert is of use until then; a VoIP push is to be
/// kept for seconds only.
fn expiration(push: &Push, push_type: PushType, rules: &Rules, now: Timestamp) -> u64 {
    match &push.message {
        Message::Ring(ring) if push_type == PushType::Alert => ring.ring_until.as_secs(),
        Message::Ring(_) if rules.ring_expiration.is_zero() => 0,
        Message::Ring(ring) => (now + rules.ring_expiration).min(ring.ring_until).as_secs(),
        Message::Missed { .. } if push.expires_at <= now => (now + MISSED_KEPT_FOR).as_secs(),
        Message::Cancel { .. } | Message::Missed { .. } | Message::Proof { .. } => push.expires_at.as_secs(),
    }
}

struct Payload<'a> {
    aps: Aps<'a>,
    fields: Fields<'a>,
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
    sound: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interruption_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    /// Lets a notification service extension of the app put in a name or a picture that the push leaves out.
    #[serde(skip_serializing_if = "Option::is_none")]
    mutable_content: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_available: Option<u8>,
}

impl<'a> Aps<'a> {
    fn new(push_type: PushType, told: &Told<'a>, thread: Option<&'a str>, rules: &'a Rules) -> Self {
        match push_type {
            PushType::Voip => Self::default(),
            PushType::Background => Self { content_available: Some(1), ..Self::default() },
            PushType::Alert => Self {
                alert: Words::new(told, rules.localize).map(Alert),
                sound: Some(if matches!(told.message, Message::Ring(_)) { &rules.ring_sound } else { "default" }),
                interruption_level: Some("time-sensitive"),
                thread_id: thread,
                mutable_content: Some(1),
                ..Self::default()
            },
        }
    }
}

struct Alert<'a>(Words<'a>);

impl Serialize for Alert<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let title = (Some(&self.0.title), ["title", "title-loc-key", "title-loc-args"]);
        let body = (self.0.body.as_ref(), ["body", "loc-key", "loc-args"]);
        for (text, names) in [title, body] {
            if let Some(text) = text {
                text.write(names, &mut map)?;
            }
        }
        map.end()
    }
}
