//! SIGTERM to one of two gateways: every request that had reached it is answered, and every stream is told to come back.
//!
//! The process is held still while requests and the signal arrive, so that it finds all of them at once.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Stream;
use crate::support::people::invite_body;
use crate::support::redis::RedisServer;
use crate::support::{Fleet, Process, SOON, Stage, bearer};

const CONNECTIONS: usize = 20;

/// A connection of HTTP/1.1 on which requests are written as a proxy would.
struct Connection(TcpStream);

impl Connection {
    async fn open(stage: &Stage<Process>) -> Self {
        let address = stage.gateway.http.strip_prefix("http://").expect("an address");
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    async fn invite(&mut self, caller: &str) {
        let (token, body) = (bearer(caller), invite_body("nobody", 30).to_string());
        let head = format!("POST /v1/calls HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n");
        let request = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.0.write_all(request.as_bytes()).await.expect("written");
    }

    /// The head of the next answer; what the system says if there is none.
    async fn answer(&mut self) -> Result<String, String> {
        let mut text = Vec::new();
        let read = async {
            let mut chunk = [0; 4096];
            loop {
                match self.0.read(&mut chunk).await {
                    Ok(0) => return Err("closed without an answer".to_owned()),
                    Err(error) => return Err(error.to_string()),
                    Ok(length) => text.extend_from_slice(&chunk[..length]),
                }
                let so_far = String::from_utf8_lossy(&text).to_lowercase();
                if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
                    let length = head.split_once("content-length: ").expect("a length").1;
                    if body.len() == length.lines().next().expect("a number").parse::<usize>().expect("a number") {
                        return Ok(head.to_owned());
                    }
                }
            }
        };
        timeout(SOON, read).await.expect("an answer in time")
    }
}

/// Lets a gateway that stands still find the signal with all that was sent to it.
fn stop_with_what_waits(gateway: &Process) {
    // On loopback what is written has arrived.
    gateway.terminate();
    gateway.resume();
}

#[tokio::test]
async fn requests_on_new_connections_that_had_reached_it_are_answered() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 1, "").await;
    fleet[0].gateway.pause();
    let mut connections = join_all((0..CONNECTIONS).map(|_| Connection::open(&fleet[0]))).await;
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.invite(&format!("caller-{number}")).await;
    }
    stop_with_what_waits(&fleet[0].gateway);
    let answers = join_all(connections.iter_mut().map(Connection::answer)).await;
    for answer in &answers {
        assert!(answer.as_ref().is_ok_and(|head| head.starts_with("http/1.1 201")), "{answers:?}");
    }
    assert!(fleet[0].gateway.exit().await.success());
}

#[tokio::test]
async fn requests_on_kept_connections_that_had_reached_it_are_answered() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 1, "").await;
    let mut connections = join_all((0..CONNECTIONS).map(|_| Connection::open(&fleet[0]))).await;
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.invite(&format!("caller-{number}")).await;
        connection.answer().await.expect("an answer");
    }
    fleet[0].gateway.pause();
    for (number, connection) in connections.iter_mut().enumerate() {
        connection.invite(&format!("another-{number}")).await;
    }
    stop_with_what_waits(&fleet[0].gateway);
    let answers = join_all(connections.iter_mut().map(Connection::answer)).await;
    for answer in &answers {
        assert!(answer.as_ref().is_ok_and(|head| head.starts_with("http/1.1 201")), "{answers:?}");
    }
    assert!(fleet[0].gateway.exit().await.success());
}

#[tokio::test]
async fn a_kept_connection_is_told_that_it_ends_with_an_answer() {
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 1, "").await;
    let mut connection = Connection::open(&fleet[0]).await;
    connection.invite("alice").await;
    connection.answer().await.expect("an answer");
    fleet[0].gateway.terminate();
    // A proxy that keeps the connection has not heard of it yet.
    sleep(Duration::from_millis(200)).await;
    connection.invite("bob").await;
    let head = connection.answer().await.expect("an answer");
    assert!(head.starts_with("http/1.1 201") && head.contains("connection: close"), "{head}");
    assert!(fleet[0].gateway.exit().await.success());
}

#[tokio::test]
async fn sockets_that_are_opened_at_that_moment_are_told_to_come_back() {
    const SOCKETS: usize = 40;
    let Some(server) = RedisServer::shared().await else { return };
    let mut fleet = Fleet::of_processes(server, 1, "").await;
    fleet[0].gateway.pause();
    let opened = async |n: usize| {
        let socket = Stream::socket(&fleet[0], &format!("user-{n}"), "").await;
        timeout(SOON, socket.end()).await.expect("it ends");
    };
    let stopping = async {
        sleep(Duration::from_millis(200)).await;
        stop_with_what_waits(&fleet[0].gateway);
    };
    tokio::join!(join_all((0..SOCKETS).map(opened)), stopping);
    assert!(fleet[0].gateway.exit().await.success());
}
