//! A call as it is shown outside, by the API and in webhooks. Times are RFC 3339; ids are plain UUIDs.
//!
//! Callers never see legs, push results or whether a phone was on Do Not Disturb; only services do.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::presence::Visit;
use crate::domain::statistics::Statistics;
use crate::domain::{Call, Party, Timestamp};

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
    /// Whether both are recorded: `starting`, `on`, `over` or `failed`; absent if nobody wanted that.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<&'static str>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// Whole seconds that both were in the room, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    talk_seconds: Option<u64>,
    /// The most participants at a time, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_participants: Option<u8>,
    /// What can be counted of it, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<StatisticsView>,
    /// The app's own data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    metadata: Option<Arc<Value>>,
    /// The number of its last event.
    seq: u32,
    /// Whether the callee has blocked the caller and must hear nothing of it, now or in a history; for services only, and only if so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden_from_callee: bool,
    /// Its legs; for services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<Vec<LegView>>,
}

/// Figures of a call. Times are in milliseconds; one that never came to be is absent.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsView {
    /// From the first device's ringing to the answer, or to the end without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    ring_ms: Option<u64>,
    /// From the invite to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_ms: Option<u64>,
    /// From the answer until both were in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_ms: Option<u64>,
    /// That both were in the room.
    talk_ms: u64,
    /// From the invite to the end.
    total_ms: u64,
    /// That the parties were in the room, added up.
    participant_ms: u64,
    /// The most participants at a time.
    peak_participants: u8,
    /// How often a party came back in another session.
    reconnects: u32,
    /// Why LiveKit saw parties leave; for services only.
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnects: Option<Vec<DisconnectsView>>,
}

/// Why a party's sessions ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct DisconnectsView {
    /// The party.
    user: String,
    /// LiveKit's words, such as `CLIENT_INITIATED`, in order; the last eight.
    reasons: Vec<String>,
}

impl From<Statistics> for StatisticsView {
    fn from(figures: Statistics) -> Self {
        let Statistics { ring_ms, answer_ms, media_ms, talk_ms, total_ms, participant_ms, .. } = figures;
        let Statistics { peak_participants, reconnects, .. } = figures;
        Self {
            ring_ms,
            answer_ms,
            media_ms,
            talk_ms,
            total_ms,
            participant_ms,
            peak_participants,
            reconnects,
            disconnects: None,
        }
    }
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

pub(super) fn time(at: Option<Timestamp>) -> Option<String> {
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
            recording: call.recording.as_ref().map(|recording| recording.stage.as_str()),
            ended_at: time(call.ended_at),
            talk_seconds: ended.then_some(call.presence.talk_ms / 1000),
            peak_participants: ended.then_some(call.presence.peak),
            statistics: call.ended_at.map(|ended| call.statistics(ended).into()),
            metadata: call.metadata.clone(),
            seq: call.last_seq(),
            hidden_from_callee: false,
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
        let legs = Some(legs.collect());
        let mut view = Self { legs, hidden_from_callee: call.hidden, ..Self::for_party(call) };
        if let Some(figures) = &mut view.statistics {
            let left = call.visits().filter(|(_, visit)| !visit.reasons.is_empty());
            let of = |(party, visit): (&Party, &Visit)| DisconnectsView {
                user: party.id.to_string(),
                reasons: visit.reasons.clone(),
            };
            figures.disconnects = Some(left.map(of).collect());
        }
        view
    }
}
