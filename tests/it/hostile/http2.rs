//! HTTP/2 by hand: frames as no library would send them.

use super::raw::Raw;
use crate::support::Stage;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The setting of how much may come of an answer before it was asked for.
pub const INITIAL_WINDOW: u16 = 4;

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A SETTINGS frame with one setting.
pub fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// The headers of a request, each as a literal that is not remembered (RFC 7541, section 6.2.2).
pub fn head(method: &str, path: &str, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let headers = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway"),
        ("authorization", &authorization),
        ("accept", "text/event-stream"),
        ("content-type", "application/json"),
    ];
    headers.into_iter().flat_map(|(name, value)| literal(name, value)).collect()
}

pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // A length in a prefix of seven bits (section 5.1).
        if let Ok(length @ 0..127) = u8::try_from(text.len()) {
            bytes.push(length);
        } else {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).expect("seven bits"));
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// A connection whose frames are read one by one.
pub struct Http2 {
    pub raw: Raw,
    read: Vec<u8>,
}

impl Http2 {
    /// Opens one with these settings, which may be none.
    pub async fn open(stage: &Stage, settings: &[u8]) -> Self {
        let mut raw = Raw::open(stage).await;
        raw.write([PREFACE, settings].concat()).await;
        Self { raw, read: Vec::new() }
    }

    /// The next frame, or none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.read.split_at_checked(9) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if let Some((payload, rest)) = rest.split_at_checked(length) {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let frame = Frame { kind: head[3], stream, payload: payload.to_vec() };
                    self.read = rest.to_vec();
                    return Some(frame);
                }
            }
            let more = self.raw.read_some().await;
            if more.is_empty() {
                return None;
            }
            self.read.extend_from_slice(&more);
        }
    }

    /// The next frame of this kind.
    pub async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("the end in place of frame {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }
}
