//! The event stream: WebSocket, or SSE by `Accept`. First a snapshot, then every event, numbered per call.
//!
//! What a reader hears, and that it misses nothing, is `engine`'s; here are only the two wire forms, and when a stream ends: the token
//! expires, the reader is closed, the gateway stops. A client comes back with the last event that it saw.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::code::Code;
use super::extract::{Authenticated, Params, only_header};
use super::load::Streaming;
use super::problem::Problem;
use super::view::{CallView, EventView};
use crate::domain::{CallId, DeviceId, Timestamp};
use crate::engine::{ANNOUNCED_WITHIN, Beginning, EngineError, News, Reader};
use crate::places;

/// Where SSE says what it has seen.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The subprotocol of the stream; the token comes in another one.
const PROTOCOL: &str = "bellwire.v1";
/// A page whose stream breaks opens another one after this time: well within that after which its device is gone.
const BACK_AFTER: Duration = Duration::from_secs(1);
/// A client sends nothing but control frames.
const MAX_MESSAGE: usize = 4096;
/// The most calls that a reader names when it comes back.
const MAX_SINCE: usize = 100;

/// The most digits of an event's number; a call has some hundreds of events.
const SEQ_DIGITS: usize = 9;

/// How to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsParams {
    /// The last events seen: `<call id>:<seq>`, several with commas. Also in the header `Last-Event-ID`.
    since: Option<String>,
    /// The device that listens.
    #[param(value_type = Option<String>)]
    device_id: Option<DeviceId>,
}

/// The stream's first message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// `snapshot`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Live calls, and those that ended in the last ten minutes.
    calls: Vec<CallView>,
}

/// A message of the stream as SSE.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the description of what `sse` writes by itself")]
pub struct StreamMessage {
    /// Where the stream goes on when it is sent back as `Last-Event-ID`.
    id: Option<String>,
    /// In how many milliseconds to come back when the stream breaks.
    retry: Option<u32>,
    /// The first time a snapshot, then an event.
    data: String,
}

/// Who reads, and for how long.
struct Listener {
    reader: Reader,
    since: Vec<(CallId, u32)>,
    until: Timestamp,
    _place: places::Place,
}

/// What comes next on a stream.
enum Next {
    /// The snapshot, and what the reader has seen with it.
    Snapshot(Snapshot, Vec<News>),
    Events(Vec<News>),
    /// The stream ends, for this reason.
    Over(&'static str),
}

/// Events of my calls, as they happen.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(EventsParams, ("Last-Event-ID" = Option<String>, Header, description = "As `since`, which goes before it")),
    responses((status = 101, description = "WebSocket: one text message an event"),
        (status = 200, description = "SSE: one event each", body = StreamMessage, content_type = "text/event-stream"),
        (status = "4XX", body = Problem)))]
pub async fn events(
    State(app): State<App>,
    // Before anything else is looked at, as on every route.
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    params: Result<Params<EventsParams>, Problem>,
) -> Result<Response, Problem> {
    let Params(params) = params?;
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants_sse = accepts.is_some_and(|accepts| accepts.contains("text/event-stream"));
    if upgrade.is_err() && !wants_sse {
        let detail = "open a WebSocket, or accept text/event-stream";
        return Err(Problem::new(Code::NotAcceptable, detail));
    }
    let since = since(&headers, params.since.as_deref())?;
    let place = app.load.take_stream(matches!(caller, Caller::Device(_)))?;
    let listener = listen(&app, caller, params.device_id, since, place).await?;
    if let Ok(upgrade) = upgrade {
        let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
        // Made for large messages, they are 128 KiB each otherwise.
        let upgrade = upgrade.read_buffer_size(MAX_MESSAGE).write_buffer_size(MAX_MESSAGE);
        // A task of its own serves it, which must come to tell the client that the gateway stops.
        let hold = app.stop.hold();
        let opened = upgrade.on_upgrade(async move |socket| {
            let _reading = app.metrics.clone().reading("websocket");
            serve_socket(app, listener, socket).await;
            drop(hold);
        });
        return Ok((Extension(Streaming), opened).into_response());
    }
    let keep_alive = KeepAlive::new().interval(app.limits.now().event_ping);
    // Who writes the head of a stream has no clock.
    let date = app.engine.clock().now().http_date();
    let stream = Sse::new(sse(app, listener)).keep_alive(keep_alive);
    Ok((Extension(Streaming), [(header::DATE, date)], stream).into_response())
}

