//! What a webhook says: its type, when that happened, and what there is to know of it.

use serde::Serialize;
use uuid::Uuid;

use super::record::{self, CallView};
use crate::crypto::uuid_of;
use crate::domain::usage::Crossing;
use crate::domain::{Call, EndpointId, Recording, Timestamp, TraceParent, UserId, WebhookEvent};

/// A message to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same in every try; made of what it tells of, so that it is the same after a crash too.
    pub id: Uuid,
    /// Where to.
    pub endpoint: EndpointId,
    /// What it tells of.
    pub event: WebhookEvent,
    /// JSON.
    pub body: String,
    /// Where in a trace it belongs, if what it tells of is traced.
    pub trace: Option<TraceParent>,
}

#[derive(Serialize)]
struct Body<'a, T> {
    #[serde(rename = "type")]
    event: &'a str,
    timestamp: String,
    data: T,
}

#[derive(Serialize)]
struct Banned<'a> {
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Serialize)]
struct Warning<'a> {
    limit: &'a str,
    period: &'a str,
    share: f64,
    used: u64,
    of: u64,
}

#[derive(Serialize)]
struct Recorded<'a> {
    call_id: String,
    media: &'a str,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_seconds: Option<u64>,
    bytes: Option<u64>,
    bucket: &'a str,
    key: &'a str,
    kept_until: String,
}

impl Message {
    /// A message of what `key` names for good: a call, or a ban of a user at a time.
    pub fn new(event: WebhookEvent, endpoint: &EndpointId, key: &str, body: String) -> Self {
        let id = uuid_of(&format!("webhook/{event}/{key}/{endpoint}"));
        Self { id, endpoint: endpoint.clone(), event, body, trace: None }
    }

    /// What is told of an ended call.
    pub fn of_call(call: &Call, event: WebhookEvent, endpoint: &EndpointId) -> Result<Self, serde_json::Error> {
        let body = body(event, call.ended_at.unwrap_or(call.created_at), &CallView::for_service(call))?;
        Ok(Self { trace: call.trace, ..Self::new(event, endpoint, &call.id.to_string(), body) })
    }
}

/// The body of a message of what happened at a time.
pub fn body(event: WebhookEvent, at: Timestamp, data: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Body { event: event.as_str(), timestamp: at.rfc3339(), data })
}

/// The body that tells of a ban.
pub fn of_ban(
    user: &UserId,
    reason: Option<&str>,
    created_at: Timestamp,
    until: Option<Timestamp>,
) -> Result<String, serde_json::Error> {
    let (created, until) = (created_at.rfc3339(), record::time(until));
    let banned = Banned { user: user.as_str(), reason, created_at: created, until };
    body(WebhookEvent::UserBanned, created_at, &banned)
}

/// The body that tells of a recording that can be watched. A link is asked for when it is wanted: it is good for a short while only.
pub fn of_recording(recording: &Recording) -> Result<String, serde_json::Error> {
    let recorded = Recorded {
        call_id: recording.call.to_string(),
        media: recording.content.as_str(),
        started_at: record::time(recording.started_at),
        ended_at: record::time(recording.ended_at),
        duration_seconds: recording.duration_ms.map(|millis| millis / 1000),
        bytes: recording.bytes,
        bucket: &recording.bucket,
        key: &recording.key,
        kept_until: recording.retained_until().rfc3339(),
    };
    body(WebhookEvent::RecordingReady, recording.ended_at.unwrap_or(recording.asked_at), &recorded)
}

/// The body that warns of a share of the plan that is used.
pub fn of_crossing(crossing: &Crossing, at: Timestamp) -> Result<String, serde_json::Error> {
    let Crossing { what, period, per_cent, used, limit, .. } = crossing;
    let share = f64::from(*per_cent) / 100.0;
    body(WebhookEvent::UsageWarning, at, &Warning { limit: what, period, share, used: *used, of: *limit })
}
