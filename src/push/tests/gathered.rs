//! Requests that go out together are written together.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::WITHIN;
use crate::push::connection::send;
use crate::push::goaway::Heard;

/// Longer together than what fits in a pipe's buffer by itself, each as a push may be: some are more than `h2` gathers.
const BODIES: [usize; 6] = [0, 300, 1023, 1024, 1500, 5120];

/// Counts its writes, and takes several pieces in one, as a TLS stream does.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Answers each request with the length of its body.
async fn serve(stream: DuplexStream) {
    let mut connection = h2::server::handshake(stream).await.expect("a connection");
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.expect("a request");
        tokio::spawn(async move {
            let length = length(request.into_body()).await;
            let mut answer = respond.send_response(Response::new(()), false).expect("a head");
            answer.send_data(length.to_string().into(), true).expect("an answer");
        });
    }
}

async fn length(mut body: RecvStream) -> usize {
    let mut length = 0;
    while let Some(part) = body.data().await {
        length += part.expect("a part").len();
    }
    length
}

#[tokio::test]
async fn requests_of_one_moment_are_one_write() {
    let (ours, theirs) = duplex(1 << 20);
    tokio::spawn(serve(theirs));
    let writes = Arc::new(AtomicUsize::new(0));
    let (stream, _) = Heard::new(Counted(ours, Arc::clone(&writes)), Arc::new(|_| {}));
    let (sender, mut connection) = h2::client::handshake(stream).await.expect("a connection");
    let mut moment = async || {
        let before = writes.load(Ordering::Relaxed);
        poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx).is_pending())).await.then_some(())?;
        Some(writes.load(Ordering::Relaxed) - before)
    };
    moment().await.expect("the preface and the settings are out");
    let mut answers = Vec::new();
    for length in BODIES {
        let request = Request::post("https://provider/push").body(()).expect("a request");
        let (answer, mut body) = sender.clone().send_request(request, false).expect("a stream");
        send(&mut body, Bytes::from(vec![b'x'; length])).expect("a body");
        answers.push(answer);
    }
    assert_eq!(moment().await, Some(1));
    tokio::spawn(connection);
    for (answer, sent) in answers.into_iter().zip(BODIES) {
        let answer = tokio::time::timeout(WITHIN, answer).await.expect("in time").expect("an answer");
        let told = answer.into_body().data().await.expect("a body").expect("a part");
        assert_eq!(told, sent.to_string());
    }
}
