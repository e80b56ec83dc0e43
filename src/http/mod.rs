//! The HTTP API: every route on this screen.
//!
//! A handler checks what came in, asks `engine`, mints LiveKit tokens, and shows the answer. It decides nothing about calls, and never
//! sends a push. `auth` tells who asks, `extract` checks requests, `problem` and `code` are every error, `view` every answer.

mod address_limit;
pub mod auth;
mod bearer;
mod calls;
mod client_address;
pub mod code;
pub mod connections;
mod constraints;
mod contacts;
mod devices;
mod events;
mod explain;
mod extract;
mod handover;
mod heads;
pub mod health;
mod invite;
mod livekit;
pub mod load;
mod measure;
mod moderation;
mod openapi;
mod pace;
mod patience;
pub mod problem;
mod rate_limit;
mod recording;
pub mod server;
mod status;
mod usage;
mod users;
mod version;
mod view;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{from_extractor, from_fn_with_state, map_response};
use axum::routing::connect;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::{self, Limits};
use crate::engine::Engine;
use crate::lifecycle::Stop;
use crate::live::Live;
use crate::livekit::storage::Storage;
use crate::livekit::token::TokenMinter;
use crate::livekit::webhook::Webhooks;
use crate::telemetry::Metrics;
use address_limit::AddressLimit;
use auth::Authenticator;
use code::Code;
use extract::{EmptyBody, Params};
use health::{Part, StoreHealth};
use load::{Load, limit, of_use};
use measure::{REQUEST_ID, TRACEPARENT, Watch, measure};
use problem::Problem;

/// What links to recordings are made of.
pub struct Links {
    /// The storage.
    pub storage: Arc<Storage>,
    /// How long a link is good.
    pub ttl: Duration,
}

/// What the handlers share. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Shared>);

impl App {
    /// Of these parts.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The parts of an [`App`].
pub struct Shared {
    /// The use cases.
    pub engine: Engine,
    /// Who asks.
    pub auth: Live<Authenticator>,
    /// LiveKit tokens.
    pub minter: Live<TokenMinter>,
    /// LiveKit's webhooks.
    pub webhooks: Arc<Webhooks>,
    /// Links to recordings, where there is a storage for them.
    pub links: Option<Arc<Links>>,
    /// Sizes and counts.
    pub limits: Live<Limits>,
    /// What is in flight.
    pub load: Arc<Load>,
    /// How the store is.
    pub store_health: Arc<StoreHealth>,
    /// What the parts that `http` does not know say of themselves.
    pub parts: Arc<dyn Fn() -> Vec<Part> + Send + Sync>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Measures what only shows when it is looked at.
    pub measure: Arc<dyn Fn() + Send + Sync>,
    /// Turns true when the gateway stops.
    pub stop: Stop,
}

/// Every route, with the description that is generated from the handlers.
fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::description())
        .routes(routes!(devices::list))
        .routes(routes!(devices::put, devices::delete))
        .routes(routes!(calls::get))
        .routes(routes!(explain::explain))
        .routes(routes!(calls::alerting))
        .routes(routes!(calls::answer))
        .routes(routes!(calls::decline))
        .routes(routes!(calls::cancel))
        .routes(routes!(calls::hang_up))
        .routes(routes!(calls::token))
        .routes(routes!(recording::start, recording::get, recording::end))
        .routes(routes!(moderation::blocks))
        .routes(routes!(moderation::block, moderation::get_block, moderation::unblock))
        .routes(routes!(moderation::bans))
        .routes(routes!(moderation::ban, moderation::get_ban, moderation::lift_ban))
        .routes(routes!(contacts::put_all, contacts::list))
        .routes(routes!(contacts::put, contacts::get, contacts::delete))
        // Those above take no query; an unknown parameter is refused as an unknown field is.
        .route_layer(from_extractor::<Params<EmptyBody>>())
        .routes(routes!(invite::invite, calls::history))
        .routes(routes!(usage::usage))
        .routes(routes!(users::erase))
        .routes(routes!(events::events))
        .routes(routes!(livekit::webhook))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::document))
        .routes(routes!(openapi::docs))
}

/// The `OpenAPI` document, as JSON.
pub fn openapi_json() -> String {
    openapi::finished(routes().into_openapi())
}

/// The API.
pub fn api(app: App, config: &config::Http) -> Router {
    let (router, _) = routes().split_for_parts();
    // Over HTTP/2 a WebSocket is opened by CONNECT (RFC 8441).
    let router = router.route(bearer::EVENTS, connect(events::events));
    let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    // One layer for both kinds of limits: each layer is cloned and boxed for every request.
    let addresses = AddressLimit::new(app.clone(), &config.trusted_proxies);
    let router = router.layer(from_fn_with_state(addresses, limit));
    let router = match cors(&config.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let watch = watch(&app, Some(Arc::clone(&app.metrics)));
    router.layer(from_fn_with_state(watch, measure)).with_state(app)
}

/// What operators see, on a listener of its own.
pub fn ops(app: App) -> Router {
    let routes = OpenApiRouter::new().routes(routes!(health::livez)).routes(routes!(health::readyz));
    let routes = routes.routes(routes!(health::metrics)).routes(routes!(status::status));
    let (router, _) = routes.split_for_parts();
    let router = router.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    let router = router.layer(map_response(of_use));
    router.layer(from_fn_with_state(watch(&app, None), measure)).with_state(app)
}

fn watch(app: &App, metrics: Option<Arc<Metrics>>) -> Watch {
    Watch { metrics, traces: app.engine.traces().clone(), clock: app.engine.clock().clone() }
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    let headers =
        [header::AUTHORIZATION, header::CONTENT_TYPE, invite::IDEMPOTENCY_KEY, events::LAST_EVENT_ID, TRACEPARENT];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    (!origins.is_empty()).then(|| {
        let layer = CorsLayer::new().allow_origin(AllowOrigin::list(origins));
        let exposed =
            [header::LOCATION, header::RETRY_AFTER, rate_limit::RATELIMIT_POLICY, rate_limit::RATELIMIT, REQUEST_ID];
        layer.allow_headers(headers).allow_methods(methods).expose_headers(exposed)
    })
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "GET /docs shows every path")
}

async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "GET /docs shows every path and method")
}
