//! Load shedding: what is in flight at a time, and what they hear for whom there is no room. Calls in progress go on: requests with the
//! ticket of a push or a service key get through while there are places that are kept for them.
//!
//! How many connections there may be is `connections`' business, how often somebody may ask `address_limit`'s.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{Extensions, HeaderValue, Request, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use ipnet::IpNet;
use prometheus_client::metrics::gauge::Gauge;

use super::App;
use super::address_limit::{Peer, counted_as, is_exempt};
use super::auth::Caller;
use super::client_address::client_address;
use super::code::Code;
use super::connections::Crowded;
use super::problem::Problem;
use crate::config::{self, Limits};
use crate::domain::UserId;
use crate::places::{Place, PlaceOf, Places, PlacesPer, or_any};
use crate::telemetry::Metrics;

/// When those who found no place may try again, in seconds.
const RETRY_SECONDS: u32 = 1;
/// How many are told in words at a time that they were refused; more of them hear the status alone, which over HTTP/2 needs no window: so
/// answers that nobody takes hold little memory.
const REFUSED_IN_WORDS: usize = 256;
/// How many webhooks of LiveKit are dealt with at a time, apart from all other requests.
const WEBHOOKS: usize = 256;

/// What there may be at a time.
#[derive(Debug)]
pub struct Load {
    requests: Places,
    requests_per_ip: PlacesPer<IpAddr>,
    requests_per_user: PlacesPer<UserId>,
    event_streams: Places,
    webhooks: Places,
    refusals: Places,
    trusted: Vec<IpNet>,
    metrics: Arc<Metrics>,
}

/// Marks the answer that begins an event stream, which is in flight no longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streaming;

impl Load {
    /// Nothing is in flight yet.
    pub fn new(limits: &Limits, http: &config::Http, metrics: Arc<Metrics>) -> Self {
        Self {
            requests: Places::new(limits.requests, metrics.requests_in_flight()),
            requests_per_ip: PlacesPer::new(or_any(limits.requests_per_ip)),
            requests_per_user: PlacesPer::new(limits.requests_per_user),
            event_streams: Places::new(limits.event_streams, metrics.open_event_streams()),
            webhooks: Places::new(WEBHOOKS, Gauge::default()),
            refusals: Places::new(REFUSED_IN_WORDS, Gauge::default()),
            trusted: http.trusted_proxies.clone(),
            metrics,
        }
    }

    /// There may be so much from now on.
    pub fn set(&self, limits: &Limits) {
        self.requests.set_most(limits.requests);
        self.requests_per_ip.set_most(or_any(limits.requests_per_ip));
        self.requests_per_user.set_most(limits.requests_per_user);
        self.event_streams.set_most(limits.event_streams);
    }

    /// A place for a request of this user, of a device or by a token of theirs, for as long as the request has one of all places. The app's
    /// backend needs none.
    pub(super) fn take_user(&self, request: &Extensions, caller: &Caller) -> Result<(), Problem> {
        let Some(OfUser(slot)) = request.get() else { return Ok(()) };
        let user = match caller {
            Caller::User(user) => Some(&user.id),
            Caller::Device(ticket) => Some(&ticket.user),
            Caller::Service => None,
        };
        let place = user.map(|user| self.requests_per_user.take_kept(user.clone()).ok_or(user)).transpose();
        let place = place.map_err(|_| {
            self.metrics.shed("requests_per_user");
            overloaded("limits.requests_per_user is reached")
        })?;
        // Nobody asks twice who it is.
        let _ = slot.set(place);
        Ok(())
    }

    /// A place for an event stream; those of devices with a ticket may be kept ones.
    pub(super) fn take_stream(&self, is_ticket: bool) -> Result<Place, Problem> {
        let place = if is_ticket { self.event_streams.take_kept() } else { self.event_streams.take() };
        place.ok_or_else(|| {
            self.metrics.shed("event_streams");
            overloaded("there are as many event streams as may be")
        })
    }

