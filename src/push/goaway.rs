//! Hears what a peer says when it ends a connection. `h2` acts on GOAWAY and keeps its text to itself where the code is
//! `NO_ERROR`, and it is in that text that Apple gives its reason; so the bytes that come in are looked at on their way.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// RFC 9113, section 4.1: length (3 bytes), type, flags, stream (4 bytes).
const HEAD_BYTES: usize = 9;
/// RFC 9113, section 6.8: last stream and error code come before the text.
const BEFORE_TEXT_BYTES: usize = 8;
const GOAWAY: u8 = 7;
const LONGEST_TEXT: usize = 1024;

/// A peer's last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goodbye {
    /// The error code of HTTP/2.
    pub code: u32,
    /// The text beside it; empty if there was none.
    pub text: String,
}

/// Told what a peer said when it ended a connection.
pub(super) type Farewell = Arc<dyn Fn(&Goodbye) + Send + Sync>;

/// The last words of a connection, and who is to be told of them, once.
#[derive(Clone)]
pub(super) struct LastWords(Arc<Inner>);

struct Inner {
    farewell: Farewell,
    words: Mutex<Words>,
}

#[derive(Default)]
struct Words {
    goodbye: Option<Goodbye>,
    are_told: bool,
}

impl LastWords {
    fn new(farewell: Farewell) -> Self {
        Self(Arc::new(Inner { farewell, words: Mutex::default() }))
    }

    /// Tells what the peer has said, if it gave a text: without one, a second GOAWAY may still bring it.
    pub(super) fn tell_text(&self) {
        self.tell(|goodbye| !goodbye.text.is_empty());
    }

    /// Tells what the peer has said, if anything: nothing more will come.
    pub(super) fn tell_all(&self) {
        self.tell(|_| true);
    }

    fn tell(&self, is_enough: impl FnOnce(&Goodbye) -> bool) {
        let goodbye = {
            let mut words = self.words();
            let Some(goodbye) = words.goodbye.clone().filter(|goodbye| !words.are_told && is_enough(goodbye)) else {
                return;
            };
            words.are_told = true;
            goodbye
        };
        (self.0.farewell)(&goodbye);
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gentle end comes in two frames, of which either may have the text.
    fn set(&self, payload: &[u8]) {
        let Some((head, text)) = payload.split_at_checked(BEFORE_TEXT_BYTES) else { return };
        let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST_TEXT)]).into_owned();
        let known = &mut self.words().goodbye;
        if known.as_ref().is_none_or(|known| known.text.is_empty()) {
            *known = Some(Goodbye { code, text });
        }
    }
}

/// A byte stream of HTTP/2 whose GOAWAY frames are heard.
pub(super) struct Heard<S> {
    inner: S,
    frames: Frames,
    words: LastWords,
}

/// How far the frames have been read.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that are there.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// The payload of a GOAWAY so far.
    goaway: Option<Vec<u8>>,
}

impl<S> Heard<S> {
    /// Listens to `inner`, from its first byte on.
    pub(super) fn new(inner: S, farewell: Farewell) -> (Self, LastWords) {
        let words = LastWords::new(farewell);
        (Self { inner, frames: Frames::default(), words: words.clone() }, words)
    }
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8], words: &LastWords) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (part, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.have));
                self.head[self.have..self.have + part.len()].copy_from_slice(part);
                self.have += part.len();
                bytes = rest;
                if self.have < HEAD_BYTES {
                    return;
                }
                self.have = 0;
                self.left = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]) as usize;
                self.goaway = (self.head[3] == GOAWAY).then(Vec::new);
            } else {
                let (part, rest) = bytes.split_at(bytes.len().min(self.left));
                self.left -= part.len();
                bytes = rest;
                let Some(payload) = &mut self.goaway else { continue };
                payload.extend_from_slice(&part[..part.len().min(BEFORE_TEXT_BYTES + LONGEST_TEXT)]);
                if self.left == 0 {
                    words.set(payload);
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = Pin::new(&mut self.inner).poll_read(cx, buf);
        let Self { frames, words, .. } = &mut *self;
        frames.read(&buf.filled()[before..], words);
        done
    }
}

/// Not vectored, whatever `inner` is: to such a stream `h2` writes each body of 256 bytes by itself, in a TLS record and a system call of its own.
impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> LastWords {
        LastWords::new(Arc::new(|_| {}))
    }

    fn said(words: &LastWords) -> Option<Goodbye> {
        words.words().goodbye.clone()
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(payload.len()).expect("short").to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame
    }

    fn goaway(code: u8, text: &str) -> Vec<u8> {
        frame(GOAWAY, &[&[0, 0, 0, 5, 0, 0, 0, code], text.as_bytes()].concat())
    }

    #[test]
    fn last_words_are_heard_however_the_bytes_are_cut() {
        let reason = r#"{"reason":"Shutdown"}"#;
        let all = [frame(4, &[]), frame(0, &[7; 300]), goaway(0, reason), frame(6, &[0; 8])].concat();
        for size in [1, 2, 8, 9, 10, 50, all.len()] {
            let (mut frames, words) = (Frames::default(), nobody());
            all.chunks(size).for_each(|chunk| frames.read(chunk, &words));
            assert_eq!(said(&words), Some(Goodbye { code: 0, text: reason.to_owned() }), "in pieces of {size}");
        }
    }

    #[test]
    fn of_two_goodbyes_the_one_with_a_text_counts() {
        let (mut frames, words) = (Frames::default(), nobody());
        frames.read(&[goaway(0, ""), goaway(2, "why"), goaway(0, "")].concat(), &words);
        assert_eq!(said(&words), Some(Goodbye { code: 2, text: "why".to_owned() }));
    }

    #[test]
    fn nothing_is_heard_in_what_is_no_goaway() {
        let (mut frames, words) = (Frames::default(), nobody());
        frames.read(&[frame(0, &goaway(0, "inside")), frame(GOAWAY, &[0; 3])].concat(), &words);
        assert_eq!(said(&words), None);
    }
}
