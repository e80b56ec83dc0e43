//! Tells of requests: how many of each route, how long they took and how they ended; a line in the log, and a span.
//!
//! It is around all else that a request meets, so what is refused at the door counts too. Who asks, and about which call, comes out on the way
//! and is noted here.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use data_encoding::HEXLOWER;

use super::address_limit::{self, is_exempt};
use super::auth::Caller;
use super::code::Code;
use crate::clock::Clock;
use crate::domain::{CallId, TraceParent};
use crate::telemetry::traces::{self, Place, Traces};
use crate::telemetry::{Metrics, known_method, lines};

/// Names the line of a request in the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Says where in a trace a request belongs.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What tells of requests.
#[derive(Clone)]
pub(super) struct Watch {
    /// Counts those to the API; operators' requests are not counted.
    pub metrics: Option<Arc<Metrics>>,
    /// Makes their spans.
    pub traces: Traces,
    /// Makes their ids.
    pub clock: Clock,
}

/// What comes out of a request on its way.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    who: OnceLock<&'static str>,
    call: OnceLock<CallId>,
}

impl Noted {
    /// Who asks.
    pub fn caller(request: &Extensions, caller: &Caller) {
        let who = match caller {
            Caller::User(_) => "user",
            Caller::Device(_) => "ticket",
            Caller::Service => "service",
        };
        Self::who(request, who);
    }

    /// Who asks, in a word.
    pub fn who(request: &Extensions, who: &'static str) {
        if let Some(Self(known)) = request.get() {
            let _ = known.who.set(who);
        }
    }

    /// Which call it is about.
    pub fn call(request: &Extensions, call: CallId) {
        if let Some(Self(known)) = request.get() {
            let _ = known.call.set(call);
        }
    }
}

/// A request under way. One that is dropped without an answer is of a client that went away.
struct Asked {
    watch: Watch,
    route: Option<MatchedPath>,
    method: Method,
    began: Instant,
    status: Option<u16>,
    code: Option<Code>,
    id: Option<String>,
    place: Option<Place>,
    noted: Option<Noted>,
}

impl Asked {
    fn new(watch: Watch, request: &Request) -> Self {
        let (route, method): (Option<MatchedPath>, _) = (request.extensions().get().cloned(), request.method().clone());
        let is_probe = is_probe(route.as_ref());
        let place = if is_probe { None } else { watch.traces.requested(traceparent(request.headers())) };
        let id = lines::tells_requests(is_probe).then(|| {
            let mut id = [0; 8];
            watch.clock.random(&mut id);
            HEXLOWER.encode(&id)
        });
        let noted = (id.is_some() || place.is_some()).then(Noted::default);
        Self { watch, route, method, began: Instant::now(), status: None, code: None, id, place, noted }
    }

    fn line(&self) -> lines::Request<'_> {
        let known = self.noted.as_ref().map(|noted| &noted.0);
        let who = known.and_then(|known| known.who.get().copied());
        // Nobody keeps the others.
        let is_kept = |place: &TraceParent| place.sampled && who.is_some();
        lines::Request {
            method: known_method(self.method.as_str()),
            route: self.route.as_ref().map(MatchedPath::as_str),
            status: self.status,
            took: self.began.elapsed(),
            id: self.id.as_deref(),
            call: known.and_then(|known| known.call.get().copied()),
            who: who.unwrap_or(lines::NOBODY),
            code: self.code.map(Code::as_str),
            trace: self.place.as_ref().and_then(Place::context).filter(is_kept),
            is_quiet: self.is_quiet(),
        }
    }

    /// Whether it is worth no line to most.
    fn is_quiet(&self) -> bool {
        let is_known = self.noted.as_ref().is_some_and(|Noted(known)| known.who.get().is_some());
        is_probe(self.route.as_ref()) || (!is_known && self.is_of_a_flood())
    }

    /// Whether strangers may have any number of these: it was turned away by a limit, or no limit counts it. A flood must not fill the log too; it
    /// is in `bellwire_http_requests_total`.
    fn is_of_a_flood(&self) -> bool {
        let is_exempt = self.route.as_ref().is_some_and(|route| is_exempt(route.as_str()));
        // Preflights of browsers are answered before all limits.
        let is_without_limit = is_exempt || self.method == Method::OPTIONS;
        is_without_limit || matches!(self.code, Some(Code::Overloaded | Code::RateLimited))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let line = self.line();
        if let Some(metrics) = &self.watch.metrics {
            metrics.requested(line.route, line.method, line.status, line.took);
        }
        if line.id.is_some() {
            line.log();
        }
        if let Some(place) = &self.place {
            self.watch.traces.answered(place, &line);
        }
    }
}

/// Tells of a request until the head of its answer.
pub(super) async fn measure(State(watch): State<Watch>, mut request: Request, next: Next) -> Response {
    let mut asked = Asked::new(watch, &request);
    if let Some(noted) = &asked.noted {
        request.extensions_mut().insert(noted.clone());
    }
    let mut response = traces::within(asked.place.clone(), next.run(request)).await;
    asked.status = Some(response.status().as_u16());
    asked.code = response.extensions().get().copied();
    if let (Some(Noted(known)), Some(call)) = (&asked.noted, response.extensions().get()) {
        let _ = known.call.set(*call);
    }
    // Only what is in the log has an id.
    let is_told = lines::tells_requests(asked.is_quiet());
    if let Some(Ok(id)) = asked.id.as_deref().filter(|_| is_told).map(HeaderValue::from_str) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether machines ask for it all day.
fn is_probe(route: Option<&MatchedPath>) -> bool {
    route.is_some_and(|route| address_limit::is_probe(route.as_str()) || route.as_str() == "/metrics")
}

/// Where in a trace a request says to belong; nowhere, if it says so twice or not as it must.
fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { TraceParent::parse(value.to_str().ok()?) }
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
        let (clock, traces) = (Clock::system(), Traces::default());
        let watch = Watch { metrics: Some(Arc::clone(&metrics)), traces, clock };
        let router = Router::new().route("/waits/{id}", get(pending::<()>));
        let router: Router = router.layer(from_fn_with_state(watch, measure));
        let request = Request::get("/waits/7").body(Body::empty()).expect("a request");
        assert!(timeout(Duration::from_millis(20), router.oneshot(request)).await.is_err());
        let text = metrics.text();
        let gone = r#"bellwire_http_requests_total{route="/waits/{id}",method="GET",status="gone"} 1"#;
        assert!(text.contains(gone), "{text}");
        assert!(!text.contains("bellwire_http_seconds_count"), "how long it waited says nothing: {text}");
    }

    #[test]
    fn a_place_in_a_trace_that_is_named_twice_is_not_named() {
        let place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers =
            |values: &[&str]| values.iter().map(|value| (TRACEPARENT, value.parse().expect("a value"))).collect();
        assert_eq!(traceparent(&headers(&[place])), TraceParent::parse(place));
        assert_eq!(traceparent(&headers(&[place, place])), None);
        assert_eq!(traceparent(&headers(&["\u{fe}"])), None);
        assert_eq!(traceparent(&HeaderMap::new()), None);
    }
}
