//! Ports for what cannot be told to take any: one that is free for a server, and one on which nobody listens.

use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

/// A port that is free now, below those that the system gives to outgoing connections: none of these will take it while the
/// server is down.
pub fn free_port() -> u16 {
    let listen = |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    loop {
        let given = listen(0).expect("a port").port();
        let port = 10_000 + given % 20_000;
        if listen(port).is_ok() {
            return port;
        }
    }
}

/// A port that refuses connections as long as this value lives: it is held, and nobody listens on it.
pub struct ClosedPort(TcpSocket);

impl ClosedPort {
    pub fn hold() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }
}
