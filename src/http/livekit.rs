//! LiveKit's webhooks.
//!
//! A webhook is applied before it is answered: 200 says that it has been dealt with, for good. A 5xx, where the store cannot be
//! used, has LiveKit send it again; any other status it takes for an answer. Whoever cannot prove to be LiveKit hears 401.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::App;
use super::code::Code;
use super::extract::{collect, only_header};
use super::problem::Problem;
use crate::engine::EngineError;
use crate::livekit::webhook::{MAX_BODY_BYTES, News, Webhook, WebhookError};

/// How long a webhook may take to be applied; LiveKit waits for it before it sends the next one of the same room.
const WITHIN: Duration = Duration::from_secs(5);

/// What LiveKit tells.
#[utoipa::path(post, path = "/v1/livekit/webhook", tag = "livekit", security(()),
    request_body(content_type = "application/webhook+json"),
    responses((status = 200, description = "dealt with"), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn webhook(State(app): State<App>, headers: HeaderMap, request: Request) -> Result<StatusCode, Problem> {
    let authorization = only_header(&headers, &header::AUTHORIZATION)?.map(str::to_owned);
    let body = collect(request.into_body(), MAX_BODY_BYTES, app.limits.body_timeout).await?;
    let webhook = app.webhooks.receive(authorization.as_deref(), &body).map_err(refused)?;
    if !app.webhooks.has_seen(&webhook) {
        let applied = tokio::time::timeout(WITHIN, apply(&app, &webhook)).await;
        applied.map_err(|_| Problem::unavailable("the webhook could not be applied in time"))??;
        app.webhooks.remember(&webhook);
    }
    Ok(StatusCode::OK)
}

async fn apply(app: &App, webhook: &Webhook) -> Result<(), Problem> {
    match &webhook.news {
        News::Room { room, input } => match app.engine.room_input(room, input.clone()).await {
            Ok(is_ours) => tracing::debug!(room, event = webhook.event, is_ours, "LiveKit told of a room"),
            // Gone since it was looked for.
            Err(EngineError::NotFound) => {}
            Err(error) => return Err(error.into()),
        },
        News::Egress(egress) => {
            tracing::debug!(
                egress = egress.id,
                room = egress.room,
                status = egress.status,
                "LiveKit told of a recording"
            );
        }
        News::Nothing => tracing::trace!(event = webhook.event, "LiveKit told of something else"),
    }
    Ok(())
}

fn refused(error: WebhookError) -> Problem {
    tracing::warn!(%error, "a webhook was refused");
    let code = match error {
        WebhookError::NoToken => Code::TokenMissing,
        WebhookError::UnknownKey => Code::TokenUnknownIssuer,
        WebhookError::Signature => Code::TokenBadSignature,
        WebhookError::Time => Code::TokenExpired,
        WebhookError::Hash => Code::TokenWrongClaim,
        WebhookError::Body => Code::BadJson,
    };
    Problem::new(code, error.to_string())
}
