//! The user's devices: register or refresh, list, remove.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::extract::{Authenticated, Body, IdPath, check_text};
use super::problem::Problem;
use super::view::DeviceView;
use crate::domain::{Acks, AppId, Device, DeviceId, Environment, IosPushMode, Platform, PushToken, Unknown};
use crate::engine::Registration;

/// A registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceBody {
    /// `ios`, `android` or `web`.
    #[schema(value_type = String)]
    platform: Platform,
    /// The app: bundle id or application id.
    #[schema(value_type = String)]
    app: AppId,
    /// `production` (the default) or `sandbox`, for iOS.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    environment: Environment,
    /// `PushKit` token, in hex.
    #[schema(value_type = Option<String>)]
    voip_token: Option<PushToken>,
    /// Token for alerts, in hex.
    #[schema(value_type = Option<String>)]
    alert_token: Option<PushToken>,
    /// FCM registration token.
    #[schema(value_type = Option<String>)]
    fcm_token: Option<PushToken>,
    /// Firebase installation id, in place of the token.
    #[schema(value_type = Option<String>)]
    fcm_fid: Option<PushToken>,
    /// `voip` (the default) or `alert`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    ios_push_mode: IosPushMode,
    /// What its owner calls it.
    name: Option<String>,
    /// BCP 47 language tag.
    locale: Option<String>,
    /// The app's version.
    app_version: Option<String>,
    /// What a push of type `device_proof` carried, where one was asked for.
    proof: Option<String>,
}

/// A registration that waits for a proof: nothing has changed yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct PendingView {
    /// Always true.
    pending: bool,
    /// Until when the proof is good that is on its way to the phone.
    proof_expires_at: String,
}

/// The user's devices.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicesAnswer {
    devices: Vec<DeviceView>,
}

/// Register or refresh a device. Its tokens leave whichever device had them; 202: once the `proof` that is pushed now comes with it.
#[utoipa::path(put, operation_id = "put_device", path = "/v1/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    request_body = DeviceBody, responses((status = 200, body = DeviceView), (status = 202, body = PendingView), (status = "4XX", body = Problem)))]
pub async fn put(
    State(app): State<App>,
    who: Authenticated,
    IdPath(id): IdPath<DeviceId>,
    Body { value: body, .. }: Body<DeviceBody>,
) -> Result<Response, Problem> {
    let user = who.user()?;
    if !user.apps.is_empty() && !user.apps.contains(&body.app) {
        return Err(Problem::field("/app", "is not one of this issuer's apps"));
    }
    check_text("/name", body.name.as_deref(), 128)?;
    check_text("/locale", body.locale.as_deref(), 35)?;
    check_text("/app_version", body.app_version.as_deref(), 64)?;
    check_text("/proof", body.proof.as_deref(), 128)?;
    let device = Device {
        acks: Acks::default(),
        id,
        platform: body.platform,
        app: body.app,
        environment: body.environment,
        voip_token: body.voip_token,
        alert_token: body.alert_token,
        fcm_token: body.fcm_token,
        fcm_fid: body.fcm_fid,
        ios_push_mode: body.ios_push_mode,
        name: body.name,
        locale: body.locale,
        app_version: body.app_version,
        registered_at: app.engine.clock().now(),
        unknown: Unknown::default(),
    };
    device.validate().map_err(|error| Problem::field(format!("/{}", error.field), error.problem))?;
    let shown = DeviceView::from(&device);
    match app.engine.register(&user.id, device, body.proof.as_deref()).await? {
        Registration::Done => Ok(Json(shown).into_response()),
        Registration::Pending(until) => {
            let pending = PendingView { pending: true, proof_expires_at: until.rfc3339() };
            Ok((StatusCode::ACCEPTED, Json(pending)).into_response())
        }
    }
}

/// The user's devices.
#[utoipa::path(get, operation_id = "list_devices", path = "/v1/devices", tag = "devices",
    responses((status = 200, body = DevicesAnswer), (status = "4XX", body = Problem)))]
pub async fn list(State(app): State<App>, who: Authenticated) -> Result<Json<DevicesAnswer>, Problem> {
    let devices = app.engine.devices(&who.user()?.id).await?;
    Ok(Json(DevicesAnswer { devices: devices.iter().map(DeviceView::from).collect() }))
}

/// Remove a device, at log-out for instance.
#[utoipa::path(delete, operation_id = "remove_device", path = "/v1/devices/{device_id}", tag = "devices", params(("device_id" = String, Path)),
    responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    State(app): State<App>,
    who: Authenticated,
    IdPath(id): IdPath<DeviceId>,
) -> Result<StatusCode, Problem> {
    app.engine.remove_device(&who.user()?.id, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
