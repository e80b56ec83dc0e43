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

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::time::timeout;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_client_that_goes_away_before_the_answer_counts_as_gone() {
        let metrics = Arc::new(Metrics::default());
        let router = Router::new().route("/waits/{id}", get(pending::<()>));
        let router: Router = router.layer(from_fn_with_state(Arc::clone(&metrics), measure));
        let request = Request::get("/waits/7").body(Body::empty()).expect("a request");
        assert!(timeout(Duration::from_millis(20), router.oneshot(request)).await.is_err());
        let text = metrics.text();
        let gone = r#"bellwire_http_requests_total{route="/waits/{id}",method="GET",status="gone"} 1"#;
        assert!(text.contains(gone), "{text}");
        assert!(!text.contains("bellwire_http_seconds_count"), "how long it waited says nothing: {text}");
    }
}
