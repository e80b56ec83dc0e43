//! Is it alive, is it ready, what do its parts say, and what has it measured. For load balancers and operators.
//!
//! Ready means: the store works and the gateway is not stopping. An outage at Apple or Google is shown and
//! changes nothing, since it would take every instance out of the balancer at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use crate::engine::Engine;
use crate::telemetry::metrics::CONTENT_TYPE;

/// How long what the store has said is good. Anybody may ask, and it answers by a write to the disk.
const GOOD_FOR: Duration = Duration::from_millis(200);

/// How long it is good while somebody asks anew, so that nobody waits in a line that anybody can make long.
const GOOD_MEANWHILE: Duration = Duration::from_secs(2);

/// What the store last said of itself: however many ask, it is asked once at a time.
#[derive(Debug, Default)]
pub struct StoreHealth {
    known: Mutex<Option<(Instant, Part)>>,
    asking: tokio::sync::Mutex<()>,
}

impl StoreHealth {
    /// The last answer, if it is of after `since` or not older than `within`.
    fn known(&self, within: Duration, since: Instant) -> Option<Part> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(at, _)| *at >= since || at.elapsed() < within).map(|(_, part)| part.clone())
    }

    async fn part(&self, ask: impl Future<Output = Part>) -> Part {
        let came = Instant::now();
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(_) => match self.known(GOOD_MEANWHILE, came) {
                Some(part) => return part,
                None => self.asking.lock().await,
            },
        };
        // One answer is for all who have waited for it.
        if let Some(part) = self.known(GOOD_FOR, came) {
            return part;
        }
        let part = ask.await;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), part.clone()));
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
    let store = app.store_health.part(store_part(&app.engine)).await;
    let ready = store.ok && !app.stop.is_given();
    let mut parts = vec![store];
    parts.extend((app.parts)());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, parts })).into_response()
}

async fn store_part(engine: &Engine) -> Part {
    match engine.store_health().await {
        Ok(detail) => Part { name: "store".into(), ok: true, detail },
        Err(error) => Part { name: "store".into(), ok: false, detail: error.to_string() },
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_a_slow_store_have_one_answer() {
        let (health, asked) = (StoreHealth::default(), AtomicU32::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Part { name: "store".into(), ok: true, detail: String::new() }
        };
        let first = async {
            health.part(ask()).await;
            // The line behind it moves slowly.
            std::thread::sleep(GOOD_FOR + Duration::from_millis(10));
        };
        tokio::join!(first, health.part(ask()), health.part(ask()));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
