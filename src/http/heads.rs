//! Tells from the bytes of a connection whether a client is slow to send a request's head. One that keeps a connection and sends nothing
//! is not: a load balancer keeps its connections for a minute and more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What is known of a connection's requests. Clones share it.
#[derive(Clone)]
pub(super) struct Heads(Arc<watch::Sender<State>>);

#[derive(Debug)]
struct State {
    /// Heads that were read.
    read: u64,
    /// Requests that are being answered; what comes meanwhile is their bodies.
    answering: usize,
    /// Whether the rest of a head is waited for.
    begun: bool,
    /// HTTP/2 has frames of its own accord, and says nothing of heads by its bytes.
    is_http2: bool,
}

impl Heads {
    /// Of a new connection, which is made for a request: that is waited for as the rest of one.
    pub(super) fn new() -> Self {
        let state = State { read: 0, answering: 0, begun: true, is_http2: false };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// A request's head was read.
    pub(super) fn read(&self, is_http2: bool) {
        self.0.send_modify(|state| {
            state.read += 1;
            state.answering += 1;
            state.begun = false;
            state.is_http2 |= is_http2;
        });
    }

    /// A request was answered.
    pub(super) fn answered(&self) {
        self.0.send_modify(|state| state.answering -= 1);
    }

    /// Waits for a head that has not come whole in so long.
    pub(super) async fn slow(&self, within: Duration) {
        let mut state = self.0.subscribe();
        // The sender lives as long as this.
        while let Ok(read) = state.wait_for(|state| state.begun).await.map(|state| state.read) {
            if tokio::time::timeout(within, state.wait_for(|state| state.read > read)).await.is_err() {
                return;
            }
        }
    }

    fn came(&self) {
        self.0.send_if_modified(|state| {
            let is_head = state.answering == 0 && !state.begun && !state.is_http2;
            state.begun |= is_head;
            is_head
        });
    }
}

/// A stream whose bytes are noted as they come.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) heads: Heads,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.heads.came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
