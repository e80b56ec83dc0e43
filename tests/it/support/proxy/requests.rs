//! Cuts what a client of Redis sends into whole requests, so that a fault falls between two of them or on one.
//!
//! A request is an array of strings: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

/// What one client has sent and is not passed on yet.
#[derive(Default)]
pub(super) struct Requests {
    held: Vec<u8>,
    /// Whether the client speaks something else, TLS for one.
    opaque: bool,
}

impl Requests {
    /// Takes what came, and gives the requests that are whole by now; of something else, what came.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.opaque |= self.held.is_empty() && !bytes.starts_with(b"*");
        if self.opaque {
            return vec![bytes.to_vec()];
        }
        self.held.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(length) = first_request(&self.held) {
            whole.push(self.held.drain(..length).collect());
        }
        whole
    }
}

/// The length of the request that stands first, once it is whole.
fn first_request(bytes: &[u8]) -> Option<usize> {
    let (words, mut at) = number(bytes, 0)?;
    for _ in 0..words {
        let (length, begin) = number(bytes, at)?;
        at = begin + length + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The number in a line such as `*3` or `$12`, and where the next line begins.
fn number(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?;
    let end = line.windows(2).position(|two| two == b"\r\n")?;
    let digits = std::str::from_utf8(&line[1..end]).ok()?;
    Some((digits.parse().ok()?, at + end + 2))
}
