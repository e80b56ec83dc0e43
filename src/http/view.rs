//! Calls, devices and events as the API shows them. Times are RFC 3339 here; ids are plain UUIDs.
//!
//! Callers never see legs, push results or whether a phone was on Do Not Disturb; only services do.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{Call, Device, Event, EventKind, Party, Timestamp};
use crate::engine::News;
use crate::livekit::token::LiveKitAccess;

/// A call.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallView {
    /// Its id.
    id: String,
    /// `calling`, `ringing`, `active` or `ended`.
    state: String,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    /// `audio` or `video`.
    media: &'static str,
    /// Who calls.
    caller: PartyView,
    /// Who is called.
    callee: PartyView,
    /// When it was made.
    created_at: String,
    /// When an unanswered call ends.
    ring_until: String,
    /// When the first device rang.
    #[serde(skip_serializing_if = "Option::is_none")]
    ringing_at: Option<String>,
    /// When a device answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    /// Which device answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<String>,
    /// When both were in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// Whole seconds that both were in the room, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    talk_seconds: Option<u64>,
    /// The most participants at a time, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_participants: Option<u8>,
    /// The app's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    /// The number of its last event.
    seq: u32,
    /// Its legs; for services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<Vec<LegView>>,
}

/// A party of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartyView {
    /// The user.
    id: String,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The avatar's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar: Option<String>,
}

/// A leg: one device of the callee.
#[derive(Debug, Serialize, ToSchema)]
pub struct LegView {
    /// The device.
    device_id: String,
    /// `ios`, `android` or `web`.
    platform: &'static str,
    /// How far its ring got.
    state: &'static str,
    /// Why, where the state has a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What an app needs to join the room.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveKitView {
    /// LiveKit's URL.
    url: String,
    /// The room.
    room: String,
    /// The token: for this room, for a short while.
    token: String,
    /// Until when it can be used to connect.
    expires_at: String,
}

/// A registered device; its tokens are never shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceView {
    /// The app's own name of it.
    device_id: String,
    /// `ios`, `android` or `web`.
    platform: &'static str,
    /// The app.
    app: String,
    /// `production` or `sandbox`.
    environment: &'static str,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    /// The app's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_version: Option<String>,
    /// When it was registered or refreshed last.
    registered_at: String,
}

/// A numbered event of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// The call.
    call_id: String,
    /// Its number in the call, from 1.
    seq: u32,
    /// `call.invited`, `call.ringing`, …
    #[serde(rename = "type")]
    kind: String,
    /// When it happened.
    at: String,
    /// What goes with it.
    data: Value,
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}

impl From<&Party> for PartyView {
    fn from(party: &Party) -> Self {
        Self { id: party.id.to_string(), name: party.name.clone(), avatar: party.avatar.clone() }
    }
}

impl CallView {
    /// The call as its parties see it.
    pub fn for_party(call: &Call) -> Self {
        let ended = call.is_ended();
        Self {
            id: call.id.to_string(),
            state: call.state.to_string(),
            end_reason: call.end_reason.map(crate::domain::EndReason::as_str),
            media: call.media.as_str(),
            caller: (&call.caller).into(),
            callee: (&call.callee).into(),
            created_at: call.created_at.rfc3339(),
            ring_until: call.ring_until.rfc3339(),
            ringing_at: time(call.ringing_at),
            answered_at: time(call.answered_at),
            answered_by: call.answered_by.as_ref().map(ToString::to_string),
            connected_at: time(call.presence.connected_at),
            ended_at: time(call.ended_at),
            talk_seconds: ended.then_some(call.presence.talk_ms / 1000),
            peak_participants: ended.then_some(call.presence.peak),
            metadata: call.metadata.clone(),
            seq: call.last_seq(),
            legs: None,
        }
    }

    /// The call as the app's backend sees it, with its legs.
    pub fn for_service(call: &Call) -> Self {
        let legs = call.legs.iter().map(|leg| LegView {
            device_id: leg.device.id.to_string(),
            platform: leg.device.platform.as_str(),
            state: leg.state.as_str(),
            reason: leg.reason.clone(),
        });
        Self { legs: Some(legs.collect()), ..Self::for_party(call) }
    }
}

impl From<LiveKitAccess> for LiveKitView {
    fn from(access: LiveKitAccess) -> Self {
        Self { url: access.url, room: access.room, token: access.token, expires_at: access.expires_at.rfc3339() }
    }
}

impl From<&Device> for DeviceView {
    fn from(device: &Device) -> Self {
        Self {
            device_id: device.id.to_string(),
            platform: device.platform.as_str(),
            app: device.app.as_str().to_owned(),
            environment: device.environment.as_str(),
            name: device.name.clone(),
            locale: device.locale.clone(),
            app_version: device.app_version.clone(),
            registered_at: device.registered_at.rfc3339(),
        }
    }
}

impl From<&News> for EventView {
    fn from(News { call, event }: &News) -> Self {
        let mut told = serde_json::to_value(event).unwrap_or_default();
        let kind = told["type"].as_str().unwrap_or_default().to_owned();
        let mut data = told["data"].take();
        if let (Event { kind: EventKind::Invited {}, .. }, Some(data)) = (event, data.as_object_mut()) {
            // A device that hears of the call here needs no second request to show who calls.
            data.insert("call".into(), serde_json::to_value(CallView::for_party(call)).unwrap_or_default());
        }
        Self { call_id: call.id.to_string(), seq: event.seq, kind, at: event.at.rfc3339(), data }
    }
}
