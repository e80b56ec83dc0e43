//! What Google is sent for each message.
//!
//! Sources: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages> and, for priorities,
//! <https://firebase.google.com/docs/cloud-messaging/android-message-priority>.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::config::push::{Fcm as Config, MissedCallAs, PayloadProfile, Privacy};
use crate::domain::{Device, StopReason, Timestamp, UserId};
use crate::push::message::{Message, Push};
use crate::push::payload::{LeftOut, Told, TooLarge, Words, arrange, conversation, fit, write};

/// The keys and values of `data`, and a notification beside it.
pub(in crate::push) const MAX_BYTES: usize = 4096;
const MAX_RING_TTL: Duration = Duration::from_mins(1);
const MISSED_KEPT_FOR: Duration = Duration::from_hours(24);

/// What the configuration has to say about messages.
#[derive(Debug, Clone, Copy)]
pub(in crate::push) struct Rules {
    profile: PayloadProfile,
    privacy: Privacy,
    localize: bool,
    missed_call_as: MissedCallAs,
}

impl Rules {
    pub(in crate::push) fn new(section: &Config, privacy: Privacy) -> Self {
        Self { profile: section.payload, privacy, localize: section.localize, missed_call_as: section.missed_call_as }
    }

    /// The caller, of a missed call that Google's client shows.
    fn notified_caller(self, message: &Message) -> Option<&UserId> {
        match message {
            Message::Missed { caller, .. } if self.missed_call_as == MissedCallAs::Notification => Some(&caller.id),
            _ => None,
        }
    }

    /// The body that stops the ring, beside a notification of the missed call, which does not wake the app.
    pub(in crate::push) fn stop_beside(self, push: &Push, now: Timestamp) -> Option<Bytes> {
        self.notified_caller(&push.message)?;
        let message = Message::Cancel { call_id: push.message.call_id()?, reason: StopReason::Ended };
        let (body, _) = body(&Push { message, ..push.clone() }, self, now)?.ok()?;
        Some(body)
    }
}

/// Writes the body of a push that goes out `now`, and says what had to be left out. None without a token.
pub(in crate::push) fn body(push: &Push, rules: Rules, now: Timestamp) -> Option<Result<(Bytes, LeftOut), TooLarge>> {
    let target = Target::of(&push.device)?;
    let tag = rules.notified_caller(&push.message).map(conversation);
    let render = |told: &Told| {
        let words = tag.as_ref().and_then(|_| Words::new(told, rules.localize));
        let android = Android {
            priority: priority(&push.message),
            ttl: format!("{}s", ttl(push, now).as_secs()),
            // One key for all that the app is told of a call, so that a phone coming back finds the last word only.
            collapse_key: tag.clone().unwrap_or_else(|| collapse_key(&push.message)),
            direct_boot_ok: true,
            notification: words.map(|words| Notification { words, tag: tag.as_deref() }),
        };
        let fields = arrange(rules.profile, told);
        let data = Data(fields.texts().collect());
        let size = data.bytes() + android.notification.as_ref().map_or(0, bytes);
        let body = write(&Body { message: Content { target, data, android } });
        body.map_or((usize::MAX, Vec::new()), |body| (size, body))
    };
    let fitted = fit(Told::new(push, rules.privacy, now), MAX_BYTES, render);
    Some(fitted.map(|(body, left_out)| (body.into(), left_out)))
}

/// One for each call, and one for all proofs.
fn collapse_key(message: &Message) -> String {
    message.call_id().map_or_else(|| message.kind().as_str().to_owned(), |call| call.to_string())
}

/// Counted with the JSON around its keys and values, so rather too much.
fn bytes(notification: &Notification) -> usize {
    serde_json::to_vec(notification).map_or(usize::MAX / 2, |json| json.len())
}

/// Only what ends in something to be seen may be high, or Android demotes the app.
const fn priority(message: &Message) -> &'static str {
    match message {
        Message::Ring(_) | Message::Missed { .. } => "HIGH",
        Message::Cancel { .. } | Message::Proof { .. } => "NORMAL",
    }
}

fn ttl(push: &Push, now: Timestamp) -> Duration {
    let left = match &push.message {
        Message::Ring(ring) => ring.ring_until.since(now).min(MAX_RING_TTL),
        Message::Cancel { .. } => push.expires_at.since(now).min(MAX_RING_TTL),
        Message::Missed { .. } if push.expires_at <= now => MISSED_KEPT_FOR,
        Message::Missed { .. } | Message::Proof { .. } => push.expires_at.since(now),
    };
    left.max(Duration::from_secs(1))
}

#[derive(Serialize)]
struct Body<'a> {
    message: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(flatten)]
    target: Target<'a>,
    data: Data<'a>,
    android: Android<'a>,
}

/// How Google knows the device: newer apps have a Firebase installation id in place of the token, which Google calls deprecated.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target<'a> {
    Token(&'a str),
    Fid(&'a str),
}

impl<'a> Target<'a> {
    pub(super) fn of(device: &'a Device) -> Option<Self> {
        let token = device.fcm_token.as_ref().map(|token| Self::Token(token.as_str()));
        token.or_else(|| device.fcm_fid.as_ref().map(|fid| Self::Fid(fid.as_str())))
    }
}

struct Data<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl Data<'_> {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, text)| name.len() + text.len()).sum()
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

#[derive(Serialize)]
struct Android<'a> {
    priority: &'static str,
    ttl: String,
    collapse_key: String,
    /// Lets a phone ring that was restarted and not yet unlocked.
    direct_boot_ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Notification<'a>>,
}

/// What Google's client shows by itself while the app is in the background.
struct Notification<'a> {
    words: Words<'a>,
    /// A notification with the same one takes the place of the one before.
    tag: Option<&'a str>,
}

impl Serialize for Notification<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let title = (Some(&self.words.title), ["title", "title_loc_key", "title_loc_args"]);
        let body = (self.words.body.as_ref(), ["body", "body_loc_key", "body_loc_args"]);
        for (text, names) in [title, body] {
            if let Some(text) = text {
                text.write(names, &mut map)?;
            }
        }
        if let Some(tag) = self.tag {
            map.serialize_entry("tag", tag)?;
        }
        map.end()
    }
}
