//! The bytes of an HTTP/2 connection on their way out, in which a few frames are made to say more than `h2` can say.
//!
//! `h2`'s server sends no text with a GOAWAY, names no other last stream than the last that it took, and changes no
//! stream limit on an open connection. Apple does all of that, so SETTINGS and GOAWAY frames are held here until they
//! are whole, completed, and sent on; all other frames pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lock;

/// RFC 9113, 4.1.
const HEAD_BYTES: usize = 9;
/// RFC 9113, 6.5.
const SETTINGS: u8 = 0x04;
/// RFC 9113, 6.8.
const GOAWAY: u8 = 0x07;
const ACK: u8 = 0x01;
/// RFC 9113, 6.5.2.
const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
/// So much may wait for a slow client before more is refused.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// What frames to come shall say. Clones are the same script.
#[derive(Clone, Default)]
pub(super) struct Script(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    /// The stream limit to add to each SETTINGS frame.
    streams: Option<u32>,
    /// Apple's reason to add to each GOAWAY frame.
    reason: Option<&'static str>,
    /// The greatest last stream that a GOAWAY frame may name.
    last_stream: Option<u32>,
}

impl Script {
    pub(super) fn allow_streams(&self, most: u32) {
        lock(&self.0).streams = Some(most);
    }

    pub(super) fn go_away(&self, reason: Option<&'static str>, last_stream: Option<u32>) {
        let mut lines = lock(&self.0);
        (lines.reason, lines.last_stream) = (reason, last_stream);
    }
}

/// A connection whose outgoing frames follow a [`Script`].
pub(super) struct Wire<T> {
    inner: T,
    script: Script,
    /// What is to be sent.
    out: BytesMut,
    /// The frame that is being held, as far as it has come; or the head of any frame.
    held: Vec<u8>,
    /// How much of a frame that passes has not come yet.
    passing: usize,
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    pub(super) fn new(inner: T, script: Script) -> Self {
        Self { inner, script, out: BytesMut::new(), held: Vec::new(), passing: 0 }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.passing > 0 {
                let (now, later) = bytes.split_at(self.passing.min(bytes.len()));
                self.out.extend_from_slice(now);
                (self.passing, bytes) = (self.passing - now.len(), later);
                continue;
            }
            let wanted = length(&self.held).map_or(HEAD_BYTES, |length| HEAD_BYTES + length);
            let (now, later) = bytes.split_at((wanted - self.held.len()).min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            self.release();
        }
    }

    /// Sends on what is held, once it is known that it passes or is whole.
    fn release(&mut self) {
        let Some(length) = length(&self.held) else { return };
        match self.held.get(3..5) {
            Some([SETTINGS, flags]) if flags & ACK == 0 => {}
            Some([GOAWAY, _]) => {}
            _ => {
                self.out.extend_from_slice(&self.held);
                self.passing = length;
                return self.held.clear();
            }
        }
        if self.held.len() == HEAD_BYTES + length {
            self.complete();
            self.out.extend_from_slice(&self.held);
            self.held.clear();
        }
    }

    fn complete(&mut self) {
        let lines = lock(&self.script.0);
        if self.held.get(3) == Some(&SETTINGS) {
            if let Some(streams) = lines.streams {
                // Of two values for one setting the later counts (RFC 9113, 6.5.3).
                self.held.extend(MAX_CONCURRENT_STREAMS);
                self.held.extend(streams.to_be_bytes());
            }
        } else {
            let last = self.held.get_mut(HEAD_BYTES..HEAD_BYTES + 4);
            if let (Some(most), Some(last)) = (lines.last_stream, last) {
                let named = last.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
                last.copy_from_slice(&named.min(most).to_be_bytes());
            }
            if let Some(reason) = lines.reason {
                self.held.extend(format!("{{\"reason\":\"{reason}\"}}").into_bytes());
            }
        }
        let [.., high, middle, low] = (self.held.len() - HEAD_BYTES).to_be_bytes();
        if let Some(length) = self.held.get_mut(..3) {
            length.copy_from_slice(&[high, middle, low]);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// The length of the payload that a frame's head names, once the head is there.
fn length(frame: &[u8]) -> Option<usize> {
    match frame {
        [high, middle, low, _, _, _, _, _, _, ..] => {
            Some(usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low))
        }
        _ => None,
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() >= MAX_WAITING_BYTES {
            ready!(this.poll_send(cx))?;
        }
        this.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, 0, 0, 0, 0, 0], payload].concat()
    }

    #[test]
    fn frames_say_what_the_script_has_however_they_are_cut() {
        let script = Script::default();
        script.allow_streams(7);
        script.go_away(Some("Shutdown"), Some(3));
        let (last_5, last_1) = ([0, 0, 0, 5, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]);
        let data = frame(0, b"some data");
        let said = [frame(4, &[]), data.clone(), frame(7, &last_5), frame(7, &last_1)].concat();
        let reason = br#"{"reason":"Shutdown"}"#;
        let expected = [
            frame(4, &[0, 3, 0, 0, 0, 7]),
            data,
            frame(7, &[&[0, 0, 0, 3, 0, 0, 0, 0], &reason[..]].concat()),
            frame(7, &[&last_1, &reason[..]].concat()),
        ]
        .concat();
        for cut in 1..said.len() {
            let mut wire = Wire::new(tokio::io::sink(), script.clone());
            said.chunks(cut).for_each(|part| wire.take(part));
            assert_eq!(wire.out, expected, "in pieces of {cut}");
        }
    }

    #[test]
    fn without_a_script_all_passes() {
        let mut ack = frame(4, &[]);
        ack[4] = ACK;
        let said = [frame(4, &[0, 3, 0, 0, 0, 9]), ack, frame(7, &[0; 8]), frame(1, b"head")].concat();
        let mut wire = Wire::new(tokio::io::sink(), Script::default());
        wire.take(&said);
        assert_eq!(wire.out, said);
    }
}
