//! A proxy for connections to Redis, which makes them slow, silent or broken, and counts what passes.
//!
//! It may stand before TLS too: then all of this but what looks into a request.

mod connection;
mod requests;

use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What has passed since the start, on all connections together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Round trips, one after the other: how often a client sent something after the server did. What the server sends by itself
    /// (a published message) counts as an answer, and so does what others do meanwhile: the fewest of several tries is the truth.
    pub turns: u64,
    /// Requests; with TLS, what came at a time.
    pub requests: u64,
    pub bytes_to_server: usize,
    pub bytes_to_client: usize,
    last: Option<Direction>,
}

/// A running proxy; it and its connections end when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: SocketAddr,
    faults: watch::Sender<Faults>,
    cut: Mutex<Option<Cut>>,
    /// What is in the next notice that is to be lost.
    lost: Mutex<Option<Vec<u8>>>,
    /// Requests as they were passed on, while they are kept.
    tape: Mutex<Option<Vec<Vec<u8>>>>,
    traffic: Mutex<Traffic>,
    /// How many connections there have been.
    accepted: AtomicU64,
    connections: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Faults {
    delay_to_server: Duration,
    delay_to_client: Duration,
    stalled: bool,
    refused: bool,
    /// Of the connections up to this number, those that listen to channels are silent.
    silent_up_to: u64,
    /// The connections up to this number are all silent.
    forgotten_up_to: u64,
}

/// The connection ends at the next request that contains these bytes.
struct Cut {
    pattern: Vec<u8>,
    moment: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    BeforeRequest,
    BeforeReply,
}

impl Proxy {
    /// Starts one before a server on 127.0.0.1.
    pub async fn start(upstream_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let shared = Arc::new(Shared {
            upstream: ([127, 0, 0, 1], upstream_port).into(),
            faults: watch::Sender::default(),
            cut: Mutex::default(),
            lost: Mutex::default(),
            tape: Mutex::default(),
            traffic: Mutex::default(),
            accepted: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let address = listener.local_addr().expect("its address");
        Self { address, accepting: tokio::spawn(accept(listener, shared.clone())), shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that goes this way comes so much later from now on, in its order.
    pub fn delay(&self, direction: Direction, delay: Duration) {
        self.shared.faults.send_modify(|faults| match direction {
            Direction::ToServer => faults.delay_to_server = delay,
            Direction::ToClient => faults.delay_to_client = delay,
        });
    }

    /// Whether nothing passes and nothing ends, as on a network that is gone; what was held back passes afterwards.
    pub fn stall(&self, stalled: bool) {
        self.shared.faults.send_modify(|faults| faults.stalled = stalled);
    }

    /// On the connections that are open nothing passes any more and nothing ends, as behind a firewall that has forgotten them.
    pub fn forget(&self) {
        let accepted = self.shared.accepted.load(Ordering::SeqCst);
        self.shared.faults.send_modify(|faults| faults.forgotten_up_to = accepted);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refused: bool) {
        self.shared.faults.send_modify(|faults| faults.refused = refused);
    }

    /// Ends all connections, and returns when they have ended.
    pub async fn cut(&self) {
        let mut connections = mem::take(&mut *self.shared.connections.lock().expect("no panic"));
        connections.shutdown().await;
    }

    /// The next request that contains these bytes does not reach the server: its connection ends first.
    pub fn cut_before_request(&self, pattern: &[u8]) {
        self.cut_at(pattern, Moment::BeforeRequest);
    }

    /// The server carries out the next request that contains these bytes, and its answer is lost with the connection.
    pub fn cut_before_reply(&self, pattern: &[u8]) {
        self.cut_at(pattern, Moment::BeforeReply);
    }

    fn cut_at(&self, pattern: &[u8], moment: Moment) {
        *self.shared.cut.lock().expect("no panic") = Some(Cut { pattern: pattern.to_vec(), moment });
    }

    /// Whether no request has had the bytes yet that a connection is to be cut at.
    pub fn awaits_cut(&self) -> bool {
        self.shared.cut.lock().expect("no panic").is_some()
    }

    /// Nothing passes any more on the connections that listen to channels now, and nothing ends them.
    pub fn silence_listeners(&self) {
        let accepted = self.shared.accepted.load(Ordering::SeqCst);
        self.shared.faults.send_modify(|faults| faults.silent_up_to = accepted);
    }

    /// The next thing that contains these bytes and that the server says to those who listen to channels is lost, alone.
    pub fn lose_notice(&self, pattern: &[u8]) {
        *self.shared.lost.lock().expect("no panic") = Some(pattern.to_vec());
    }

    /// Whether no notice has had the bytes yet.
    pub fn awaits_notice(&self) -> bool {
        self.shared.lost.lock().expect("no panic").is_some()
    }

    /// Begins to keep requests.
    pub fn record(&self) {
        *self.shared.tape.lock().expect("no panic") = Some(Vec::new());
    }

    /// Ends it, and gives the requests that were passed on meanwhile.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.shared.tape.lock().expect("no panic").take().expect("it was recorded")
    }

    /// What has passed.
    pub fn traffic(&self) -> Traffic {
        *self.shared.traffic.lock().expect("no panic")
    }

    /// [`Traffic::turns`] until now.
    pub fn turns(&self) -> u64 {
        self.traffic().turns
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.connections.lock().expect("no panic").abort_all();
    }
}

impl Shared {
    fn delay(&self, direction: Direction) -> Duration {
        let faults = self.faults.borrow();
        match direction {
            Direction::ToServer => faults.delay_to_server,
            Direction::ToClient => faults.delay_to_client,
        }
    }

    /// When the connection is to be cut, if it is at this request. It is so once.
    fn cut_at(&self, request: &[u8]) -> Option<Moment> {
        let mut cut = self.cut.lock().expect("no panic");
        let matched = cut.take_if(|cut| request.windows(cut.pattern.len()).any(|part| part == cut.pattern));
        matched.map(|cut| cut.moment)
    }

    /// Whether this notice is the one to be lost. It is so once.
    fn loses(&self, notice: &[u8]) -> bool {
        let mut lost = self.lost.lock().expect("no panic");
        let lost = lost.take_if(|pattern| notice.windows(pattern.len()).any(|part| part == pattern)).is_some();
        assert!(!lost || (notice.starts_with(b">") && notice.ends_with(b"\r\n")), "a piece of an answer would be lost");
        lost
    }

    fn keep(&self, request: &[u8]) {
        if let Some(tape) = self.tape.lock().expect("no panic").as_mut() {
            tape.push(request.to_vec());
        }
    }

    fn count(&self, direction: Direction, bytes: usize) {
        let mut traffic = self.traffic.lock().expect("no panic");
        match direction {
            Direction::ToServer => {
                traffic.turns += u64::from(traffic.last != Some(direction));
                traffic.requests += 1;
                traffic.bytes_to_server += bytes;
            }
            Direction::ToClient => traffic.bytes_to_client += bytes,
        }
        traffic.last = Some(direction);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if !shared.faults.borrow().refused {
            let connection = connection::carry(client, shared.clone());
            shared.connections.lock().expect("no panic").spawn(connection);
        }
    }
}
