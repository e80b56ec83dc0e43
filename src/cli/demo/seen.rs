//! What the demo has seen: calls with their timelines, pushes, and the checks. Tickets and authorizations are cut short.

use serde::Serialize;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::simulator::{Provider, Received};

/// How much of a ticket is shown.
const SHOWN: usize = 12;

/// What has been seen so far.
#[derive(Debug, Default, Serialize)]
pub(super) struct Seen {
    pub(super) calls: Vec<CallSeen>,
    pub(super) checks: Vec<Check>,
}

impl Seen {
    /// Notes whether something was seen as it must be.
    pub(super) fn check(&mut self, name: impl Into<String>, result: Result<(), String>) {
        self.checks.push(Check { name: name.into(), ok: result.is_ok(), found: result.err() });
    }

    /// What was not seen.
    pub(super) fn missing(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }
}

/// Something that must be seen.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) ok: bool,
    /// What was found in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<String>,
}

/// One call as it was seen.
#[derive(Debug, Default, Serialize)]
pub(super) struct CallSeen {
    pub(super) number: usize,
    pub(super) title: &'static str,
    /// When the invite was sent.
    pub(super) invited_at: String,
    /// The call as its caller read it after the end.
    pub(super) call: Value,
    /// The claims of each party's LiveKit token.
    pub(super) livekit: Vec<Value>,
    /// What came on the caller's event stream, in order.
    pub(super) events: Vec<Value>,
    /// When things were seen.
    pub(super) timeline: Vec<Mark>,
}

/// A moment of a call.
#[derive(Debug, Serialize)]
pub(super) struct Mark {
    pub(super) what: Moment,
    /// Milliseconds after the invite was sent.
    pub(super) ms: u64,
}

/// The moments of a timeline, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Moment {
    InviteSent,
    InviteAnswered,
    RingToIphone,
    RingToPixel,
    ApnsAccepted,
    FcmAccepted,
    Alerting,
    Answered,
    Declined,
    CancelToIphone,
    CancelToPixel,
    Ended,
    MissedToIphone,
    MissedToPixel,
}

impl Moment {
    pub(super) const ALL: [(Self, &'static str); 14] = [
        (Self::InviteSent, "invite sent"),
        (Self::InviteAnswered, "invite answered (201)"),
        (Self::RingToIphone, "ring on the wire, iPhone"),
        (Self::RingToPixel, "ring on the wire, Pixel"),
        (Self::ApnsAccepted, "accepted by APNs, noted"),
        (Self::FcmAccepted, "accepted by FCM, noted"),
        (Self::Alerting, "a phone alerting"),
        (Self::Answered, "answered"),
        (Self::Declined, "declined"),
        (Self::CancelToIphone, "cancel on the wire, iPhone"),
        (Self::CancelToPixel, "cancel on the wire, Pixel"),
        (Self::Ended, "ended"),
        (Self::MissedToIphone, "missed call on the wire, iPhone"),
        (Self::MissedToPixel, "missed call on the wire, Pixel"),
    ];
}

impl CallSeen {
    /// When something was seen, if it was.
    pub(super) fn ms(&self, what: Moment) -> Option<u64> {
        self.timeline.iter().find(|mark| mark.what == what).map(|mark| mark.ms)
    }
}

/// Everything as one document, with every push that reached the simulator.
pub(super) fn report(stage: &Stage, seen: &Seen) -> Value {
    let pushes = stage.simulator.log().all();
    let pushes = pushes.iter().filter(|push| push.provider != Provider::OAuth).map(|push| {
        let mut shown = shortened(push);
        let phone = push.target.as_deref().and_then(|target| stage.phone(target));
        shown["device_id"] = json!(phone.map(|phone| phone.id));
        shown["at"] = json!(push.at.rfc3339());
        shown
    });
    let pushes: Vec<Value> = pushes.collect();
    json!({"ok": seen.missing().next().is_none(), "calls": seen.calls, "pushes": pushes, "checks": seen.checks})
}

/// What a push says: APNs' custom keys or FCM's data.
pub(super) fn push_data(push: &Received) -> &Value {
    if push.body["message"].is_object() { &push.body["message"]["data"] } else { &push.body }
}

/// A push as JSON, its authorization and ticket cut short.
pub(super) fn shortened(push: &Received) -> Value {
    let mut shown = serde_json::to_value(push).unwrap_or_default();
    for place in ["/body/ticket", "/body/message/data/ticket"] {
        if let Some(ticket) = shown.pointer_mut(place) {
            let text = ticket.as_str().unwrap_or_default();
            let start: String = text.chars().take(SHOWN).collect();
            *ticket = json!(format!("{start}… ({} characters)", text.len()));
        }
    }
    shown
}
