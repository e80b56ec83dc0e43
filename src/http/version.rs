//! The versions of HTTP: which one a connection speaks, and what hyper is told for each.
//!
//! Both come on one port, so the first bytes tell. What a request is answered is `server`'s, and so is who is dropped.

use std::error::Error;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::handover::{self, Handover};
use super::heads::Watched;
use super::pace::Streams;

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Requests on one connection of HTTP/2 at a time, event streams among them: each may leave a piece of an answer in its buffers.
const STREAMS: u32 = 100;
/// How many bytes of a body may come before they are read: most bodies whole, and of a connection several.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// How many bytes of an answer are taken before they can be sent.
const SEND_BUFFER: usize = 64 * 1024;
/// How many streams may be reset before they were looked at, and how many for what was wrong with them.
const RESETS_UNSEEN: usize = 20;
const RESETS_FOR_ERRORS: usize = 100;
/// How often a client of HTTP/2 is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);

/// The answer to a request once it is there, or one that is not hyper's to write.
pub(super) type Answering = BoxFuture<'static, Result<Response, Handover>>;

/// What is read of a connection's requests.
pub(super) struct Reads {
    /// The most bytes of a head.
    pub(super) head_bytes: usize,
    /// The most headers of HTTP/1.
    pub(super) headers: usize,
    /// How long a connection of HTTP/1 is kept without a request.
    pub(super) idle: Duration,
}

