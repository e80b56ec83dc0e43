//! One request: read, judged by the provider that it was meant for, met by a fault or not, logged, answered.

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::connection::Peer;
use super::log::{Provider, Received};
use super::rule::{Canned, Fault};
use super::rules::Fate;
use super::{Host, apns, google};
use crate::domain::Timestamp;

/// More than any push or form may have; of a longer body the rest is not read.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// A request that has come in whole.
pub(super) struct Incoming {
    pub(super) at: Timestamp,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a provider makes of a request.
pub(super) struct Judged {
    pub(super) provider: Provider,
    pub(super) answer: Answer,
    pub(super) target: Option<String>,
    /// The body as read, for the log.
    pub(super) body: Value,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The provider's word for a refusal.
    pub(super) reason: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How the connection goes on after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    GoOn,
    GoAway,
    Reset,
    FallSilent,
}

/// Serves one request to its end.
pub(super) async fn serve(peer: &Peer, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Next {
    let (head, stream) = request.into_parts();
    let Ok(body) = read(stream).await else {
        // The client gave it up halfway: there is nobody to answer, and nothing was asked.
        return Next::GoOn;
    };
    let shared = &peer.shared;
    let at = shared.clock.now();
    let path = head.uri.path().to_owned();
    let incoming = Incoming { at, method: head.method, path, headers: head.headers, body };
    let mut judged = match peer.host {
        Host::Apns(environment) => apns::judge(peer, environment, &incoming),
        Host::Google => google::judge(shared, &incoming),
    };
    let mut fate = Fate::default();
    if judged.answer.status.is_success() {
        fate = shared.rules.draw(judged.provider, judged.target.as_deref(), &shared.clock);
    }
    if let Some(Fault::Answer(canned)) = fate.fault {
        judged.answer = prescribed(&judged, canned, at);
    }
    let answer = log(peer, incoming, judged, fate.fault);
    if !fate.delay.is_zero() {
        tokio::time::sleep(fate.delay).await;
    }
    finish(respond, answer, fate.fault)
}

async fn read(mut stream: RecvStream) -> Result<Bytes, h2::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(body.freeze())
}

fn prescribed(judged: &Judged, canned: Canned, at: Timestamp) -> Answer {
    let mut answer = match judged.provider {
        Provider::Apns | Provider::ApnsSandbox => apns::prescribed(canned, at),
        Provider::Fcm | Provider::OAuth => google::prescribed(judged.provider, canned),
    };
    answer.headers.extend(judged.answer.headers.clone());
    if let Some(after) = canned.retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        answer.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Logged before any delay, so that who watches the log sees the request while it waits.
fn log(peer: &Peer, incoming: Incoming, judged: Judged, fault: Option<Fault>) -> Answer {
    let Judged { provider, answer, target, body } = judged;
    let mut headers = incoming.headers;
    if let Some(authorization) = headers.get_mut(AUTHORIZATION) {
        authorization.set_sensitive(true);
    }
    let (status, reason) = match fault {
        Some(fault @ (Fault::Refuse | Fault::Reset | Fault::HalfOpen)) => (0, Some(fault.to_string())),
        Some(fault @ Fault::GoAway) => (answer.status.as_u16(), Some(fault.to_string())),
        Some(Fault::Answer(_) | Fault::Delay(_)) | None => (answer.status.as_u16(), answer.reason.clone()),
    };
    peer.shared.log.push(Received {
        number: 0,
        at: incoming.at,
        provider,
        connection: peer.number,
        method: incoming.method.to_string(),
        path: incoming.path,
        headers,
        body,
        bytes: incoming.body.len(),
        target,
        status,
        reason,
    });
    answer
}

fn finish(mut respond: SendResponse<Bytes>, answer: Answer, fault: Option<Fault>) -> Next {
    let next = match fault {
        Some(Fault::Reset) => return Next::Reset,
        Some(Fault::HalfOpen) => return Next::FallSilent,
        Some(Fault::Refuse) => {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Next::GoOn;
        }
        Some(Fault::GoAway) => Next::GoAway,
        Some(Fault::Answer(_) | Fault::Delay(_)) | None => Next::GoOn,
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
