//! An event stream over HTTP/1.1, written here from its head on, in chunks (RFC 9112, section 7.1).
//!
//! hyper keeps two buffers of 8 KiB for a connection as long as it has it, and a stream that says a line now and then needs none. So the answer is
//! handed over instead of given: hyper is told that there is none, and gives the connection back. What a stream says is `events`', and
//! who is dropped is `server`'s.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header, response::Parts};
use axum::response::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the head says besides what the answer does. Nothing can come behind a stream, which ends when its client goes or the gateway stops.
const FRAMING: [(HeaderName, HeaderValue); 2] = [
    (header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    (header::CONNECTION, HeaderValue::from_static("close")),
];
/// The chunk after the last one.
const END: &[u8] = b"0\r\n\r\n";

/// The answer that is not hyper's to write, on its way as an error through it.
pub(super) struct Handover(Mutex<Option<Response>>);

impl Handover {
    pub(super) fn of(answer: Response) -> Self {
        Self(Mutex::new(Some(answer)))
    }

    /// The answer that was handed over, if it was that by which the connection of hyper ended.
    pub(super) fn taken(error: &hyper::Error) -> Option<Response> {
        let Self(answer) = error.source()?.downcast_ref()?;
        answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer was handed over")
    }
}

impl Error for Handover {}

/// Writes an answer until it ends, or its client goes. What the client sends is not looked at.
pub(super) async fn write<I>(mut client: I, answer: Response) -> io::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (head, mut body) = answer.into_parts();
    send(&mut client, &lines(head)?).await?;
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            said = said(&mut body) => match said? {
                Some(chunk) => send(&mut client, &chunk).await?,
                None => break,
            },
            came = client.read(&mut ignored) => if came? == 0 {
                return Ok(());
            },
        }
    }
    send(&mut client, END).await?;
    client.shutdown().await
}

/// The next chunk of a body. Where it breaks off nothing says that it was whole.
async fn said(body: &mut Body) -> io::Result<Option<Vec<u8>>> {
    while let Some(frame) = body.frame().await {
        let bytes = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        if !bytes.is_empty() {
            return Ok(Some([format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()));
        }
    }
    Ok(None)
}

fn lines(mut head: Parts) -> io::Result<Vec<u8>> {
    for (name, value) in FRAMING {
        head.headers.insert(name, value);
    }
    let mut lines = Vec::new();
    write!(lines, "HTTP/1.1 {}\r\n", head.status)?;
    for (name, value) in &head.headers {
        write!(lines, "{name}: ")?;
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines.extend_from_slice(b"\r\n");
    Ok(lines)
}

async fn send<I: AsyncWrite + Unpin>(client: &mut I, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::stream::{self, StreamExt};
    use tokio::io::duplex;

    use super::*;

    fn answer(pieces: Vec<Result<&'static str, &'static str>>) -> Response {
        let answer = Response::builder().header("content-type", "text/event-stream").header("connection", "keep-alive");
        answer.body(Body::from_stream(stream::iter(pieces))).expect("an answer")
    }

    /// What a client reads, and how the writing ended.
    async fn written(answer: Response) -> (String, io::Result<()>) {
        let (mut client, stream) = duplex(8);
        let read = async {
            let mut text = String::new();
            client.read_to_string(&mut text).await.expect("read");
            text
        };
        tokio::join!(read, write(stream, answer))
    }

    #[tokio::test]
    async fn a_stream_is_written_in_chunks_to_its_end() {
        let (text, end) = written(answer(vec![Ok("data: 1\n\n"), Ok(""), Ok("data: a second one\n\n")])).await;
        end.expect("a good end");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(text, format!("{head}9\r\ndata: 1\n\n\r\n14\r\ndata: a second one\n\n\r\n0\r\n\r\n"));
    }

    #[tokio::test]
    async fn what_breaks_off_has_no_end() {
        let (text, end) = written(answer(vec![Ok("data: 1\n\n"), Err("lost")])).await;
        assert!(end.is_err() && text.ends_with("data: 1\n\n\r\n"), "{text}");
    }

    #[tokio::test]
    async fn it_ends_with_its_client_and_not_by_what_that_one_sends() {
        let (mut client, stream) = duplex(1024);
        let silent = stream::iter([Ok::<_, io::Error>("data: 1\n\n")]).chain(stream::once(pending()));
        let writing = tokio::spawn(write(stream, Response::new(Body::from_stream(silent))));
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
        let mut text = String::new();
        while !text.ends_with("data: 1\n\n\r\n") {
            text.push(char::from(client.read_u8().await.expect("read")));
        }
        assert!(!writing.is_finished());
        drop(client);
        writing.await.expect("no panic").expect("a good end");
    }
}
