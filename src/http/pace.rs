//! Answers over HTTP/2 that a client does not take: it keeps its window closed, or the answer's stream, while the connection goes on.
//!
//! hyper asks a body for more only when what it gave before has gone on its way. A body that has given something and is not asked again
//! belongs to a client that takes nothing; its stream is reset, and others on the connection (a proxy has those of many clients) are not
//! harmed. Over HTTP/1 the connection itself tells: see [`heads`](super::heads).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::sync::oneshot::{Receiver, Sender, channel};

use super::heads::{Answer, Heads};
use crate::telemetry::Metrics;

/// The most bytes that a body gives at once: as many lie in HTTP/2's buffers when a window is open for a few.
const PIECE: usize = 16 * 1024;

tokio::task_local! {
    static PACE: Pace;
}

/// Since when a stream's body has not been asked for more. Clones share it.
#[derive(Clone, Default)]
struct Pace(Arc<Mutex<Option<Instant>>>);

impl Pace {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn is_stalled(&self, within: Duration) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() >= within)
    }

    /// Waits until nobody has asked for so long.
    async fn stalled(&self, within: Duration) {
        while !self.is_stalled(within) {
            tokio::time::sleep(within / 2).await;
        }
    }
}

/// Runs the streams of one connection.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) heads: Heads,
    /// How long an answer may wait for its client.
    pub(super) within: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { within, metrics, .. } = self.clone();
        let open = self.heads.opened();
        let pace = Pace::default();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = PACE.scope(pace.clone(), stream) => {}
                () = pace.stalled(within) => metrics.shed("send_timeout"),
            }
            drop(open);
        });
    }
}

/// Bytes of an answer, until HTTP/2 has sent them.
struct Piece {
    bytes: Bytes,
    _unsent: Sender<()>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that gives little at a time and notes when it is asked. Over HTTP/2 it ends when all of it was sent: until then what the answer holds
/// is held, and its stream can be reset.
pub(super) struct Paced {
    body: Body,
    /// What is left of the last frame.
    rest: Bytes,
    /// Whether there are no more frames.
    is_over: bool,
    /// Ready when HTTP/2 has sent the last piece.
    sent: Option<Receiver<()>>,
    pace: Option<Pace>,
    answer: Option<Answer>,
}

impl Paced {
    /// The body of the stream that runs.
    pub(super) fn new(body: Body, mut answer: Option<Answer>) -> Self {
        // For a body that is empty nobody asks.
        if body.is_end_stream() {
            answer.iter_mut().for_each(Answer::is_wanted);
        }
        Self { body, rest: Bytes::new(), is_over: false, sent: None, pace: PACE.try_with(Pace::clone).ok(), answer }
    }

    fn piece(&mut self) -> Bytes {
        let length = self.rest.len().min(PIECE);
        let bytes = self.rest.split_to(length);
        if self.pace.is_none() {
            return bytes;
        }
        let (unsent, sent) = channel();
        self.sent = Some(sent);
        Bytes::from_owner(Piece { bytes, _unsent: unsent })
    }

    fn note(&self, since: Option<Instant>) {
        if let Some(pace) = &self.pace {
            pace.set(since);
        }
    }
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.answer.iter_mut().for_each(Answer::is_wanted);
        if self.rest.is_empty() && !self.is_over {
            self.note(None);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(error) => return Poll::Ready(Some(error)),
                None => self.is_over = true,
            }
            self.note(Some(Instant::now()));
        }
        if self.is_over {
            if let Some(sent) = &mut self.sent {
                // It ends by an error: what it was to hear from was dropped.
                let _ = ready!(Pin::new(sent).poll(cx));
            }
            return Poll::Ready(None);
        }
        self.note(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(self.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream() && self.sent.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_body_comes_in_pieces_and_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut body = Paced::new(Body::from(bytes.clone()), None);
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a frame").into_data().expect("data");
            assert!(data.len() <= PIECE);
            read.extend_from_slice(&data);
            assert_eq!(body.is_end_stream(), read.len() == bytes.len());
        }
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn who_is_not_asked_for_more_is_stalled_and_who_waits_for_news_is_not() {
        let within = Duration::from_millis(20);
        let pace = Pace::default();
        PACE.scope(pace.clone(), async {
            let one = futures_util::stream::once(async { Ok::<_, axum::Error>("one") });
            let mut body = Paced::new(Body::from_stream(one), None);
            body.frame().await.expect("a frame").expect("data");
        })
        .await;
        tokio::time::timeout(Duration::from_secs(5), pace.stalled(within)).await.expect("stalled");
        pace.set(None);
        assert!(tokio::time::timeout(within * 4, pace.stalled(within)).await.is_err());
    }
}
