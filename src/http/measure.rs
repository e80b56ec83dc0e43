//! Measures requests: how many of each route, how long they took, and how they ended.
//!
//! It is around all else that a request meets, so what is refused at the door counts too.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::telemetry::Metrics;

/// A request under way. One that is dropped without an answer is of a client that went away.
struct Asked {
    metrics: Arc<Metrics>,
    route: Option<MatchedPath>,
    method: Method,
    began: Instant,
    status: Option<u16>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let route = self.route.as_ref().map(MatchedPath::as_str);
        self.metrics.requested(route, self.method.as_str(), self.status, self.began.elapsed());
    }
}

/// Measures a request until the head of its answer.
pub(super) async fn measure(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let (route, method) = (request.extensions().get().cloned(), request.method().clone());
    let mut asked = Asked { metrics, route, method, began: Instant::now(), status: None };
    let response = next.run(request).await;
    asked.status = Some(response.status().as_u16());
    response
}
