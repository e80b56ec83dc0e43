//! One request: read, judged by the provider that it was meant for, met by a fault or not, logged, answered.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use super::body::{Body, Gist};
use super::connection::Peer;
use super::log::{Headers, Provider, Received};
use super::rule::{Canned, Fault};
use super::rules::{Asked, Fate};
use super::{Host, apns, google};
use crate::domain::Timestamp;

/// More than any push or form may have; of a longer body the rest is not read.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// So much is kept of a body that was refused; those that are taken are shorter by their rules.
const KEPT_OF_REFUSED: usize = 8 * 1024;

/// A request that has come in whole.
pub(super) struct Incoming {
    pub(super) at: Timestamp,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Incoming {
    fn new(peer: &Peer, head: Parts, body: Bytes) -> Self {
        let path = head.uri.path().to_owned();
        let query = head.uri.query().map(str::to_owned);
        Self { at: peer.shared.clock.now(), method: head.method, path, query, headers: head.headers, body }
    }
}

/// What a provider makes of a request.
pub(super) struct Judged {
    pub(super) provider: Provider,
    pub(super) answer: Answer,
    pub(super) target: Option<String>,
    pub(super) gist: Gist,
    /// The app that it is for, as far as it says so.
    pub(super) app: Option<String>,
    /// The body, for the log.
    pub(super) body: Body,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The provider's word for a refusal.
    pub(super) reason: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How the connection goes on after a request.
pub(super) enum Next {
    GoOn,
    /// It takes no more requests, for this reason.
    GoAway(Option<&'static str>),
    /// It ends, and says that this request, which waits for an answer, was not looked at.
    GoAwayBefore(Option<&'static str>, SendResponse<Bytes>),
    Reset,
    Close,
    FallSilent,
}

/// Serves one request to its end.
pub(super) async fn serve(peer: &Peer, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Next {
    let (head, stream) = request.into_parts();
    let Ok(body) = read(stream).await else {
        // The client gave it up halfway: there is nobody to answer, and nothing was asked.
        return Next::GoOn;
    };
    let (answer, fate) = meet(peer, Incoming::new(peer, head, body));
    if !fate.delay.is_zero() {
        tokio::time::sleep(fate.delay).await;
    }
    finish(respond, answer, fate.fault)
}

/// What a request gets that has come in whole; the fault that may befall it is drawn and logged, and does nothing.
pub(super) fn answer(peer: &Peer, request: Request<Bytes>) -> Response<Bytes> {
    let (head, body) = request.into_parts();
    let (answer, _) = meet(peer, Incoming::new(peer, head, body));
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// Most bodies come in one piece; a longer life than the buffer that they came in must not keep all of it.
async fn read(mut stream: RecvStream) -> Result<Bytes, h2::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        if body.is_empty() && stream.is_end_stream() && chunk.len() <= MAX_BODY_BYTES {
            return Ok(Bytes::copy_from_slice(&chunk));
        }
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(body.freeze())
}

/// Judges a request, decides what befalls it, and logs it: before any delay, so that who watches the log sees the
/// request while it waits.
fn meet(peer: &Peer, incoming: Incoming) -> (Answer, Fate) {
    let shared = &peer.shared;
    let mut judged = match peer.host {
        Host::Apns(environment) => apns::judge(peer, environment, &incoming),
        Host::Google => google::judge(shared, &incoming),
    };
    let mut fate = Fate::default();
    if judged.answer.status.is_success() {
        fate = shared.rules.draw(&asked(&judged, &incoming), &shared.clock, incoming.at);
    }
    if let Some(Fault::Answer(canned)) = fate.fault {
        judged.answer = prescribed(&judged, canned, incoming.at);
    }
    // Apple does not count tokens that are gone.
    if judged.answer.status.is_client_error() && judged.answer.status != StatusCode::GONE {
        peer.errors.fetch_add(1, Ordering::Relaxed);
    }
    (log(peer, incoming, judged, fate.fault), fate)
}

fn asked<'a>(judged: &'a Judged, incoming: &'a Incoming) -> Asked<'a> {
    Asked {
        provider: judged.provider,
        token: judged.target.as_deref(),
        app: judged.app.as_deref(),
        kind: judged.gist.kind.as_deref(),
        push_type: incoming.headers.get("apns-push-type").and_then(|value| value.to_str().ok()),
        call: judged.gist.call.as_deref(),
    }
}

fn prescribed(judged: &Judged, canned: Canned, at: Timestamp) -> Answer {
    let mut answer = match judged.provider {
        Provider::Apns | Provider::ApnsSandbox => apns::prescribed(canned, at),
        Provider::Fcm | Provider::OAuth => google::prescribed(judged.provider, canned),
    };
    // Whatever the body is, its type is the new answer's own.
    let own = answer.headers.clone();
    answer.headers.extend(judged.answer.headers.clone());
    answer.headers.extend(own);
    if let Some(after) = canned.retry_after {
        let seconds = after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0));
        answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn log(peer: &Peer, incoming: Incoming, judged: Judged, fault: Option<Fault>) -> Answer {
    let Judged { provider, answer, target, gist, app, body } = judged;
    let body = if answer.status.is_client_error() { body.shortened(KEPT_OF_REFUSED) } else { body };
    let mut headers = incoming.headers;
    if let Some(authorization) = headers.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    let (status, reason) = match fault {
        Some(Fault::Answer(_)) | None => (answer.status.as_u16(), answer.reason.clone()),
        Some(fault @ Fault::GoAway(_)) => (answer.status.as_u16(), Some(fault.to_string())),
        Some(fault) => (0, Some(fault.to_string())),
    };
    peer.shared.log.push(Received {
        number: 0,
        at: incoming.at,
        provider,
        connection: peer.number,
        method: incoming.method.to_string(),
        path: incoming.query.map_or_else(|| incoming.path.clone(), |query| format!("{}?{query}", incoming.path)),
        headers: Headers::from(headers),
        body,
        bytes: incoming.body.len(),
        target,
        app,
        kind: gist.kind,
        call: gist.call,
        status,
        reason,
    });
    answer
}

fn finish(mut respond: SendResponse<Bytes>, answer: Answer, fault: Option<Fault>) -> Next {
    let next = match fault {
        Some(Fault::Reset) => return Next::Reset,
        Some(Fault::Close) => return Next::Close,
        Some(Fault::HalfOpen) => return Next::FallSilent,
        Some(Fault::GoAwayBefore(reason)) => return Next::GoAwayBefore(reason, respond),
        Some(fault @ (Fault::Refuse | Fault::ResetStream)) => {
            let is_refused = fault == Fault::Refuse;
            respond.send_reset(if is_refused { Reason::REFUSED_STREAM } else { Reason::INTERNAL_ERROR });
            return Next::GoOn;
        }
        Some(Fault::GoAway(reason)) => Next::GoAway(reason),
        Some(
            Fault::Answer(_)
            | Fault::Delay(..)
            | Fault::RefuseConnection
            | Fault::NoHandshake
            | Fault::Streams(_)
            | Fault::Errors(_),
        )
        | None => Next::GoOn,
    };
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    // Errors here mean that the client is gone; the connection notices by itself.
    if let Ok(mut body) = respond.send_response(response, answer.body.is_empty())
        && !answer.body.is_empty()
    {
        let _ = body.send_data(answer.body, true);
    }
    next
}
