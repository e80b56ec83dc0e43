//! The control port: orders to the simulator and questions about what it was asked, as JSON over HTTP/1.1.
//!
//! There is no authentication, so it is for loopback; pages in a browser are kept out by their `Origin`, and by the
//! `Host` that they had to name. What an answer or an error looks like is in `reply`, how a request is read in `ask`.

mod ask;
mod record;
mod reply;
mod rules;
mod state;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Shared;
use ask::{Ask, BoxError};
use reply::{Page, Refusal, refuse};

/// Each may wait for a request for a minute; more at once are a mistake.
const MAX_CONNECTIONS: usize = 100;
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 64 * 1024;

/// Serves until the task is aborted.
pub(super) async fn listen(listener: TcpListener, name: Option<String>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let name: Option<Arc<str>> = name.map(Arc::from);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(serve(stream, name.clone(), Arc::clone(&shared)));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, name: Option<Arc<str>>, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request| {
        let (name, shared) = (name.clone(), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(answer(request, name.as_deref(), &shared).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(HEAD_BYTES);
    // An error here is the client's.
    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
}

/// Carries out an order or answers a question, which came to the host `name` or to an address.
pub(super) async fn answer<B>(request: Request<B>, name: Option<&str>, shared: &Shared) -> Response<Page>
where
    B: Body<Error: Into<BoxError>>,
{
    let result = async {
        check_sender(&request, name)?;
        route(Ask::read(request).await?, shared).await
    };
    result.await.unwrap_or_else(Refusal::into_response)
}

/// A browser sends an `Origin` with whatever a page makes it send elsewhere, and the page's own name as `Host` where
/// that name was made to point here.
fn check_sender<B>(request: &Request<B>, name: Option<&str>) -> Result<(), Refusal> {
    let forbidden = |field, detail| Err(refuse(StatusCode::FORBIDDEN, field, detail));
    if request.headers().contains_key("origin") {
        return forbidden("origin", "pages in a browser have no business here");
    }
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(host, _)| host) };
    let address: Result<IpAddr, _> = host.trim_start_matches('[').trim_end_matches(']').parse();
    if address.is_ok() || host == "localhost" || name == Some(host) {
        Ok(())
    } else {
        forbidden("host", "expected an address, localhost, or the name that the simulator was started with")
    }
}

async fn route(ask: Ask, shared: &Shared) -> Result<Response<Page>, Refusal> {
    let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    match (path.as_slice(), &ask.method) {
        ([], &Method::GET) => state::about(&ask, shared),
        (["reset"], &Method::POST) => state::reset(&ask, shared),
        (["rules"], &Method::GET) => rules::list(&ask, shared),
        (["rules"], &Method::POST) => rules::add(&ask, shared),
        (["rules"], &Method::DELETE) => rules::clear(&ask, shared),
        (["rules", id], &Method::GET) => rules::get(&ask, id, shared),
        (["rules", id], &Method::PUT) => rules::put(&ask, id, shared),
        (["rules", id], &Method::DELETE) => rules::remove(&ask, id, shared),
        (["requests"], &Method::GET) => record::query(&ask, shared).await,
        (["requests"], &Method::DELETE) => record::forget(&ask, shared),
        (["counts"], &Method::GET) => record::counts(&ask, shared),
        (["tokens"], &Method::GET) => state::tokens(&ask, shared),
        (["tokens", token], &Method::PUT) => state::put_token(&ask, token, shared),
        (["tokens", token], &Method::DELETE) => state::forget_token(&ask, token, shared),
        (["apns-keys"], &Method::GET) => state::keys(&ask, shared),
        (["apns-keys", id], &Method::PUT) => state::put_key(&ask, id, shared),
        (["access-tokens"], &Method::DELETE) => state::revoke_access_tokens(&ask, shared),
        (
            []
            | ["reset" | "rules" | "requests" | "counts" | "tokens" | "apns-keys" | "access-tokens"]
            | ["rules" | "tokens" | "apns-keys", _],
            _,
        ) => Err(refuse(StatusCode::METHOD_NOT_ALLOWED, "method", "this path knows other methods only")),
        _ => Err(refuse(StatusCode::NOT_FOUND, "path", "there is nothing here; GET / tells what there is")),
    }
}
