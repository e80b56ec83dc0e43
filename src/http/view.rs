//! Devices and events as the API shows them; a call is shown as webhooks show it. Times are RFC 3339 here; ids are plain UUIDs.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::{Device, Event, EventKind};
use crate::engine::News;
use crate::livekit::token::LiveKitAccess;
pub use crate::outbound::record::CallView;

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
