//! One person's way to LiveKit, which can be cut: nothing passes any more and nothing ends, as in a tunnel.
//!
//! Signalling goes through a proxy for TCP. In what the server says there, its address for media is replaced by another address of this
//! machine, where a proxy for UDP has the same port. The server must be an ICE lite one: others call the client's addresses themselves,
//! and so past the proxy. Nothing of this needs rights, as rules of a firewall or a network namespace would.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::livekit::LiveKit;

/// The server's address, as it tells clients.
const SERVER: &[u8; 9] = b"127.0.0.1";
/// Where this person finds it instead: of the same length, since it stands in the middle of messages.
const HERE: &[u8; 9] = b"127.0.0.2";
/// More than any packet of WebRTC.
const PACKET: usize = 4096;

/// A person's network; it ends when dropped.
pub struct Network {
    url: String,
    open: watch::Sender<bool>,
    _proxies: JoinSet<()>,
}

impl Network {
    /// One that leads to this server.
    pub async fn to(livekit: &LiveKit) -> Self {
        let open = watch::Sender::new(true);
        let signalling = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let media = UdpSocket::bind(("127.0.0.2", livekit.media_port())).await.expect("the port of media");
        let url = format!("ws://{}", signalling.local_addr().expect("its address"));
        let mut proxies = JoinSet::new();
        proxies.spawn(carry_signalling(signalling, ([127, 0, 0, 1], livekit.port()).into(), open.subscribe()));
        proxies.spawn(carry_media(media, ([127, 0, 0, 1], livekit.media_port()).into(), open.subscribe()));
        Self { url, open, _proxies: proxies }
    }

    /// Where LiveKit is on it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Everything passes again. What waits on a connection comes late; packets are lost.
    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

async fn carry_signalling(listener: TcpListener, server: SocketAddr, open: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry_connection(client, server, open.clone()));
    }
}

/// Carries a connection until either side ends it, or the server cannot be reached.
async fn carry_connection(client: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) -> io::Result<()> {
    wait_until_open(&mut open).await?;
    let (from_server, to_server) = TcpStream::connect(server).await?.into_split();
    let (from_client, to_client) = client.into_split();
    tokio::select! {
        ended = pass(from_client, to_server, open.clone(), |_| {}) => ended,
        ended = pass(from_server, to_client, open, redirect) => ended,
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut open: watch::Receiver<bool>,
    change: fn(&mut [u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        wait_until_open(&mut open).await?;
        if length == 0 {
            return Ok(());
        }
        // The server writes a message at once and it comes at once, so the address is whole.
        change(&mut buffer[..length]);
        to.write_all(&buffer[..length]).await?;
    }
}

async fn wait_until_open(open: &mut watch::Receiver<bool>) -> io::Result<()> {
    open.wait_for(|open| *open).await.map(drop).map_err(io::Error::other)
}

fn redirect(bytes: &mut [u8]) {
    for at in 0..bytes.len().saturating_sub(SERVER.len() - 1) {
        let part = &mut bytes[at..at + SERVER.len()];
        if part == SERVER {
            part.copy_from_slice(HERE);
        }
    }
}

/// Carries packets; the server sees each of the client's ports as one of the proxy.
async fn carry_media(here: UdpSocket, server: SocketAddr, open: watch::Receiver<bool>) {
    let here = Arc::new(here);
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut back = JoinSet::new();
    let mut packet = [0; PACKET];
    loop {
        // An error is of a packet before: the client's port is closed.
        let Ok((length, client)) = here.recv_from(&mut packet).await else { continue };
        if !*open.borrow() {
            continue;
        }
        let way = if let Some(way) = ways.get(&client) {
            way
        } else {
            let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
            way.connect(server).await.expect("an address");
            back.spawn(carry_back(way.clone(), here.clone(), client, open.clone()));
            ways.entry(client).or_insert(way)
        };
        // The server may be down.
        let _ = way.send(&packet[..length]).await;
    }
}

async fn carry_back(way: Arc<UdpSocket>, here: Arc<UdpSocket>, client: SocketAddr, open: watch::Receiver<bool>) {
    let mut packet = [0; PACKET];
    loop {
        // As above.
        let Ok(length) = way.recv(&mut packet).await else { continue };
        if *open.borrow() {
            let _ = here.send_to(&packet[..length], client).await;
        }
    }
}
