//! Why each device of a call rang or did not, for the app's backend and its operators.
//!
//! `domain::explain` says it; here is only how it looks. No push token, ticket or other secret is in it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::extract::{Authenticated, CallPath};
use super::problem::Problem;
use super::view::CallView;
use crate::domain::explain::{Around, DeviceExplanation, Explanation, explain as explained};
use crate::domain::time::millis;
use crate::domain::{Call, Environment, Leg, LegState, Platform, Receipt, Timestamp};
use crate::engine::Asker;

/// A call explained.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainAnswer {
    /// The call.
    call: CallView,
    /// How it went, in one sentence.
    summary: String,
    /// Its devices, and those that the callee has now and that take no part in it.
    devices: Vec<ExplainedDevice>,
}

/// A device explained.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainedDevice {
    /// The app's own name of it.
    device_id: String,
    /// `ios`, `android` or `web`.
    platform: &'static str,
    /// The app.
    app: String,
    /// `production` or `sandbox`; of iPhones.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    /// What its owner calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The app's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_version: Option<String>,
    /// When it was registered or refreshed last before the call.
    registered_at: String,
    /// Since when its app is known to say that it rings; absent: it never has.
    #[serde(skip_serializing_if = "Option::is_none")]
    acks_since: Option<String>,
    /// How far its ring got; absent: it takes no part in the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// Why, where the state has a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why it rang or did not: a word of the table in docs/PUSH.md.
    cause: &'static str,
    /// The same in one sentence, with the facts.
    verdict: String,
    /// What to do about it.
    advice: &'static str,
    /// When a provider first took the ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    sent: Option<Moment>,
    /// When it was in touch with the gateway without a word about its ring; noted only where a VoIP budget asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    contacted: Option<Moment>,
    /// When it first spoke, if that was after its ring was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<Moment>,
    /// What it said of its ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<AckView>,
    /// When it answered, declined or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<Moment>,
    /// How its ring was stopped from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<StopView>,
    /// Every push to it and what came back, in order: of many the first and the latest.
    pushes: Vec<PushView>,
}

/// A moment of a call.
#[derive(Debug, Serialize, ToSchema)]
pub struct Moment {
    /// When.
    at: String,
    /// Milliseconds after the invite.
    after_ms: u64,
}

/// What a device said of its ring.
#[derive(Debug, Serialize, ToSchema)]
pub struct AckView {
    /// `alerting` or `not_rung`; `answered`, `declined` or `busy` where that was all that it said.
    kind: &'static str,
    /// Why it could not ring.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When.
    #[serde(flatten)]
    moment: Option<Moment>,
}

/// How the ring of a device was stopped.
#[derive(Debug, Serialize, ToSchema)]
pub struct StopView {
    /// `cancelled`, `answered_elsewhere`, `declined_elsewhere`, `timed_out` or `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When.
    #[serde(flatten)]
    moment: Option<Moment>,
    /// The kind of push that told the device, once a provider has taken one: `stop`, or `missed`, which replaces the ring on
    /// Android. A device that is connected to the event stream hears it there too.
    #[serde(skip_serializing_if = "Option::is_none")]
    told_by: Option<String>,
    /// When the provider took that push.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<Moment>,
}

/// A push, and the same answer to it as often as it came.
#[derive(Debug, Serialize, ToSchema)]
pub struct PushView {
    /// `ring`, `ring_alert` (the alert beside a VoIP ring), `stop` or `missed`.
    push: String,
    /// Which push of its kind to this device, from 1; 0 is not known.
    number: u32,
    /// Which attempt of the gateway, from 1; 0 is not known.
    attempt: u32,
    /// `apns`, `fcm`, or `none` where nothing is configured for the device.
    provider: String,
    /// Which of Apple's hosts answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    /// The provider's id of the push: `apns-id`, or FCM's name of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// HTTP status, if there was an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The provider's reason, or Bellwire's in kebab case; empty when it was taken.
    reason: String,
    /// What followed: `accepted`, `retry`, `drop_token`, `our_fault` or `give_up`; empty is not known.
    outcome: String,
    /// How often this answer came.
    times: u32,
    /// When it came first.
    first: Moment,
    /// When it came last.
    last: Moment,
    /// When the last one was sent.
    sent: Moment,
    /// Of a dead token: since when, as the provider knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_since: Option<String>,
    /// From sending to the answer, of the last one, in milliseconds.
    latency_ms: u64,
}