fn since(headers: &HeaderMap, query: Option<&str>) -> Result<Vec<(CallId, u32)>, Problem> {
    let header = places(only_header(headers, &LAST_EVENT_ID)?.unwrap_or_default())?;
    query.map_or(Ok(header), places)
}

/// The places in its calls that a reader names.
fn places(text: &str) -> Result<Vec<(CallId, u32)>, Problem> {
    let invalid = || {
        let detail =
            format!("Last-Event-ID and since are of the form <call id>:<seq>, at most {MAX_SINCE} with commas");
        Problem::new(Code::InvalidQuery, detail)
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > MAX_SINCE {
        return Err(invalid());
    }
    let read = |part: &str| {
        let (call, seq) = part.split_once(':')?;
        let is_number = (1..=SEQ_DIGITS).contains(&seq.len()) && seq.bytes().all(|byte| byte.is_ascii_digit());
        Some((CallId::parse(call).ok()?, seq.parse().ok().filter(|_| is_number)?))
    };
    parts.into_iter().map(|part| read(part).ok_or_else(invalid)).collect()
}

/// Begins to listen before anything is read, so that nothing falls between the snapshot and the first event.
async fn listen(
    app: &App,
    caller: Caller,
    device: Option<DeviceId>,
    since: Vec<(CallId, u32)>,
    place: places::Place,
) -> Result<Listener, Problem> {
    let (engine, most) = (&app.engine, app.limits.now().event_streams_per_user);
    let (reader, until) = match caller {
        Caller::User(user) => (engine.read(&user.id, device, most).await, user.expires_at),
        Caller::Device(ticket) => {
            (engine.read_by_ticket(&ticket.user, ticket.device, ticket.call, most).await, ticket.expires_at)
        }
        Caller::Service => return Err(Problem::new(Code::UsersOnly, "a service has no events")),
    };
    if matches!(reader, Err(EngineError::TooManyReaders)) {
        app.metrics.shed("event_streams_per_user");
    }
    let reader = reader?;
    Ok(Listener { reader, since, until, _place: place })
}

impl Listener {
    async fn begin(&mut self) -> Result<(Next, Vec<News>), Problem> {
        let Beginning { snapshot, seen, missed } = self.reader.begin(&self.since).await?;
        let calls = snapshot.iter().map(|call| CallView::for_party(call)).collect();
        Ok((Next::Snapshot(Snapshot { kind: "snapshot", calls }, seen), missed))
    }

    async fn next(&mut self, app: &App) -> Next {
        let mut stop = app.stop.clone();
        let until = self.reader.ends().map_or(self.until, |ends| ends.min(self.until));
        tokio::select! {
            news = self.reader.next() => match news {
                Some(news) => Next::Events(news),
                None => Next::Over("closed"),
            },
            () = app.engine.clock().sleep_until(until) => Next::Over("the token has expired"),
            () = stop.given() => Next::Over("the gateway restarts"),
        }
    }
}

/// The messages of a stream, the first two from its beginning.
fn messages(app: App, listener: Listener) -> impl Stream<Item = Next> {
    enum Phase {
        Begin,
        Missed(Vec<News>),
        Live,
        Done,
    }
    stream::unfold((app, listener, Phase::Begin), |(app, mut listener, phase)| async move {
        let (next, phase) = match phase {
            // Apart: what it takes to begin is far more than an idle stream should have for good.
            Phase::Begin => match Box::pin(listener.begin()).await {
                Ok((snapshot, missed)) => (snapshot, Phase::Missed(missed)),
                Err(_) => (Next::Over("the store is not available"), Phase::Done),
            },
            Phase::Missed(missed) if !missed.is_empty() => (Next::Events(missed), Phase::Live),
            Phase::Missed(_) | Phase::Live => match listener.next(&app).await {
                Next::Over(why) => (Next::Over(why), Phase::Done),
                next => (next, Phase::Live),
            },
            Phase::Done => return None,
        };
        Some((next, (app, listener, phase)))
    })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn sse(app: App, listener: Listener) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    use futures_util::StreamExt;
    let mut place = Place::default();
    let reading = app.metrics.reading("sse");
    messages(app, listener).flat_map(move |next| {
        let _lasts = &reading;
        let events: Vec<_> = match next {
            Next::Snapshot(snapshot, seen) => {
                for news in &seen {
                    place.pass(news);
                }
                vec![SseEvent::default().data(json(&snapshot)).retry(BACK_AFTER)]
            }
            Next::Events(news) => news
                .iter()
                .map(|news| {
                    place.pass(news);
                    SseEvent::default().id(place.id()).data(json(&EventView::from(news)))
                })
                .collect(),
            Next::Over(why) => vec![SseEvent::default().comment(why).retry(BACK_AFTER)],
        };
        stream::iter(events.into_iter().map(Ok))
    })
}

/// How young an event must be to be named beside the last one. Longer than calls that are not named are told for: the time of the next
/// event may be before that of the last one, by as much as clocks are wrong.
const NAMED_FOR: Duration = ANNOUNCED_WITHIN.saturating_mul(2);

/// Where in its calls a reader is. A browser comes back with the id of the last event alone, so that must tell of each call whose
/// events are too young to be told apart by their times; of one call at a time, it is that call's number.
#[derive(Default)]
struct Place(Vec<(CallId, u32, Timestamp)>);

impl Place {
    fn pass(&mut self, News { call, event }: &News) {
        self.0.retain(|(other, _, at)| *other != call.id && *at + NAMED_FOR >= event.at);
        self.0.truncate(MAX_SINCE - 1);
        self.0.insert(0, (call.id, event.seq, event.at));
    }

    fn id(&self) -> String {
        let parts: Vec<String> = self.0.iter().map(|(call, seq, _)| format!("{call}:{seq}")).collect();
        parts.join(",")
    }
}

async fn serve_socket(app: App, listener: Listener, mut socket: WebSocket) {
    use futures_util::StreamExt;
    let limits = app.limits.now();
    let (within, mut ping) = (limits.send_timeout, tokio::time::interval(limits.event_ping));
    ping.reset();
    // A phone that went out of reach says no goodbye; it must not count as connected until TCP gives up.
    let mut heard = true;
    let messages = messages(app, listener);
    tokio::pin!(messages);
    loop {
        let texts = tokio::select! {
            next = messages.next() => match next {
                Some(Next::Snapshot(snapshot, _)) => vec![json(&snapshot)],
                Some(Next::Events(news)) => news.iter().map(|news| json(&EventView::from(news))).collect(),
                Some(Next::Over(why)) => {
                    // 1012, service restart, for all: come back (with a fresh token where that was why).
                    let frame = CloseFrame { code: 1012, reason: why.into() };
                    let _ = send(&mut socket, within, Message::Close(Some(frame))).await;
                    return;
                }
                None => return,
            },
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = true;
                    continue;
                }
            },
            _ = ping.tick() => {
                if !std::mem::take(&mut heard) || send(&mut socket, within, Message::Ping(Vec::new().into())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        for text in texts {
            if send(&mut socket, within, Message::Text(text.into())).await.is_err() {
                return;
            }
        }
    }
}

/// Sends a message; a client that does not take it in time is given up.
async fn send(socket: &mut WebSocket, within: Duration, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(within, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
