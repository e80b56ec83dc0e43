//! Tells from a connection's bytes and requests whether its client is slow or sends what asks for nothing.
//!
//! One that keeps a connection and sends nothing is not slow: a load balancer keeps its connections for a minute and more. What is done about a
//! client is for `server` to say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::{Sleep, sleep, sleep_until};

use super::connections::Admitted;
use super::patience::Patience;

/// How many more requests than were answered a client may take back before their answer (CVE-2023-44487).
const RESETS: u64 = 100;
/// How many bytes may come that belong to no request: pings, settings and what else HTTP/2 and WebSocket have, all at once …
const SPARE_BYTES: i64 = 1 << 20;
/// … and for each second.
const SPARE_BYTES_A_SECOND: u64 = 64 << 10;
/// What comes with a body: the head, and what frames it.
const BYTES_BESIDE_A_BODY: usize = 128 << 10;

/// What is known of a connection's requests. Clones share it.
#[derive(Clone)]
pub(super) struct Heads(Arc<Inner>);

struct Inner {
    /// Those who wait are woken for what they may wait for, and not for each request.
    state: watch::Sender<State>,
    /// Wakes whoever looks after slow heads when one begins.
    begins: Notify,
    /// Bytes that may still come without a request.
    spare: AtomicI64,
    /// How many come with a request at most.
    of_a_request: i64,
    /// None where the connection is of a proxy that is trusted.
    patience: Option<Patience>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers that went on their way.
    answered: u64,
    /// Requests whose answer nobody wanted any more when it was there, or before.
    taken_back: u64,
    /// Requests that are being answered; what comes meanwhile is their bodies.
    answering: usize,
    /// Since when the rest of a head is waited for.
    begun: Option<Instant>,
    /// HTTP/2 has frames of its own accord, and says nothing of heads by its bytes.
    is_http2: bool,
    /// Streams of HTTP/2 that are open.
    streams: usize,
    /// Whether the client has not taken all that was to be sent.
    is_stuck: bool,
    /// Whether the last answer was given.
    is_over: bool,
}

/// A request that is being answered.
pub(super) struct Answering(Option<Answer>);

/// An answer that is there.
pub(super) struct Answer {
    heads: Heads,
    is_wanted: bool,
}

/// A stream of HTTP/2 that is open.
pub(super) struct OpenStream(Heads);

impl Heads {
    /// Of a new connection, whose requests have bodies of so many bytes at most. It is made for a request: that is waited for as the rest of one.
    pub(super) fn new(body_bytes: usize, patience: Option<Patience>) -> Self {
        let state = State { begun: Some(Instant::now()), ..State::default() };
        Self(Arc::new(Inner {
            state: watch::Sender::new(state),
            begins: Notify::new(),
            spare: AtomicI64::new(SPARE_BYTES),
            of_a_request: bytes(body_bytes.saturating_add(BYTES_BESIDE_A_BODY)),
            patience,
        }))
    }

    /// The patience with this connection; none where it is of a proxy that is trusted.
    pub(super) fn patience(&self) -> Option<&Patience> {
        self.0.patience.as_ref()
    }

    /// A request's head was read.
    pub(super) fn read(&self, is_http2: bool) -> Answering {
        self.0.spare.fetch_add(self.0.of_a_request, Ordering::Relaxed);
        self.0.state.send_if_modified(|state| {
            state.answering += 1;
            state.begun = None;
            let is_news = is_http2 && !state.is_http2;
            state.is_http2 |= is_http2;
            is_news
        });
        Answering(Some(Answer { heads: self.clone(), is_wanted: false }))
    }

    /// A stream of HTTP/2 was opened.
    pub(super) fn opened(&self) -> OpenStream {
        self.0.state.send_if_modified(|state| {
            state.streams += 1;
            state.streams == 1
        });
        OpenStream(self.clone())
    }

    /// Waits for a head that has not come whole in so long.
    pub(super) async fn slow(&self, within: Duration) {
        loop {
            let begun = self.0.state.borrow().begun;
            // A head that has yet to begin is due no sooner than one that begins now, so this is looked at once in so long and not for each request.
            sleep_until((begun.unwrap_or_else(Instant::now) + within).into()).await;
            let now = self.0.state.borrow().begun;
            if begun.is_some() && now == begun {
                return;
            }
            if now.is_none() {
                self.0.begins.notified().await;
            }
        }
    }

    /// Waits until a connection of HTTP/2 has had no stream for so long. Over HTTP/1 hyper sees to that.
    pub(super) async fn idle(&self, within: Duration) {
        self.lasting(within, |state| state.is_http2 && state.streams == 0).await;
    }

    /// Waits until the client has left for so long what was to be sent.
    pub(super) async fn stuck(&self, within: Duration) {
        self.lasting(within, |state| state.is_stuck).await;
    }

    /// The last answer was given.
    pub(super) fn end(&self) {
        self.0.state.send_modify(|state| state.is_over = true);
    }

    /// Waits until the last answer was given.
    pub(super) async fn over(&self) {
        // The sender lives as long as this.
        let _ = self.0.state.subscribe().wait_for(|state| state.is_over).await;
    }

