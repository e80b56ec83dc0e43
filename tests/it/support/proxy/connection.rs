//! One connection through the proxy: two ways, each a line of what came and when it is to be passed on.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::requests::Requests;
use super::{Direction, Faults, Moment, Shared};

/// How a request begins with which a client listens to a channel.
const SUBSCRIBE: &[u8] = b"*2\r\n$10\r\nSSUBSCRIBE\r\n";

/// Bytes, and when they are to be passed on.
type Due = (Instant, Vec<u8>);

/// Carries a connection until either side ends it.
pub(super) async fn carry(client: TcpStream, shared: Arc<Shared>) {
    // A server that is down, or a side that breaks off, is the end of the connection and no more.
    let number = shared.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    let (answers_are_lost, listens) = (AtomicBool::new(false), AtomicBool::new(false));
    let _ = Connection { shared: &shared, number, listens, answers_are_lost }.carry(client).await;
}

struct Connection<'a> {
    shared: &'a Shared,
    /// From 1.
    number: u64,
    /// Whether the client listens to channels on it.
    listens: AtomicBool,
    answers_are_lost: AtomicBool,
}

impl Connection<'_> {
    async fn carry(&self, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(self.shared.upstream).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (requests, waiting_requests) = unbounded_channel();
        let (answers, waiting_answers) = unbounded_channel();
        // Each way ends when all that came has been passed on, and the connection with either way.
        let there = async {
            let reading = self.read(Direction::ToServer, from_client, requests);
            tokio::try_join!(reading, self.pass_requests(waiting_requests, to_server))
        };
        let back = async {
            let reading = self.read(Direction::ToClient, from_server, answers);
            tokio::try_join!(reading, self.pass_answers(waiting_answers, to_client))
        };
        tokio::select! {
            ended = there => ended.map(drop),
            ended = back => ended.map(drop),
        }
    }

    async fn read(&self, way: Direction, mut from: OwnedReadHalf, line: UnboundedSender<Due>) -> io::Result<()> {
        let mut requests = Requests::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let due = Instant::now() + self.shared.delay(way);
            let parts = match way {
                Direction::ToServer => requests.take(&buffer[..length]),
                Direction::ToClient => vec![buffer[..length].to_vec()],
            };
            for part in parts {
                // Who passes them on ends with this.
                let _ = line.send((due, part));
            }
        }
    }

    async fn pass_requests(&self, mut line: UnboundedReceiver<Due>, mut to: OwnedWriteHalf) -> io::Result<()> {
        while let Some((due, request)) = line.recv().await {
            self.wait(due).await;
            let cut = self.shared.cut_at(&request);
            if cut == Some(Moment::BeforeRequest) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.answers_are_lost.fetch_or(cut.is_some(), Ordering::Relaxed);
            self.listens.fetch_or(request.starts_with(SUBSCRIBE), Ordering::Relaxed);
            self.shared.count(Direction::ToServer, request.len());
            self.shared.keep(&request);
            to.write_all(&request).await?;
            if cut.is_some() {
                // The server carries out all that it has been sent, and then ends the connection.
                to.shutdown().await?;
                pending::<()>().await;
            }
        }
        Ok(())
    }

    async fn pass_answers(&self, mut line: UnboundedReceiver<Due>, mut to: OwnedWriteHalf) -> io::Result<()> {
        while let Some((due, answer)) = line.recv().await {
            self.wait(due).await;
            let is_lost = self.listens.load(Ordering::Relaxed) && self.shared.loses(&answer);
            if !is_lost && !self.answers_are_lost.load(Ordering::Relaxed) {
                self.shared.count(Direction::ToClient, answer.len());
                to.write_all(&answer).await?;
            }
        }
        Ok(())
    }

    async fn wait(&self, due: Instant) {
        // A timer takes a millisecond even if none is left.
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let flows = |faults: &Faults| {
            let silent = self.number <= faults.silent_up_to && self.listens.load(Ordering::Relaxed);
            !faults.stalled && !silent && self.number > faults.forgotten_up_to
        };
        let flows = self.shared.faults.subscribe().wait_for(flows).await.is_ok();
        assert!(flows, "the faults last as long as the proxy");
    }
}