    /// A place for a webhook that LiveKit has signed.
    pub(super) fn take_webhook(&self) -> Result<Place, Problem> {
        self.webhooks.take_kept().ok_or_else(|| {
            self.metrics.shed("webhooks");
            overloaded("there are as many webhooks in flight as may be")
        })
    }

    /// Places for a request, or the limit for which there is none.
    fn take(&self, request: &Request<Body>, is_known: impl Fn() -> bool) -> Result<Held, &'static str> {
        let is_crowded = request.extensions().get::<Crowded>().is_some();
        if is_crowded && !is_known() {
            return Err("connections");
        }
        let of_ip = match request.extensions().get() {
            Some(Peer(peer)) => {
                let places = &self.requests_per_ip;
                let address = counted_as(client_address(peer.ip(), request.headers(), &self.trusted));
                let place = places.take(address).or_else(|| is_known().then(|| places.take_kept(address)).flatten());
                Some(place.ok_or("requests_per_ip")?)
            }
            None => None,
        };
        let place = self.requests.take().or_else(|| is_known().then(|| self.requests.take_kept()).flatten());
        Ok(Held { _place: place.ok_or("requests")?, _of_ip: of_ip, of_user: OfUser::default() })
    }

    /// What those hear for whom there is no place.
    fn refuse(&self, limit: &'static str, is_crowded: bool) -> Response {
        self.metrics.shed(limit);
        let mut response = self.to_a_stranger(overloaded(format!("limits.{limit} is reached")).into_response());
        if is_crowded {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// An answer to whoever has not proved who they are, which takes nobody's place while they do not take it: in words for some at a time, and
    /// for more of them the status and headers of a refusal alone.
    fn to_a_stranger(&self, response: Response) -> Response {
        if let Some(place) = self.refusals.take_kept() {
            return held_by_body(response, place);
        }
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        let response = if is_refusal { response } else { overloaded("too many answers are not taken").into_response() };
        let mut response = response.map(|_| Body::empty());
        response.headers_mut().remove(CONTENT_TYPE);
        response
    }
}

fn overloaded(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Overloaded, detail).retry_after(RETRY_SECONDS)
}

/// Refuses requests for which there is no place.
pub(super) async fn limit_load(State(app): State<App>, mut request: Request<Body>, next: Next) -> Response {
    // Webhooks have places of their own once it is known that they are LiveKit's.
    if is_exempt(request.uri().path()) {
        return next.run(request).await;
    }
    let is_crowded = request.extensions().get::<Crowded>().is_some() && request.version() < Version::HTTP_2;
    let held = match app.load.take(&request, || is_known(&app, &request)) {
        Ok(held) => held,
        Err(limit) => return app.load.refuse(limit, is_crowded),
    };
    request.extensions_mut().insert(held.of_user.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Streaming>() {
        Some(Streaming) => response,
        None if held.of_user.0.get().is_none() => app.load.to_a_stranger(response),
        None => held_by_body(response, held),
    }
}

/// Whether it comes from a phone that rings or from the app's backend.
fn is_known(app: &App, request: &Request<Body>) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(authorization) = text(AUTHORIZATION) {
        return app.auth.now().knows(Some(authorization));
    }
    let token = text(SEC_WEBSOCKET_PROTOCOL).and_then(super::events::bearer);
    token.is_some_and(|token| app.auth.now().knows(Some(&format!("Bearer {token}"))))
}

/// The places of a request.
struct Held {
    _place: Place,
    _of_ip: Option<PlaceOf<IpAddr>>,
    of_user: OfUser,
}

/// The place of a request among those of its user, once it is known who that is.
#[derive(Debug, Clone, Default)]
struct OfUser(Arc<OnceLock<Option<PlaceOf<UserId>>>>);

/// The answer, of which something is held until its body has been handed over or given up.
fn held_by_body<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(Holding { body, held: Some(held) }))
}

struct Holding<T> {
    body: Body,
    held: Option<T>,
}

impl<T: Unpin> hyper::body::Body for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.held = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