    /// Waits until far more requests have been taken back than answered.
    pub(super) async fn resets(&self) {
        let many = |state: &State| state.is_http2 && state.taken_back > RESETS + state.answered;
        // The sender lives as long as this.
        let _ = self.0.state.subscribe().wait_for(many).await;
    }

    /// Waits until this has been so for so long without a break.
    async fn lasting(&self, within: Duration, is: impl Fn(&State) -> bool) {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as this.
        while state.wait_for(&is).await.is_ok() {
            if tokio::time::timeout(within, state.wait_for(|state| !is(state))).await.is_err() {
                return;
            }
        }
    }

    fn came(&self) {
        self.0.state.send_if_modified(|state| {
            if state.answering == 0 && state.begun.is_none() && !state.is_http2 {
                state.begun = Some(Instant::now());
                self.0.begins.notify_one();
            }
            false
        });
    }
}

impl Answering {
    /// The answer is there.
    pub(super) fn answered(mut self) -> Option<Answer> {
        self.0.take().inspect(Answer::is_there)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(answer) = &self.0 {
            answer.is_there();
        }
    }
}

impl Answer {
    fn is_there(&self) {
        let Heads(heads) = &self.heads;
        let mut others = 0;
        heads.state.send_if_modified(|state| {
            state.answering -= 1;
            others = state.answering;
            false
        });
        // What did not come with it is not left for what asks for nothing.
        let most = SPARE_BYTES.saturating_add(heads.of_a_request.saturating_mul(bytes(others)));
        heads.spare.fetch_min(most, Ordering::Relaxed);
    }

    /// It goes on its way.
    pub(super) fn is_wanted(&mut self) {
        self.is_wanted = true;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.heads.0.state.send_if_modified(|state| {
            if self.is_wanted {
                state.answered += 1;
            } else {
                state.taken_back += 1;
            }
            !self.is_wanted
        });
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let Heads(heads) = &self.0;
        heads.state.send_if_modified(|state| {
            state.streams -= 1;
            state.streams == 0
        });
    }
}

/// A stream whose bytes are noted as they come and go. It has the connection's place.
pub(super) struct Watched<S> {
    stream: S,
    /// What was looked at and is still to be read.
    first: Bytes,
    heads: Heads,
    is_stuck: bool,
    /// Until nothing is read.
    held: Option<Pin<Box<Sleep>>>,
    /// Until when spare bytes were given.
    given_until: Instant,
    _place: Admitted,
}

impl<S> Watched<S> {
    /// Watches from now on.
    pub(super) fn new(stream: S, heads: Heads, place: Admitted) -> Self {
        let (first, given_until) = (Bytes::new(), Instant::now());
        Self { stream, first, heads, is_stuck: false, held: None, given_until, _place: place }
    }

    /// Whether this is what comes first. It is still to be read then, together with what comes with it: hyper makes its buffer for one
    /// read and doubles it for a second one.
    pub(super) async fn begins_with<const LENGTH: usize>(&mut self, beginning: &[u8; LENGTH]) -> io::Result<bool>
    where
        S: AsyncRead + Unpin,
    {
        let (mut first, mut came) = ([0; LENGTH], 0);
        while came < LENGTH && beginning.starts_with(&first[..came]) {
            match self.read(&mut first[came..]).await? {
                0 => break,
                more => came += more,
            }
        }
        self.first = Bytes::copy_from_slice(&first[..came]);
        Ok(first[..came] == *beginning)
    }

    fn set_stuck(&mut self, is_stuck: bool) {
        if self.is_stuck != is_stuck {
            self.is_stuck = is_stuck;
            self.heads.0.state.send_modify(|state| state.is_stuck = is_stuck);
        }
    }

    /// Notes bytes; an error when they are too many for what was asked.
    fn spend(&mut self, came: usize) -> io::Result<()> {
        let came = bytes(came);
        if self.heads.0.spare.fetch_sub(came, Ordering::Relaxed) >= came {
            return Ok(());
        }
        let seconds = self.given_until.elapsed().as_secs();
        self.given_until += Duration::from_secs(seconds);
        let more = i64::try_from(seconds.saturating_mul(SPARE_BYTES_A_SECOND)).unwrap_or(SPARE_BYTES).min(SPARE_BYTES);
        if self.heads.0.spare.fetch_add(more, Ordering::Relaxed) + more < 0 {
            return Err(io::Error::other("a client sends much that asks for nothing"));
        }
        Ok(())
    }

    /// Ready once there is patience.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(held) = &mut self.held {
                ready!(held.as_mut().poll(cx));
                self.held = None;
            }
            match self.heads.patience().and_then(|patience| patience.run_out(Instant::now())) {
                Some(wait) => self.held = Some(Box::pin(sleep(wait))),
                None => return Poll::Ready(()),
            }
        }
    }
}

fn bytes(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_patience(cx));
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first.split_to(length));
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending if length > 0 => {}
            polled => ready!(polled)?,
        }
        let came = buffer.filled().len() - before;
        if came > 0 {
            self.heads.came();
            self.spend(came)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_pending() {
            self.set_stuck(true);
        }
        written
    }

    /// Who writes flushes when all has been written, and not before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.set_stuck(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        if written.is_pending() {
            self.set_stuck(true);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
