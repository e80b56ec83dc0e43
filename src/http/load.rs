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
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Extensions, Request, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use ipnet::IpNet;
use prometheus_client::metrics::gauge::Gauge;

use super::address_limit::{AddressLimit, Peer, counted_as, is_exempt, is_probe, limit_addresses};
use super::auth::Caller;
use super::bearer::is_known;
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
/// For each request that there may be in flight, so many answers may wait until their clients take them.
const ANSWERS: usize = 8;
/// How many webhooks of LiveKit are dealt with at a time, apart from all other requests.
const WEBHOOKS: usize = 256;

/// What there may be at a time.
#[derive(Debug)]
pub struct Load {
    requests: Places,
    requests_per_ip: PlacesPer<IpAddr>,
    requests_per_user: PlacesPer<UserId>,
    answers: Places,
    event_streams: Places,
    webhooks: Places,
    refusals: Places,
    trusted: Vec<IpNet>,
    metrics: Arc<Metrics>,
}

/// Marks an answer that was of use. Without it, one was asked for in vain: a refusal of somebody who is not known, or a probe, of which balancers
/// need few. On a connection with a kept place it is the last one then.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfUse;

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
            answers: Places::new(limits.requests.saturating_mul(ANSWERS), Gauge::default()),
            event_streams: Places::new(limits.event_streams, Gauge::default()),
            webhooks: Places::new(WEBHOOKS, Gauge::default()),
            refusals: Places::new(REFUSED_IN_WORDS, Gauge::default()),
            trusted: http.trusted_proxies.clone(),
            metrics,
        }
    }

    /// There may be so much from now on.
    pub fn set(&self, limits: &Limits) {
        self.requests.set_most(limits.requests);
        self.answers.set_most(limits.requests.saturating_mul(ANSWERS));
        self.requests_per_ip.set_most(or_any(limits.requests_per_ip));
        self.requests_per_user.set_most(limits.requests_per_user);
        self.event_streams.set_most(limits.event_streams);
    }

    /// A place for a request of this user, of a device or by a token of theirs, for as long as the request has one of all places. The app's
    /// backend needs none.
    pub(super) fn take_user(&self, request: &Extensions, caller: &Caller) -> Result<(), Problem> {
        let Some(OfUser(slot)) = request.get() else { return Ok(()) };
        let asks = match caller {
            Caller::User(user) => self.place_of(&user.id).map(Asks::User),
            Caller::Device(ticket) => self.place_of(&ticket.user).map(Asks::Ticket),
            Caller::Service => Some(Asks::Service),
        };
        let asks = asks.ok_or_else(|| {
            self.metrics.shed("requests_per_user");
            overloaded("limits.requests_per_user is reached")
        })?;
        // Nobody asks twice who it is.
        let _ = slot.set(asks);
        Ok(())
    }

    fn place_of(&self, user: &UserId) -> Option<PlaceOf<UserId>> {
        self.requests_per_user.take_kept(user.clone())
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
        Ok(Held { _place: place.ok_or("requests")?, of_ip, of_user: OfUser::default() })
    }

    /// What those hear for whom there is no place.
    fn refuse(&self, limit: &'static str) -> Response {
        self.metrics.shed(limit);
        self.to_a_stranger(overloaded(format!("limits.{limit} is reached")).into_response())
    }

    /// What whoever checks the gateway hears: at the least the status, however many there are who do not take their answers.
    fn to_a_prober(&self, response: Response) -> Response {
        match self.refusals.take_kept() {
            Some(place) => held_by_body(response, place),
            None => bare(response),
        }
    }

    /// An answer to somebody who is known. Until it was sent it counts for their user and address, and no longer for all.
    fn to_a_caller(&self, response: Response, held: Held) -> Response {
        let place = match held.of_user.0.get() {
            Some(Asks::Ticket(_) | Asks::Service) => self.answers.take_kept(),
            Some(Asks::User(_)) | None => self.answers.take(),
        };
        match place {
            Some(place) => held_by_body(response, (place, held.of_ip, held.of_user)),
            None => self.to_a_stranger(response),
        }
    }

    /// An answer to whoever has not proved who they are, which takes nobody's place while they do not take it: in words for some at a time, and
    /// for more of them the status and headers of a refusal alone.
    fn to_a_stranger(&self, response: Response) -> Response {
        if let Some(place) = self.refusals.take_kept() {
            return held_by_body(response, place);
        }
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        bare(if is_refusal { response } else { overloaded("too many answers are not taken").into_response() })
    }
}

/// The status and headers of an answer.
fn bare(response: Response) -> Response {
    let mut response = response.map(|_| Body::empty());
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

fn overloaded(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Overloaded, detail).retry_after(RETRY_SECONDS)
}