/// Answers the requests of a connection until it ends; when `ending` comes, what has begun is answered, within the time that it gives.
pub(super) async fn serve<I, S>(
    mut stream: Watched<I>,
    service: S,
    reads: Reads,
    streams: Streams,
    ending: impl Future<Output = Option<Duration>>,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response, Error = Handover, Future = Answering>,
{
    let mut ending = pin!(ending);
    let is_http2 = tokio::select! {
        biased;
        is_http2 = stream.begins_with(PREFACE) => is_http2?,
        _ = ending.as_mut() => return Ok(()),
    };
    let stream = TokioIo::new(stream);
    if is_http2 {
        // Apart: it is far larger than one of HTTP/1.
        let mut connection = Box::pin(http2(&reads, streams).serve_connection(stream, service));
        until(connection.as_mut(), http2::Connection::graceful_shutdown, ending).await?;
    } else {
        // Apart as well, so that nothing of it is left to a stream.
        let mut connection = Box::pin(http1(&reads).serve_connection(stream, service).with_upgrades());
        let ended = until(connection.as_mut(), http1::UpgradeableConnection::graceful_shutdown, ending).await;
        let Err(error) = ended else { return Ok(()) };
        let answer = Handover::taken(&error).ok_or(error)?;
        if let Some(stream) = Pin::into_inner(connection).into_parts().map(|parts| parts.io) {
            handover::write(stream.into_inner(), answer).await?;
        }
    }
    Ok(())
}

/// Drives a connection to its end.
async fn until<C, E>(
    mut connection: Pin<&mut C>,
    let_go: fn(Pin<&mut C>),
    ending: impl Future<Output = Option<Duration>>,
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
{
    let within = tokio::select! {
        // What has come is read before it ends.
        biased;
        result = connection.as_mut() => return result,
        within = ending => within,
    };
    let_go(connection.as_mut());
    match within {
        None => connection.await,
        // A client that does not say goodbye is not waited for.
        Some(within) => timeout(within, connection).await.unwrap_or(Ok(())),
    }
}

fn http1(reads: &Reads) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(reads.idle);
    builder.max_buf_size(reads.head_bytes).max_headers(reads.headers);
    builder
}

fn http2(reads: &Reads, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder.timer(TokioTimer::new()).keep_alive_interval(PING).enable_connect_protocol();
    builder.max_header_list_size(u32::try_from(reads.head_bytes).unwrap_or(u32::MAX)).max_concurrent_streams(STREAMS);
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.max_send_buf_size(SEND_BUFFER).max_pending_accept_reset_streams(RESETS_UNSEEN);
    builder.max_local_error_reset_streams(RESETS_FOR_ERRORS);
    builder
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};

    use super::*;
    use crate::http::connections::Connections;
    use crate::http::heads::Heads;

    const WITHIN: Duration = Duration::from_secs(30);

    /// A connection on which so many bytes come at a time.
    fn connected(bytes: usize) -> (DuplexStream, Watched<DuplexStream>, Streams) {
        let (client, stream) = duplex(bytes);
        let (heads, metrics) = (Heads::new(1024, None), Arc::default());
        let place = Connections::of_operators(&metrics).place(Ipv4Addr::LOCALHOST.into()).expect("a place");
        (client, Watched::new(stream, heads.clone(), place), Streams { heads, within: WITHIN, metrics })
    }

    /// Answers each request with its method.
    async fn served(
        stream: Watched<DuplexStream>,
        streams: Streams,
        ending: impl Future<Output = Option<Duration>>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let service = service_fn(|request: Request<Incoming>| -> Answering {
            Box::pin(async move { Ok(Response::new(request.method().to_string().into())) })
        });
        serving(stream, service, streams, ending).await
    }

    async fn serving<S>(
        stream: Watched<DuplexStream>,
        service: S,
        streams: Streams,
        ending: impl Future<Output = Option<Duration>>,
    ) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        S: Service<Request<Incoming>, Response = Response, Error = Handover, Future = Answering>,
    {
        let reads = Reads { head_bytes: 16 * 1024, headers: 16, idle: WITHIN };
        timeout(WITHIN, serve(stream, service, reads, streams, ending)).await.expect("an end")
    }

    #[tokio::test]
    async fn a_request_of_http1_may_come_byte_by_byte_and_begin_as_http2_does() {
        for method in ["GET", "PUT", "PRI", "PRIOR"] {
            let (mut client, stream, streams) = connected(1);
            let answered = async {
                let request = format!("{method} * HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
                client.write_all(request.as_bytes()).await.expect("written");
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.expect("an answer");
                answer
            };
            let (answer, served) = tokio::join!(answered, served(stream, streams, pending()));
            served.expect("served");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&format!("\r\n\r\n{method}")), "{answer}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_handed_over_is_written_without_hyper() {
        let (client, stream, streams) = connected(1024);
        let (mut reader, mut writer) = split(client);
        let handing = async {
            writer.write_all(b"GET / HTTP/1.1\r\n\r\nGET /again HTTP/1.1\r\n\r\n").await.expect("written");
            let mut answer = String::new();
            reader.read_to_string(&mut answer).await.expect("an answer");
            answer
        };
        let service = service_fn(|_: Request<Incoming>| -> Answering {
            Box::pin(async { Err(Handover::of(Response::new("a stream".into()))) })
        });
        let (answer, served) = tokio::join!(handing, serving(stream, service, streams, pending()));
        served.expect("a good end");
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
        assert!(answer.ends_with("\r\n\r\n8\r\na stream\r\n0\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_of_http2_may_come_byte_by_byte() {
        let (client, stream, streams) = connected(1);
        let answered = async {
            let (mut sender, connection) = h2::client::handshake(client).await.expect("a connection");
            let request = Request::get("http://gateway/").body(()).expect("a request");
            let (answer, _) = sender.send_request(request, true).expect("sent");
            drop(sender);
            // The connection ends once nobody has anything of the answer.
            let status = async { answer.await.expect("an answer").status() };
            let (status, ended) = tokio::join!(status, connection);
            ended.expect("a good end");
            status
        };
        // The client leaves without reading the server's last words.
        let (status, _) = tokio::join!(answered, served(stream, streams, pending()));
        assert_eq!(status, 200);
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_together_with_what_comes_with_it() {
        let (mut client, mut stream, _) = connected(1024);
        let head = b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n";
        client.write_all(head).await.expect("written");
        assert!(!stream.begins_with(PREFACE).await.expect("read"));
        let mut read = [0; 1024];
        assert_eq!(stream.read(&mut read).await.expect("read"), head.len());
        assert!(read.starts_with(head));
    }

    #[tokio::test]
    async fn a_connection_that_has_not_begun_ends_when_it_is_let_go() {
        for begun in [&b""[..], &PREFACE[..4]] {
            let (mut client, stream, streams) = connected(1024);
            client.write_all(begun).await.expect("written");
            served(stream, streams, ready(None)).await.expect("a good end");
            assert_eq!(client.read(&mut [0]).await.expect("read"), 0);
        }
    }
}
