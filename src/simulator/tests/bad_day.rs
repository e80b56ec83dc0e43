//! Faults of connections, of credentials and of certain times, as a client meets them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use super::{Ask, Client, DEVICE, Reply, access_token, es256, handshake, start};
use crate::clock::Clock;
use crate::domain::Environment;
use crate::simulator::{Provider, Rule, Simulator};

const SOON: Duration = Duration::from_secs(10);

fn rule(simulator: &Simulator, text: &str) {
    simulator.add_rule(text.parse().expect(text));
}

/// A push on a connection of its own.
async fn push(simulator: &Simulator, clock: &Clock) -> Reply {
    Client::to_apns(simulator).await.get(Ask::voip(simulator, clock)).await
}

fn again(ask: &Ask) -> Ask {
    Ask { method: ask.method.clone(), path: ask.path.clone(), headers: ask.headers.clone(), body: ask.body.clone() }
}

#[tokio::test]
async fn a_port_is_closed_for_a_while_and_then_open_again() {
    let (simulator, clock) = start(&[]).await;
    let before = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    assert_eq!(before.get(again(&ask)).await.status, 200);
    rule(&simulator, "apns-production refuse-connection");
    let url = simulator.apns_url(Environment::Production);
    let address = url.trim_start_matches("https://");
    let refused = async {
        loop {
            match TcpStream::connect(address).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
                // The order has not reached the port yet.
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("closed");
    assert_eq!(before.get(again(&ask)).await.status, 200, "open connections stay");
    let sandbox = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    assert_eq!(sandbox.get(again(&ask)).await.status, 200, "the other port stays");
    simulator.clear_rules();
    let open = async { while TcpStream::connect(address).await.is_err() {} };
    tokio::time::timeout(SOON, open).await.expect("open");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn a_connection_is_refused_as_often_as_said() {
    let (simulator, clock) = start(&["fcm refuse-connection times 1", "apns refuse-connection times 2"]).await;
    let url = simulator.apns_url(Environment::Production);
    for _ in 0..2 {
        let error = handshake(&simulator, &url, &[b"h2"]).await.expect_err("refused");
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe));
    }
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn a_handshake_may_never_be_answered() {
    let (simulator, clock) = start(&["apns no-handshake times 1"]).await;
    let url = simulator.apns_url(Environment::Production);
    let waiting = tokio::time::timeout(Duration::from_millis(300), handshake(&simulator, &url, &[b"h2"])).await;
    assert!(waiting.is_err(), "neither finished nor refused");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn one_stream_is_allowed_until_the_first_authenticated_answer() {
    let (simulator, clock) =
        start(&["apns streams 1 until-authenticated", "apns delay 300ms kind slow", "apns delay 300ms times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    // Answers without a good token raise nothing.
    let mut stranger = again(&ask);
    stranger.headers.remove("authorization");
    assert_eq!(client.get(stranger).await.body["reason"], "MissingProviderToken");
    assert_eq!(client.requests.current_max_send_streams(), 1);
    let started = Instant::now();
    let (first, second) = tokio::join!(client.get(again(&ask)), client.get(again(&ask)));
    assert_eq!((first.status, second.status), (200, 200));
    let records = simulator.log().all();
    assert!(records[2].at.since(records[1].at) >= Duration::from_millis(290), "the second waited for the first answer");
    assert!(started.elapsed() < SOON);
    let raised = async {
        while client.requests.current_max_send_streams() == 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, raised).await.expect("raised");
    assert_eq!(client.requests.current_max_send_streams(), 1000);
    let slow = || Ask { body: json!({"type": "slow"}).to_string().into(), ..again(&ask) };
    let all = futures_util::future::join_all((0..20).map(|_| client.get(slow()))).await;
    assert!(all.iter().all(|reply| reply.status == 200));
    let records = simulator.log().all();
    assert!(records[22].at.since(records[3].at) < Duration::from_secs(3), "not one after the other");
}

#[tokio::test]
async fn who_knows_the_limit_and_exceeds_it_is_refused() {
    let (simulator, clock) = start(&["apns streams 1 until-authenticated", "apns delay 300ms"]).await;
    let mut io = raw::Raw::connect(&simulator).await;
    let headers = raw::headers(&Ask::voip(&simulator, &clock));
    io.greet().await;
    io.answer_ping().await;
    io.ask(1, &headers).await;
    io.ask(3, &headers).await;
    // RST_STREAM of the second, REFUSED_STREAM.
    let reset = io.frame(3).await;
    assert_eq!((reset.stream, reset.payload), (3, vec![0, 0, 0, 7]));
    let answer = io.frame(1).await;
    assert_eq!(answer.stream, 1, "the first is answered");
}

#[tokio::test]
async fn a_connection_may_allow_few_streams() {
    let (simulator, clock) = start(&["apns streams 3", "apns delay 100ms"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let all = futures_util::future::join_all((0..9).map(|_| client.get(again(&ask)))).await;
    assert!(all.iter().all(|reply| reply.status == 200));
    assert_eq!(client.requests.current_max_send_streams(), 3);
}

#[tokio::test]
async fn a_goaway_says_why() {
    let (simulator, clock) = start(&["apns goaway Shutdown times 1"]).await;
    let mut io = raw::Raw::connect(&simulator).await;
    io.greet().await;
    io.ask(1, &raw::headers(&Ask::voip(&simulator, &clock))).await;
    let goaway = io.frame(7).await;
    assert!(goaway.payload.ends_with(br#"{"reason":"Shutdown"}"#), "{:?}", goaway.payload);
    assert_eq!(simulator.log().all()[0].reason.as_deref(), Some("goaway Shutdown"));
}

#[tokio::test]
async fn a_goaway_before_a_request_says_that_it_was_not_looked_at() {
    let (simulator, clock) = start(&["apns goaway-before for ff times 1", "apns delay 5s for ee"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let to = |token: &str| Ask { path: format!("/3/device/{token}"), ..again(&ask) };
    assert_eq!(client.get(again(&ask)).await.status, 200);
    let (earlier, error) = tokio::join!(client.ask(to("ee")), client.ask(to("ff")));
    let error = error.err().expect("not answered");
    assert!(error.is_go_away() && error.is_remote(), "{error:?}");
    assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    let earlier = earlier.err().expect("not answered either");
    assert!(!earlier.is_go_away(), "it may have been looked at: {earlier:?}");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn streams_are_reset_and_connections_closed() {
    let (simulator, clock) = start(&["apns reset-stream times 1", "apns close times 1"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let error = client.ask(again(&ask)).await.err().expect("reset");
    assert_eq!((error.is_reset(), error.reason()), (true, Some(h2::Reason::INTERNAL_ERROR)));
    let error = client.ask(again(&ask)).await.err().expect("closed");
    assert!(!error.is_reset() && !error.is_go_away(), "{error:?}");
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let reasons: Vec<_> =
        simulator.log().all().iter().map(|received| (received.status, received.reason.clone())).collect();
    assert_eq!(reasons, [(0, Some("reset-stream".to_owned())), (0, Some("close".to_owned())), (200, None)]);
}

#[tokio::test]
async fn a_connection_that_causes_too_many_errors_is_ended() {
    let (simulator, clock) = start(&["apns errors 2"]).await;
    simulator.unregister("ee", clock.now());
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let to = |token: &str| Ask { path: format!("/3/device/{token}"), ..again(&ask) };
    let mut statuses = Vec::new();
    for token in ["zz", "ee", "ee", "ff", "zz"] {
        statuses.push(client.get(to(token)).await.status);
    }
    assert_eq!(statuses, [400, 410, 410, 200, 400], "tokens that are gone do not count");
    let Client { requests, connection, .. } = client;
    drop(requests);
    let ended = tokio::time::timeout(SOON, connection).await.expect("ended").expect("not panicked");
    ended.expect("in order");
    assert_eq!(push(&simulator, &clock).await.status, 200);
}

#[tokio::test]
async fn delays_are_spread() {
    let (simulator, clock) = start(&["apns delay 1ms..400ms"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    assert_eq!(client.get(again(&ask)).await.status, 200);
    let waits = (0..50).map(|_| async {
        let started = Instant::now();
        assert_eq!(client.get(again(&ask)).await.status, 200);
        started.elapsed()
    });
    let waits = futures_util::future::join_all(waits).await;
    let (least, most) = (waits.iter().min().expect("one"), waits.iter().max().expect("one"));
    assert!(most.saturating_sub(*least) > Duration::from_millis(100), "{least:?} to {most:?}");
}

#[tokio::test]
async fn a_rule_has_its_time() {
    let (simulator, clock) = start(&["apns 503 from 10s until 20s"]).await;
    let client = Client::to_apns(&simulator).await;
    let ask = Ask::voip(&simulator, &clock);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get(again(&ask)).await.status);
        clock.advance(Duration::from_secs(10));
    }
    assert_eq!(statuses, [200, 503, 200]);
}

#[tokio::test]
async fn a_rule_is_for_an_app_a_kind_or_a_call() {
    let rules = ["apns 500 app com.example.tablet", "apns 503 kind cancel", "apns 429 call c2", "apns 502 kind alert"];
    let (simulator, clock) = start(&[rules[0], rules[1], rules[2], rules[3], "fcm 503 app com.example call f1"]).await;
    let client = Client::to_apns(&simulator).await;
    let good = Ask::voip(&simulator, &clock);
    let mut alert = again(&good);
    alert.set("apns-push-type", "alert");
    alert.set("apns-topic", "com.example.phone");
    let mut tablet = again(&good);
    tablet.set("apns-topic", "com.example.tablet.voip");
    let body = |body: serde_json::Value| Ask { body: body.to_string().into(), ..again(&good) };
    for (ask, status) in [
        (again(&good), 200),
        (tablet, 500),
        (body(json!({"type": "cancel", "call_id": "c1"})), 503),
        (body(json!({"type": "ring", "call_id": "c2"})), 429),
        (body(json!({"uuid": "c2"})), 429),
        (alert, 502),
    ] {
        assert_eq!(client.get(ask).await.status, status);
    }
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    for (package, call, status) in [("com.example", "f1", 503), ("com.example", "f2", 200), ("com.other", "f1", 200)] {
        let android = json!({"restricted_package_name": package});
        let message = json!({"token": "t", "data": {"call_id": call}, "android": android});
        assert_eq!(client.get(Ask::fcm(&simulator, &token, &message)).await.status, status, "{package} {call}");
    }
}

#[tokio::test]
async fn rules_of_a_file_give_way_to_those_of_its_next_version() {
    let (simulator, clock) = start(&["fcm 503"]).await;
    let rules = |text: &str| Rule::parse_file(text).expect(text);
    simulator.replace_file_rules(rules("[[rule]]\nline = \"apns 503\"\n"));
    assert_eq!(push(&simulator, &clock).await.status, 503);
    simulator.replace_file_rules(rules("[[rule]]\nline = \"apns 429\"\n"));
    assert_eq!(push(&simulator, &clock).await.status, 429);
    simulator.replace_file_rules(Vec::new());
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let google = Client::to_google(&simulator).await;
    let token = access_token(&google, &simulator, &clock).await;
    assert_eq!(google.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 503, "not of the file");
}

/// A push with a token by this key.
fn signed(simulator: &Simulator, clock: &Clock, id: &str, pem: &str) -> Ask {
    let team = &simulator.credentials().apns_team_id;
    let token = es256(&json!({"alg": "ES256", "kid": id}), &json!({"iss": team, "iat": clock.now().as_secs()}), pem);
    let mut ask = Ask::voip(simulator, clock);
    ask.set("authorization", &format!("bearer {token}"));
    ask
}

#[tokio::test]
async fn the_set_of_keys_changes_at_a_moment() {
    let (simulator, clock) = start(&[]).await;
    let credentials = simulator.credentials();
    let old = signed(&simulator, &clock, &credentials.apns_key_id, &credentials.apns_key_pem);
    let pem = simulator.add_apns_key("NEWKEY0001", None).expect("a key");
    let change = clock.now() + Duration::from_mins(5);
    assert!(simulator.limit_apns_key("NEWKEY0001", Some(change), None));
    assert!(simulator.limit_apns_key(&credentials.apns_key_id, None, Some(change)));
    assert!(!simulator.limit_apns_key("NOSUCHKEY0", None, None));
    let new = signed(&simulator, &clock, "NEWKEY0001", &pem);
    let connection = Client::to_apns(&simulator).await;
    let invalid = json!({"reason": "InvalidProviderToken"});
    assert_eq!(Client::to_apns(&simulator).await.get(again(&new)).await.body, invalid);
    assert_eq!(connection.get(again(&old)).await.status, 200);
    clock.advance(Duration::from_mins(5));
    assert_eq!(connection.get(again(&old)).await.body, invalid, "also where it was good before");
    let reply = connection.get(again(&new)).await;
    assert_eq!((reply.status, reply.body), (403, json!({"reason": "UnrelatedKeyIdInToken"})), "an old connection");
    assert_eq!(Client::to_apns(&simulator).await.get(again(&new)).await.status, 200);
}

#[tokio::test]
async fn a_key_may_be_for_one_host() {
    let (simulator, clock) = start(&[]).await;
    let pem = simulator.add_apns_key("SANDBOXKEY", Some(Environment::Sandbox)).expect("a key");
    let ask = signed(&simulator, &clock, "SANDBOXKEY", &pem);
    let reply = Client::to_apns(&simulator).await.get(again(&ask)).await;
    assert_eq!((reply.status, reply.body), (403, json!({"reason": "BadEnvironmentKeyIdInToken"})));
    let sandbox = Client::to(&simulator, simulator.apns_url(Environment::Sandbox)).await;
    assert_eq!(sandbox.get(ask).await.status, 200);
}

#[tokio::test]
async fn access_tokens_are_revoked_and_given_out_anew() {
    let (simulator, clock) = start(&[]).await;
    let client = Client::to_google(&simulator).await;
    let token = access_token(&client, &simulator, &clock).await;
    simulator.revoke_access_tokens();
    assert_eq!(client.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 401);
    let token = access_token(&client, &simulator, &clock).await;
    assert_eq!(client.get(Ask::fcm(&simulator, &token, &json!({"token": "t"}))).await.status, 200);
}

#[tokio::test]
async fn a_reset_starts_anew() {
    let (simulator, clock) = start(&["apns 503"]).await;
    simulator.unregister(DEVICE, clock.now());
    push(&simulator, &clock).await;
    simulator.reset();
    assert_eq!((simulator.log().all().len(), simulator.log().counts()), (0, Vec::new()));
    assert_eq!(push(&simulator, &clock).await.status, 200);
    let counts = simulator.log().counts();
    assert_eq!((counts.len(), counts[0].provider, counts[0].count), (1, Provider::Apns, 1));
}

/// A client that speaks frames, since none that speaks HTTP shows them.
mod raw {
    use http::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_rustls::client::TlsStream;

    use super::super::{Ask, handshake};
    use crate::domain::Environment;
    use crate::simulator::Simulator;

    pub(super) struct Raw(TlsStream<TcpStream>);

    pub(super) struct Frame {
        kind: u8,
        flags: u8,
        pub(super) stream: u32,
        pub(super) payload: Vec<u8>,
    }

    impl Raw {
        pub(super) async fn connect(simulator: &Simulator) -> Self {
            let url = simulator.apns_url(Environment::Production);
            Self(handshake(simulator, &url, &[b"h2"]).await.expect("TLS"))
        }

        /// Exchanges settings.
        pub(super) async fn greet(&mut self) {
            self.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
            self.send(4, 0, 0, &[]).await;
            self.frame(4).await;
            self.send(4, 1, 0, &[]).await;
        }

        /// Answers the ping by which the simulator knows that its settings were read.
        pub(super) async fn answer_ping(&mut self) {
            let ping = self.frame(6).await;
            self.send(6, 1, 0, &ping.payload).await;
        }

        /// Sends a push whose body is an empty object.
        pub(super) async fn ask(&mut self, stream: u32, headers: &[u8]) {
            self.send(1, 4, stream, headers).await;
            self.send(0, 1, stream, b"{}").await;
        }

        async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
            let [.., high, middle, low] = payload.len().to_be_bytes();
            let head = [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..]].concat();
            self.0.write_all(&[&head, payload].concat()).await.expect("written");
            self.0.flush().await.expect("written");
        }

        /// The next frame of a kind that is no acknowledgement.
        pub(super) async fn frame(&mut self, kind: u8) -> Frame {
            loop {
                let frame = self.any_frame().await;
                if frame.kind == kind && !(matches!(kind, 4 | 6) && frame.flags & 1 == 1) {
                    return frame;
                }
            }
        }

        async fn any_frame(&mut self) -> Frame {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.expect("a frame");
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            self.0.read_exact(&mut payload).await.expect("a frame");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Frame { kind: head[3], flags: head[4], stream, payload }
        }
    }

    /// The headers of a push as HPACK has them without any table or compression (RFC 7541, 6.2.2).
    pub(super) fn headers(ask: &Ask) -> Vec<u8> {
        let request = Request::post(&ask.path).body(()).expect("a request");
        let pseudo =
            [(":method", "POST"), (":scheme", "https"), (":authority", "127.0.0.1"), (":path", request.uri().path())];
        let own = ask.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
        let mut block = Vec::new();
        for (name, value) in pseudo.into_iter().chain(own) {
            block.push(0);
            for text in [name, value] {
                length(text.len(), &mut block);
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    /// A number with a prefix of seven bits (RFC 7541, 5.1).
    fn length(number: usize, block: &mut Vec<u8>) {
        let Some(mut rest) = number.checked_sub(127) else { return block.push(u8::try_from(number).expect("small")) };
        block.push(127);
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).expect("small") | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("small"));
    }
}