/// Refuses requests for which there is no place, and those of addresses that ask too often; marks the answers that were of use.
pub(super) async fn limit(State(addresses): State<Arc<AddressLimit>>, request: Request<Body>, next: Next) -> Response {
    let app = &addresses.app;
    let is_last = request.extensions().get::<Crowded>().is_some() && !is_known(app, &request);
    let is_probe = is_probe(request.uri().path());
    let (mut response, is_in_vain) = if is_exempt(request.uri().path()) {
        let response = app.load.to_a_prober(limit_addresses(&addresses, request, next).await);
        // A webhook that LiveKit has signed is of use, also while the store is away; nothing else that may be asked for here without a limit is.
        let is_in_vain = is_probe || response.status().is_client_error();
        (response, is_in_vain)
    } else if is_last {
        (app.load.refuse("connections"), true)
    } else {
        answer(&addresses, request, next).await
    };
    if !is_last && !is_in_vain {
        response.extensions_mut().insert(OfUse);
    }
    response
}

/// Says that an answer was of use: operators need each of theirs.
pub(super) async fn of_use(mut response: Response) -> Response {
    response.extensions_mut().insert(OfUse);
    response
}

/// The answer, and whether it was asked for in vain.
async fn answer(addresses: &AddressLimit, mut request: Request<Body>, next: Next) -> (Response, bool) {
    let app = &addresses.app;
    let held = match app.load.take(&request, || is_known(app, &request)) {
        Ok(held) => held,
        Err(limit) => return (app.load.refuse(limit), !is_known(app, &request)),
    };
    request.extensions_mut().insert(held.of_user.clone());
    let response = limit_addresses(addresses, request, next).await;
    // The app's backend has no place among those of users, and is never asked to wait.
    let is_in_vain = is_refusal(&response) && !matches!(held.of_user.0.get(), Some(Asks::Service));
    let response = match response.extensions().get() {
        Some(Streaming) => response,
        None if held.of_user.0.get().is_none() => app.load.to_a_stranger(response),
        None => app.load.to_a_caller(response, held),
    };
    (response, is_in_vain)
}

/// Whether somebody was refused for who they are, or for how much there is or they have asked.
fn is_refusal(response: &Response) -> bool {
    let is_for_limit = |code: &Code| {
        matches!(code, Code::RateLimited | Code::TooManyInvites | Code::TooManyStreams | Code::Overloaded)
    };
    response.status() == StatusCode::UNAUTHORIZED || response.extensions().get().is_some_and(is_for_limit)
}

/// The places of a request.
struct Held {
    _place: Place,
    of_ip: Option<PlaceOf<IpAddr>>,
    of_user: OfUser,
}

/// The place of a request among those of its user, once it is known who that is.
#[derive(Debug, Clone, Default)]
struct OfUser(Arc<OnceLock<Asks>>);

/// Who asks, with their user's place.
#[derive(Debug)]
enum Asks {
    User(#[expect(dead_code, reason = "held")] PlaceOf<UserId>),
    Ticket(#[expect(dead_code, reason = "held")] PlaceOf<UserId>),
    Service,
}

/// The answer, of which something is held until its body has been sent or given up.
fn held_by_body<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(Holding { body, _held: held }))
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> hyper::body::Body for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::domain::{CallId, DeviceId, Timestamp};
    use crate::http::auth::UserIdentity;
    use crate::ticket::Ticket;

    #[test]
    fn answers_of_users_that_are_not_taken_leave_room_for_those_to_tickets_and_service_keys() {
        let secret = ("BELLWIRE__AUTH__TICKET_SECRET".to_owned(), "0123456789abcdef0123456789abcdef".to_owned());
        let mut config = Config::load(None, [secret]).expect("the defaults");
        (config.limits.requests, config.limits.requests_per_user) = (2, 1000);
        let load = Load::new(&config.limits, &config.http, Arc::default());
        let user: UserId = UserId::new("bob").expect("an id");
        let answered = |caller: &Caller| {
            let mut request = Request::new(Body::empty());
            let held = load.take(&request, || true).expect("a place");
            request.extensions_mut().insert(held.of_user.clone());
            load.take_user(request.extensions(), caller).expect("a place");
            load.to_a_caller("an answer".into_response(), held)
        };
        let (at, id) = (Timestamp::from_millis(0), user.clone());
        let identity = UserIdentity { id, name: None, avatar: None, apps: Arc::default(), expires_at: at };
        // None of them is taken.
        let to_users: Vec<_> = (0..500).map(|_| answered(&Caller::User(identity.clone()))).collect();
        let whole = to_users.iter().filter(|answer| answer.status() == StatusCode::OK).count();
        assert_eq!(whole, 14 + REFUSED_IN_WORDS);
        let call = CallId::parse("01890000-0000-7000-8000-000000000000").expect("an id");
        let device = DeviceId::new("iphone-1").expect("an id");
        let ticket = Ticket { call, user, device, expires_at: at };
        let kept = [answered(&Caller::Device(ticket)), answered(&Caller::Service)];
        assert!(kept.iter().all(|answer| answer.status() == StatusCode::OK), "{kept:?}");
    }
}
