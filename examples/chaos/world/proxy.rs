//! The wire between a gateway and Redis, which is cut, stalled, or loses an answer that Redis gave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::dice::Dice;

pub struct Proxy {
    pub address: SocketAddr,
    wire: Arc<Wire>,
    /// Ends with the proxy, and its connections with it.
    _listening: JoinSet<()>,
}

struct Wire {
    open: Mutex<Vec<AbortHandle>>,
    still_until: Mutex<Instant>,
    loses_answer: AtomicBool,
}

impl Proxy {
    /// A wire that ends at `target`, which need not be there all the time.
    pub async fn start(target: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let wire = Arc::new(Wire {
            open: Mutex::default(),
            still_until: Mutex::new(Instant::now()),
            loses_answer: AtomicBool::new(false),
        });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, target, Arc::clone(&wire)));
        Ok(Self { address, wire, _listening: listening })
    }

    /// Cuts one connection, or all; says whether there was any.
    pub fn cut(&self, dice: &mut Dice) -> bool {
        let mut open = locked(&self.wire.open);
        open.retain(|connection| !connection.is_finished());
        let whole = dice.chance(50);
        let chosen = dice.below(open.len());
        for (index, connection) in open.iter().enumerate() {
            if whole || index == chosen {
                connection.abort();
            }
        }
        !open.is_empty()
    }

    /// From now on nothing passes for so long.
    pub fn stall(&self, time: Duration) {
        *locked(&self.wire.still_until) = Instant::now() + time;
    }

    /// The next answer of Redis does not arrive, and its connection is cut.
    pub fn lose_answer(&self) {
        self.wire.loses_answer.store(true, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, target: SocketAddr, wire: Arc<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                let handle = connections.spawn(connect(client, target, Arc::clone(&wire)));
                locked(&wire.open).push(handle);
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, target: SocketAddr, wire: Arc<Wire>) {
    // While Redis is down, the gateway sees its connection closed at once.
    let Ok(redis) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), redis.set_nodelay(true));
    let ((from_client, to_client), (from_redis, to_redis)) = (client.into_split(), redis.into_split());
    // Whichever side ends first, both do.
    tokio::select! {
        () = pass(from_client, to_redis, &wire, false) => {}
        () = pass(from_redis, to_client, &wire, true) => {}
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, wire: &Wire, is_answer: bool) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        let still_until = *locked(&wire.still_until);
        sleep_until(still_until).await;
        if is_answer && wire.loses_answer.swap(false, Ordering::Relaxed) {
            return;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
