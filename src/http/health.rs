//! Is it alive, is it ready, what do its parts say, and what has it measured. For load balancers and operators.
//!
//! Ready means: the store works and the gateway is not stopping. An outage at Apple or Google is shown and
//! changes nothing, since it would take every instance out of the balancer at once.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::App;
use crate::engine::Engine;
use crate::telemetry::metrics::CONTENT_TYPE;

/// How long what the store has said is good. Anybody may ask, and it answers by a write to the disk.
const GOOD_FOR: Duration = Duration::from_millis(200);

/// What the store last said of itself: however many ask, it is asked once at a time.
#[derive(Debug, Default)]
pub struct StoreHealth(Mutex<Option<(Instant, Part)>>);

impl StoreHealth {
    async fn part(&self, engine: &Engine) -> Part {
        let mut known = self.0.lock().await;
        if let Some((at, part)) = &*known
            && at.elapsed() < GOOD_FOR
        {
            return part.clone();
        }
        let part = match engine.store_health().await {
            Ok(detail) => Part { name: "store".into(), ok: true, detail },
            Err(error) => Part { name: "store".into(), ok: false, detail: error.to_string() },
        };
        *known = Some((Instant::now(), part.clone()));
        part
    }
}

/// A part of the gateway, as operators see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Part {
    /// Which, such as `store` or `apns com.example.phone production`.
    pub name: String,
    /// Whether it works.
    pub ok: bool,
    /// What it says of itself.
    pub detail: String,
}

/// The state of the gateway.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    parts: Vec<Part>,
}

/// Alive.
#[utoipa::path(get, path = "/livez", tag = "ops", security(()), responses((status = 200, description = "alive")))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Ready, with each part's state.
#[utoipa::path(get, path = "/readyz", tag = "ops", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn readyz(State(app): State<App>) -> Response {
    let store = app.store_health.part(&app.engine).await;
    let ready = store.ok && !app.stop.is_given();
    let mut parts = vec![store];
    parts.extend((app.parts)());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, parts })).into_response()
}

/// Every metric, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "ops", security(()), responses((status = 200, description = "OpenMetrics text")))]
pub async fn metrics(State(app): State<App>) -> Response {
    let store = ("store", app.engine.measure_store().await);
    let parts = (app.parts)();
    app.metrics.parts(parts.iter().map(|part| (part.name.as_str(), part.ok)).chain([store]));
    (app.measure)();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], app.metrics.text()).into_response()
}
