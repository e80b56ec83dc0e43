//! What Google is sent for each message.
//!
//! Sources: <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages> and, for priorities,
//! <https://firebase.google.com/docs/cloud-messaging/android-message-priority>.

use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::config::push::Privacy;
use crate::domain::{Device, Timestamp};
use crate::push::message::{Message, Push};
use crate::push::payload::{Fields, TooLarge, fit};

/// The keys and values of `data` together.
const MAX_BYTES: usize = 4096;
const MAX_RING_TTL: Duration = Duration::from_mins(1);
const MISSED_KEPT_FOR: Duration = Duration::from_hours(24);

/// Writes the body of a push that goes out `now`, and says whether metadata had to be left out. None without a token.
pub(super) fn body(push: &Push, privacy: Privacy, now: Timestamp) -> Option<Result<(Bytes, bool), TooLarge>> {
    let target = Target::of(&push.device)?;
    let android = Android {
        priority: priority(&push.message),
        ttl: format!("{}s", ttl(push, now).as_secs()),
        // One key for all that is said of a call, so that a phone coming back finds the last word only.
        collapse_key: push.message.call_id().to_string(),
        direct_boot_ok: true,
    };
    let render = |fields: &Fields| {
        let size = fields.iter().map(|(name, value)| name.len() + value.to_text().len()).sum();
        let body = serde_json::to_vec(&Body { message: Content { target, data: Texts(fields), android: &android } });
        body.map_or((usize::MAX, Vec::new()), |body| (size, body))
    };
    let fitted = fit(Fields::new(push, privacy, now), MAX_BYTES, render);
    Some(fitted.map(|(body, metadata_dropped)| (body.into(), metadata_dropped)))
}

/// Only what ends in something to be seen may be high, or Android demotes the app.
const fn priority(message: &Message) -> &'static str {
    match message {
        Message::Ring(_) | Message::Missed { .. } => "HIGH",
        Message::Cancel { .. } => "NORMAL",
    }
}

fn ttl(push: &Push, now: Timestamp) -> Duration {
    let left = match &push.message {
        Message::Ring(ring) => ring.ring_until.since(now).min(MAX_RING_TTL),
        Message::Cancel { .. } => push.expires_at.since(now).min(MAX_RING_TTL),
        Message::Missed { .. } if push.expires_at <= now => MISSED_KEPT_FOR,
        Message::Missed { .. } => push.expires_at.since(now),
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
    data: Texts<'a>,
    android: &'a Android,
}

/// How Google knows the device: newer apps have an installation id in place of the token.
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

struct Texts<'a>(&'a Fields<'a>);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value.to_text())))
    }
}

#[derive(Serialize)]
struct Android {
    priority: &'static str,
    ttl: String,
    collapse_key: String,
    /// Lets a phone ring that was restarted and not yet unlocked.
    direct_boot_ok: bool,
}
