//! `WebSockets` that are opened wrongly, or on which nonsense is sent; and how many streams a user may have.

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::world::World;
use crate::support::{Http, SOON, Stage, bearer};

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(stage: &Stage, protocols: &str) -> Result<Socket, Error> {
    let url = format!("{}/v1/events", stage.http.base().replace("http://", "ws://"));
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", protocols.parse().expect("a value"));
    connect_async(request).await.map(|(socket, _)| socket)
}

/// Opens one as soon as the user has a stream left, and reads the snapshot.
pub async fn open_as(stage: &Stage, user: &str) -> Socket {
    let protocols = format!("bellwire.v1, bearer.{}", bearer(user));
    let opened = async {
        loop {
            match open(stage, &protocols).await {
                Ok(socket) => return socket,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut socket = tokio::time::timeout(SOON, opened).await.expect("the stream before it is free again");
    assert!(next(&mut socket).await.expect("a message").into_text().expect("text").contains("snapshot"));
    socket
}

/// The next message, or none at the end.
pub async fn next(socket: &mut Socket) -> Option<Message> {
    tokio::time::timeout(SOON, socket.next()).await.expect("an answer in time").and_then(Result::ok)
}

#[tokio::test]
async fn a_socket_needs_a_good_token_to_open() {
    let world = World::new().await;
    for (protocols, code) in [
        ("bellwire.v1".to_owned(), "token-missing"),
        ("bellwire.v1, bearer.".to_owned(), "token-missing"),
        ("bellwire.v1, bearer.x".to_owned(), "token-malformed"),
        (format!("bellwire.v1, bearer.{}x", bearer("bob")), "token-bad-signature"),
        (format!("bellwire.v1, {}", bearer("bob")), "token-missing"),
    ] {
        match open(&world.stage, &protocols).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), 401);
                let body = response.into_body().unwrap_or_default();
                let problem: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
                assert_eq!(problem["code"], code);
            }
            other => panic!("{protocols:.30}: {:?}", other.map(|_| "opened")),
        }
    }
    let upgrade = |headers: &[(&str, &str)]| {
        let request = world.stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("bob"));
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let upgrading = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "12")];
    let reply = Http::send(upgrade(&upgrading)).await;
    world.expect_code(&reply, "an old version and no key", &["not-acceptable"]);
}

#[tokio::test]
async fn nonsense_on_a_socket_ends_at_most_that_socket() {
    let world = World::with("[limits]\nevent_streams_per_user = 1").await;
    let before = world.state().await;
    let large = Message::Binary(vec![0xff; 5000].into());
    let huge = Message::Text("x".repeat(1 << 20).into());
    let fragmented = Message::Frame(tungstenite::protocol::frame::Frame::message(
        vec![b'x'; 3000],
        tungstenite::protocol::frame::coding::OpCode::Data(tungstenite::protocol::frame::coding::Data::Text),
        false,
    ));
    let bad_utf8 = Message::Frame(tungstenite::protocol::frame::Frame::message(
        vec![0xff, 0xfe],
        tungstenite::protocol::frame::coding::OpCode::Data(tungstenite::protocol::frame::coding::Data::Text),
        true,
    ));
    for message in [large, huge, fragmented.clone(), bad_utf8] {
        let mut socket = open_as(&world.stage, "bob").await;
        // Two of them: what the first one begins, the second may not go on with.
        let _ = socket.send(message.clone()).await;
        let _ = socket.send(message).await;
        while let Some(message) = next(&mut socket).await {
            assert!(!message.is_text(), "{message}");
        }
    }
    let mut socket = open_as(&world.stage, "bob").await;
    for garbage in
        [Message::Binary(vec![0; 4096].into()), Message::Text("{\"type\":\"answer\"}".into()), Message::Text("".into())]
    {
        socket.send(garbage).await.expect("sent");
    }
    socket.send(Message::Ping(b"still there?".to_vec().into())).await.expect("sent");
    assert_eq!(next(&mut socket).await, Some(Message::Pong(b"still there?".to_vec().into())));
    drop(socket);
    assert_eq!(world.state().await, before);
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_not_one_more() {
    let world = World::with("[limits]\nevent_streams_per_user = 3").await;
    let ask = || {
        let events = world.stage.http.request(Method::GET, "/v1/events").bearer_auth(bearer("bob"));
        events.header("accept", "text/event-stream").send()
    };
    let answers = futures_util::future::join_all((0..30).map(|_| ask())).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for answer in answers {
        let answer = answer.expect("an answer");
        match answer.status().as_u16() {
            200 => open.push(answer),
            429 => {
                assert_eq!(answer.headers()["retry-after"], "5");
                assert!(answer.text().await.expect("text").contains("too-many-streams"));
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((open.len(), refused), (3, 27));
    // Another user's are their own.
    let (_alice, _) = world.stage.events(&bearer("alice"), "").await;
}
