//! The app's backend as webhooks find it: a server that keeps what it is told, and answers as a test says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode};
use bellwire::domain::Timestamp;
use data_encoding::BASE64;
use futures_util::stream;
use ring::hmac;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::SOON;

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Told {
    pub headers: HeaderMap,
    pub body: String,
    /// The body as JSON.
    pub json: Value,
    pub at: std::time::Instant,
}

/// What a receiver answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status, and nothing else.
    Status(u16),
    /// A status with a header.
    With(u16, &'static str, String),
    /// A status with this body.
    Text(u16, String),
    /// After a while 200 with this body.
    Later(Duration, String),
    /// 200 and a body without an end.
    Endless,
    /// Nothing, ever.
    Never,
}

type Answers = Arc<dyn Fn(usize, &Told) -> Answer + Send + Sync>;

/// A running receiver; it ends when it is dropped.
pub struct Receiver {
    pub url: String,
    told: watch::Receiver<Vec<Told>>,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Told {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// Whether one of its signatures is that of a secret, as Standard Webhooks has it.
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let key = BASE64.decode(secret.strip_prefix("whsec_").expect("a secret").as_bytes()).expect("base64");
        let signed = format!("{}.{}.{}", self.id(), self.header("webhook-timestamp"), self.body);
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        let expected = format!("v1,{}", BASE64.encode(signature.as_ref()));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }

    /// When it says that it was sent.
    pub fn sent_at(&self) -> Timestamp {
        Timestamp::from_millis(self.header("webhook-timestamp").parse::<u64>().expect("a number") * 1000)
    }

    pub fn kind(&self) -> &str {
        self.json["type"].as_str().expect("a type")
    }
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| Answer::Status(204)).await
    }

    /// One that answers the message of each number, from 0, like this.
    pub async fn answering(answer: impl Fn(usize, &Told) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (sender, told) = watch::channel(Vec::new());
        let (sender, answer): (Arc<watch::Sender<Vec<Told>>>, Answers) = (Arc::new(sender), Arc::new(answer));
        let router = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let (sender, answer) = (Arc::clone(&sender), Arc::clone(&answer));
            async move { receive(&sender, &answer, headers, &body).await }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, told, serving }
    }

    /// What has come so far.
    pub fn all(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    /// Waits until so many messages like this one came, and gives them.
    pub async fn wait_for(&self, count: usize, like: impl Fn(&Told) -> bool) -> Vec<Told> {
        self.wait_longer(SOON, count, like).await
    }

    pub async fn wait_longer(&self, how_long: Duration, count: usize, like: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut told = self.told.clone();
        let found = |all: &Vec<Told>| all.iter().filter(|told| like(told)).count() >= count;
        let waited = timeout(how_long, told.wait_for(found)).await.map(|all| all.expect("it goes on").clone());
        let all = waited.unwrap_or_else(|_| panic!("of {count}, there came only {:?}", self.all()));
        all.into_iter().filter(like).collect()
    }

    /// How often each message came, by its id.
    pub fn by_id(&self) -> HashMap<String, usize> {
        let mut by_id = HashMap::new();
        self.all().iter().for_each(|told| *by_id.entry(told.id().to_owned()).or_default() += 1);
        by_id
    }
}

async fn receive(
    sender: &watch::Sender<Vec<Told>>,
    answer: &Answers,
    headers: HeaderMap,
    body: &[u8],
) -> Response<Body> {
    let body = String::from_utf8(body.to_vec()).expect("text");
    let json = serde_json::from_str(&body).expect("JSON");
    let told = Told { headers, body, json, at: std::time::Instant::now() };
    let mut number = 0;
    sender.send_modify(|all| {
        number = all.len();
        all.push(told.clone());
    });
    let of = |status: u16| Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    match answer(number, &told) {
        Answer::Status(status) => of(status).body(Body::empty()),
        Answer::With(status, name, value) => of(status).header(name, value).body(Body::empty()),
        Answer::Text(status, text) => of(status).body(Body::from(text)),
        Answer::Later(pause, text) => {
            tokio::time::sleep(pause).await;
            of(200).body(Body::from(text))
        }
        Answer::Endless => {
            let chunks = stream::repeat_with(|| Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 4096])));
            of(200).body(Body::from_stream(chunks))
        }
        Answer::Never => std::future::pending().await,
    }
    .expect("an answer")
}
