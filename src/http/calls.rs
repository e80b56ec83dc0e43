//! Calls: the verbs of a ringing and an active call, one call, the history. The invite is in `invite`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::code::Code;
use super::extract::{Authenticated, Body, CallPath, EmptyBody, Params, check_text};
use super::problem::Problem;
use super::view::{CallView, LiveKitView};
use crate::domain::{Call, CallId, DeclineReason, DeviceId, Media, UserId};
use crate::engine::{Asker, joins};
use crate::livekit::token::Join;

/// How long a token can be used to connect, beyond the ring.
const TIME_TO_CONNECT: Duration = Duration::from_mins(1);
/// Calls in a page of the history.
const PAGE: usize = 20;
/// The most calls in a page.
const LARGEST_PAGE: usize = 100;

/// A call, and, while it lives, what the asker needs to join it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallAnswer {
    /// The call.
    pub call: CallView,
    /// How to join it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub livekit: Option<LiveKitView>,
}

/// What a device says of its ring.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertingBody {
    /// The device; needed with a user's token.
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
    /// False: it could not ring.
    rung: Option<bool>,
    /// Why it could not, such as `do_not_disturb`.
    reason: Option<String>,
}

/// Which device speaks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpeakerBody {
    /// The device; needed with a user's token.
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
}

/// A decline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclineBody {
    /// The device; needed with a user's token.
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
    /// `declined` (the default) or `busy`.
    reason: Option<DeclineWord>,
}

/// Why a device declines.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeclineWord {
    /// Its user does not want the call.
    Declined,
    /// It is on another call.
    Busy,
}

/// A fresh LiveKit token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenAnswer {
    livekit: LiveKitView,
}

/// Which page of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Calls in the page, 1 to 100; 20 by default.
    limit: Option<usize>,
}

/// A page of the history, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryAnswer {
    calls: Vec<CallView>,
    next_cursor: Option<String>,
}

pub(super) fn view(call: &Call, who: &Caller) -> CallView {
    match who {
        Caller::Service => CallView::for_service(call),
        Caller::User(_) | Caller::Device(_) => CallView::for_party(call),
    }
}

/// A token for the asker to come back with, if they may have one now.
pub(super) async fn access(app: &App, call: &Arc<Call>, asker: &Asker) -> Result<LiveKitView, Problem> {
    let identity = app.engine.rejoin(call, asker).await?;
    mint(app, call, &identity)
}

/// A token for this party of a call.
pub(super) fn mint(app: &App, call: &Call, identity: &UserId) -> Result<LiveKitView, Problem> {
    let now = app.engine.clock().now();
    let ring_left = if call.is_unanswered() { call.ring_until.since(now) } else { Duration::ZERO };
    let join = Join {
        room: &call.room,
        identity,
        name: call.party(identity).and_then(|party| party.name.as_deref()),
        video: call.media == Media::Video,
        valid_for: ring_left + TIME_TO_CONNECT,
        empty_timeout: call.empty_timeout(now),
        departure_timeout: call.rules.departure_timeout(),
    };
    Ok(app.minter.now().mint(&join, now).map_err(|error| Problem::internal(&error))?.into())
}

/// One call.
#[utoipa::path(get, operation_id = "get_call", path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallView), (status = "4XX", body = Problem)))]
pub async fn get(State(app): State<App>, who: Authenticated, id: CallPath) -> Result<Json<CallView>, Problem> {
    let caller = who.0.clone();
    let call = app.engine.call(id.0, &who.asker(id.0, None)?).await?;
    Ok(Json(view(&call, &caller)))
}

/// The user's calls, newest first.
#[utoipa::path(get, operation_id = "list_calls", path = "/v1/calls", tag = "calls", params(HistoryParams),
    responses((status = 200, body = HistoryAnswer), (status = "4XX", body = Problem)))]
pub async fn history(
    State(app): State<App>,
    who: Authenticated,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let user = who.user()?;
    let invalid = |detail| Problem::new(Code::InvalidQuery, detail);
    let limit = params.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(invalid(format!("limit must be from 1 to {LARGEST_PAGE}")));
    }
    let cursor = params.cursor.as_deref().map(CallId::parse).transpose();
    let cursor = cursor.map_err(|_| invalid("cursor must be a next_cursor".to_owned()))?;
    let page = app.engine.history(&user.id, cursor, limit).await?;
    let calls = page.calls.iter().map(|call| CallView::for_party(call)).collect();
    Ok(Json(HistoryAnswer { calls, next_cursor: page.next.map(|id| id.to_string()) }))
}