/// Why each device rang or did not.
#[utoipa::path(get, path = "/v1/calls/{id}/explain", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = ExplainAnswer), (status = "4XX", body = Problem)))]
pub async fn explain(State(app): State<App>, who: Authenticated, id: CallPath) -> Result<Json<ExplainAnswer>, Problem> {
    who.service()?;
    let call = app.engine.call(id.0, &Asker::Service).await?;
    let callee = &call.callee.id;
    let (devices, ban) = (app.engine.devices(callee).await?, app.engine.ban_of(callee).await?);
    let callee_banned_at = ban.map(|ban| ban.created_at);
    let around = Around { devices: &devices, callee_banned_at, now: app.engine.clock().now() };
    Ok(Json(ExplainAnswer::new(&call, explained(&call, &around))))
}

impl ExplainAnswer {
    fn new(call: &Call, explanation: Explanation<'_>) -> Self {
        let devices = explanation.devices.into_iter().map(|device| ExplainedDevice::new(call, device));
        Self { call: CallView::for_party(call), summary: explanation.summary, devices: devices.collect() }
    }
}

impl ExplainedDevice {
    fn new(call: &Call, explained: DeviceExplanation<'_>) -> Self {
        let moment = |at| Moment::of(call, at);
        let DeviceExplanation { device, leg, cause, verdict, ack, stop } = explained;
        Self {
            device_id: device.id.to_string(),
            platform: device.platform.as_str(),
            app: device.app.as_str().to_owned(),
            environment: (device.platform == Platform::Ios).then(|| device.environment.as_str()),
            name: device.name.clone(),
            app_version: device.app_version.clone(),
            registered_at: device.registered_at.rfc3339(),
            acks_since: device.acks.since.map(Timestamp::rfc3339),
            state: leg.map(|leg| leg.state.as_str()),
            reason: leg.and_then(|leg| leg.reason.clone()),
            cause: cause.as_str(),
            verdict,
            advice: cause.advice(),
            sent: leg.and_then(|leg| leg.sent_at).map(moment),
            contacted: leg.and_then(|leg| leg.contacted_at).map(moment),
            late: leg.and_then(|leg| leg.late_at).map(moment),
            ack: ack.map(|ack| AckView {
                kind: ack.kind,
                reason: ack.reason.map(str::to_owned),
                moment: ack.at.map(moment),
            }),
            closed: leg.filter(|leg| leg.state != LegState::Stopped).and_then(|leg| leg.closed_at).map(moment),
            stop: stop.map(|stop| StopView {
                reason: stop.reason.map(str::to_owned),
                moment: stop.at.map(moment),
                told_by: stop.told_by.map(|receipt| receipt.push.to_string()),
                told: stop.told_by.map(|receipt| moment(first(receipt))),
            }),
            pushes: pushes(call, leg),
        }
    }
}

impl Moment {
    fn of(call: &Call, at: Timestamp) -> Self {
        Self { at: at.rfc3339(), after_ms: millis(at.since(call.created_at)) }
    }
}

fn pushes(call: &Call, leg: Option<&Leg>) -> Vec<PushView> {
    let receipts = leg.map(|leg| leg.receipts.as_slice()).unwrap_or_default();
    receipts.iter().map(|receipt| push(call, receipt)).collect()
}

fn push(call: &Call, receipt: &Receipt) -> PushView {
    PushView {
        push: receipt.push.to_string(),
        number: receipt.number,
        attempt: receipt.attempt,
        provider: receipt.provider.to_string(),
        environment: receipt.environment.map(Environment::as_str),
        id: receipt.provider_id.clone(),
        status: receipt.status,
        reason: receipt.reason.clone(),
        outcome: receipt.verdict.to_string(),
        times: receipt.times(),
        first: Moment::of(call, first(receipt)),
        last: Moment::of(call, receipt.at),
        sent: Moment::of(call, receipt.sent_at()),
        dead_since: receipt.dead_since.map(Timestamp::rfc3339),
        latency_ms: receipt.latency_ms,
    }
}

/// When an answer came first.
fn first(receipt: &Receipt) -> Timestamp {
    receipt.since.unwrap_or(receipt.at)
}
