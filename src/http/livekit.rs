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
use super::measure::Noted;
use super::problem::Problem;
use crate::engine::EngineError;
use crate::livekit::webhook::{MAX_BODY_BYTES, News, Webhook, WebhookError, Webhooks};

/// How long a webhook may take to be applied; LiveKit waits for it before it sends the next one of the same room.
const WITHIN: Duration = Duration::from_secs(5);

/// What LiveKit tells.
#[utoipa::path(post, operation_id = "livekit_webhook", path = "/v1/livekit/webhook", tag = "livekit",
    security(("livekit" = [])), request_body(content_type = "application/webhook+json", content = Object),
    responses((status = 200, description = "It has been dealt with."), (status = "4XX", body = Problem)))]
pub async fn webhook(State(app): State<App>, headers: HeaderMap, request: Request) -> Result<StatusCode, Problem> {
    let authorization = only_header(&headers, &header::AUTHORIZATION)?.map(str::to_owned);
    let received = match app.webhooks.expect(authorization.as_deref()) {
        // Of whoever is not LiveKit no body is read.
        Err(error) => Err(error),
        Ok(expected) => {
            Noted::who(request.extensions(), "livekit");
            let _place = app.load.take_webhook()?;
            let body = collect(request.into_body(), MAX_BODY_BYTES, app.limits.now().body_timeout).await?;
            Webhooks::receive(&expected, &body)
        }
    };
    let (outcome, answer) = match received {
        Err(error) => ("refused", Err(refused(error))),
        Ok(webhook) if app.webhooks.has_seen(&webhook) => ("repeated", Ok(StatusCode::OK)),
        Ok(webhook) => match apply_in_time(&app, &webhook).await {
            Ok(()) => ("applied", Ok(StatusCode::OK)),
            Err(problem) => ("failed", Err(problem)),
        },
    };
    app.metrics.livekit_told(outcome);
    answer
}

async fn apply_in_time(app: &App, webhook: &Webhook) -> Result<(), Problem> {
    let applied = tokio::time::timeout(WITHIN, apply(app, webhook)).await;
    applied.map_err(|_| Problem::unavailable("the webhook could not be applied in time"))??;
    app.webhooks.remember(webhook);
    Ok(())
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
            let keys = app.links.as_ref().map(|links| links.storage.keys());
            app.engine.recording_reported(&egress.room, &egress.report(keys)).await?;
        }
        News::Nothing => tracing::trace!(event = webhook.event, "LiveKit told of something else"),
    }
    Ok(())
}

fn refused(error: WebhookError) -> Problem {
    // Anybody can send one, so it is the count that tells operators.
    tracing::debug!(%error, "a webhook was refused");
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
