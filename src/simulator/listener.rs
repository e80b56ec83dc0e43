//! A port of the simulator: accepts connections, refuses them, or is closed, as the rules have it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::rule::Fault;
use super::{Host, Shared, connection};

/// How late a rule's time may be noticed, and how long a port is waited for that the system does not give.
const PAUSE: Duration = Duration::from_millis(10);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Accepts connections until the task is aborted, which ends them too.
pub(super) async fn listen(mut listener: TcpListener, host: Host, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut changes = shared.rules.watch();
    loop {
        while shared.rules.is_closed(host, shared.clock.now()) {
            listener = match closed(listener, host, &shared).await {
                Ok(listener) => listener,
                Err(_) => return,
            };
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(meet(stream, host, acceptor.clone(), Arc::clone(&shared)));
                }
                // Out of file descriptors, most likely: they come back as connections end.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep(PAUSE), if shared.rules.count() > 0 => {}
        }
    }
}

/// Closes a port, so that the system refuses all connections, for as long as the rules say so.
async fn closed(listener: TcpListener, host: Host, shared: &Shared) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    // Bound, so that no one else gets the port meanwhile, but not listening.
    let mut held = bind(address).ok();
    while shared.rules.is_closed(host, shared.clock.now()) {
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        let bound = match held.take() {
            Some(socket) => Ok(socket),
            None => bind(address),
        };
        if let Ok(listener) = bound.and_then(|socket| socket.listen(BACKLOG)) {
            return Ok(listener);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn meet(mut stream: TcpStream, host: Host, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    match shared.rules.draw_connection(host, &shared.clock, shared.clock.now()) {
        // It has been accepted by now; this is how it ends at once.
        Some(Fault::RefuseConnection) => drop(stream.set_zero_linger()),
        Some(_) => {
            let mut unread = [0; 1024];
            while matches!(stream.read(&mut unread).await, Ok(1..)) {}
        }
        None => connection::serve(stream, host, &acceptor, shared).await,
    }
}