/// "I ring", or "I could not".
#[utoipa::path(post, path = "/v1/calls/{id}/alerting", tag = "calls", params(("id" = String, Path)),
    request_body = AlertingBody, responses((status = 200, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn alerting(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    Body { value: body, .. }: Body<AlertingBody>,
) -> Result<Json<CallAnswer>, Problem> {
    check_text("/reason", body.reason.as_deref(), 64)?;
    let asker = who.device_asker(id.0, body.device_id)?;
    let call = match (body.rung, body.reason) {
        (Some(false), reason) => app.engine.not_rung(id.0, &asker, reason.as_deref().unwrap_or("unknown")).await,
        (_, Some(_)) => return Err(Problem::field("/reason", "goes with \"rung\": false")),
        (_, None) => app.engine.alerting(id.0, &asker).await,
    };
    let call = call.map_err(|error| Problem::of_device(error, asker.device()))?;
    Ok(Json(CallAnswer { call: CallView::for_party(&call), livekit: None }))
}

/// Answer: the first device wins.
#[utoipa::path(post, path = "/v1/calls/{id}/answer", tag = "calls", params(("id" = String, Path)),
    request_body = SpeakerBody, responses((status = 200, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn answer(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    Body { value: body, .. }: Body<SpeakerBody>,
) -> Result<Json<CallAnswer>, Problem> {
    let asker = who.device_asker(id.0, body.device_id)?;
    let call = app.engine.answer(id.0, &asker).await.map_err(|error| Problem::of_device(error, asker.device()))?;
    let identity = joins(&call, &asker)?;
    let livekit = mint(&app, &call, &identity)?;
    Ok(Json(CallAnswer { call: CallView::for_party(&call), livekit: Some(livekit) }))
}

/// Decline.
#[utoipa::path(post, path = "/v1/calls/{id}/decline", tag = "calls", params(("id" = String, Path)),
    request_body = DeclineBody, responses((status = 200, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn decline(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    Body { value: body, .. }: Body<DeclineBody>,
) -> Result<Json<CallAnswer>, Problem> {
    let asker = who.device_asker(id.0, body.device_id)?;
    let reason = match body.reason {
        None | Some(DeclineWord::Declined) => DeclineReason::Declined,
        Some(DeclineWord::Busy) => DeclineReason::Busy,
    };
    let call = app.engine.decline(id.0, &asker, reason).await;
    let call = call.map_err(|error| Problem::of_device(error, asker.device()))?;
    Ok(Json(CallAnswer { call: CallView::for_party(&call), livekit: None }))
}

/// The caller gives up.
#[utoipa::path(post, path = "/v1/calls/{id}/cancel", tag = "calls", params(("id" = String, Path)),
    request_body = EmptyBody, responses((status = 200, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn cancel(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    _: Body<EmptyBody>,
) -> Result<Json<CallAnswer>, Problem> {
    let caller = who.0.clone();
    let call = app.engine.cancel(id.0, &who.asker(id.0, None)?).await?;
    Ok(Json(CallAnswer { call: view(&call, &caller), livekit: None }))
}

/// Either party hangs up.
#[utoipa::path(post, path = "/v1/calls/{id}/hangup", tag = "calls", params(("id" = String, Path)),
    request_body = EmptyBody, responses((status = 200, body = CallAnswer), (status = "4XX", body = Problem)))]
pub async fn hang_up(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    _: Body<EmptyBody>,
) -> Result<Json<CallAnswer>, Problem> {
    let caller = who.0.clone();
    let call = app.engine.hang_up(id.0, &who.asker(id.0, None)?).await?;
    Ok(Json(CallAnswer { call: view(&call, &caller), livekit: None }))
}

/// A fresh LiveKit token, to come back after a network change.
#[utoipa::path(post, path = "/v1/calls/{id}/token", tag = "calls", params(("id" = String, Path)),
    request_body = SpeakerBody, responses((status = 200, body = TokenAnswer), (status = "4XX", body = Problem)))]
pub async fn token(
    State(app): State<App>,
    who: Authenticated,
    id: CallPath,
    Body { value: body, .. }: Body<SpeakerBody>,
) -> Result<Json<TokenAnswer>, Problem> {
    let asker = who.asker(id.0, body.device_id)?;
    let call = app.engine.call(id.0, &asker).await?;
    Ok(Json(TokenAnswer { livekit: access(&app, &call, &asker).await? }))
}
