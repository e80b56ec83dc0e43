//! Users and their phones: tokens, registrations, the push that rings, the event stream.

use std::sync::Arc;

use bellwire::simulator::Received;
use futures_util::StreamExt;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::{APP, Http, Reply, SERVICE_KEY, SOON, Stage, USER_SECRET};

/// A user's token of these claims.
pub fn user_token(claims: &Value) -> String {
    bellwire::crypto::install().expect("the JWT provider");
    jsonwebtoken::encode(&Header::default(), claims, &EncodingKey::from_secret(USER_SECRET.as_bytes()))
        .expect("a token")
}

/// A good token of a user, whose display name is their id with a capital.
pub fn bearer(user: &str) -> String {
    let name = user[..1].to_uppercase() + &user[1..];
    // Far in the future, since tests move the clock.
    user_token(&json!({"iss": "tests", "aud": "bellwire", "sub": user, "name": name, "exp": 4_000_000_000_u64}))
}

/// The backend's key.
pub fn service_bearer() -> &'static str {
    SERVICE_KEY
}

/// A phone of a user.
#[derive(Debug, Clone)]
pub struct Device {
    pub user: String,
    pub id: String,
    /// The token that its ring goes to.
    pub ring_token: String,
    /// The token that its other pushes go to.
    pub notice_token: String,
}

impl<G> Stage<G> {
    /// Registers an iPhone.
    pub async fn iphone(&self, user: &str, id: &str) -> Device {
        let (voip, alert) = (hex(user, id, "voip"), hex(user, id, "alert"));
        let body = json!({"platform": "ios", "app": APP, "voip_token": voip, "alert_token": alert});
        self.http.put(&format!("/v1/devices/{id}"), &bearer(user), body).await.expect(200);
        Device { user: user.into(), id: id.into(), ring_token: voip, notice_token: alert }
    }

    /// Registers an Android phone.
    pub async fn pixel(&self, user: &str, id: &str) -> Device {
        let token = format!("fcm-{user}-{id}");
        let body = json!({"platform": "android", "app": APP, "fcm_token": token});
        self.http.put(&format!("/v1/devices/{id}"), &bearer(user), body).await.expect(200);
        Device { user: user.into(), id: id.into(), ring_token: token.clone(), notice_token: token }
    }

    /// `caller` calls `callee` (audio); the answer's body.
    pub async fn invite(&self, caller: &str, callee: &str) -> Value {
        let body = json!({"callee": callee, "media": "audio"});
        self.http.post("/v1/calls", &bearer(caller), body).await.expect(201)
    }

    /// Waits for the push of a type (`ring`, `cancel`, `missed`) to a token about a call.
    pub async fn push(&self, kind: &str, token: &str, call: &Value) -> Arc<Received> {
        let is_it = |received: &Received| {
            let data = push_data(received);
            received.target.as_deref() == Some(token) && data["type"] == kind && data["call_id"] == *call
        };
        let found = self.pushes().wait_for(SOON, is_it).await;
        found.unwrap_or_else(|| panic!("no {kind} push to {token} of {call}: {:?}", self.pushes().all()))
    }

    /// Waits for the ring of a device and gives the ticket in it.
    pub async fn ticket(&self, device: &Device, call: &Value) -> String {
        let push = self.push("ring", &device.ring_token, call).await;
        push_data(&push)["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// Rings on a device by the ticket of its push, and gives the ticket.
    pub async fn ring(&self, device: &Device, call: &Value) -> String {
        let ticket = self.ticket(device, call).await;
        self.http.post(&path(call, "alerting"), &ticket, json!({})).await.expect(200);
        ticket
    }

    /// A device of the callee answers by its ticket; the answer's body.
    pub async fn answer(&self, device: &Device, call: &Value) -> Value {
        let ticket = self.ticket(device, call).await;
        self.http.post(&path(call, "answer"), &ticket, json!({})).await.expect(200)
    }

    /// Opens the event stream (SSE), whose first message, the snapshot, is read.
    pub async fn events(&self, token: &str, query: &str) -> (Sse, Value) {
        let mut stream = Sse::open(&self.http, token, query).await;
        let snapshot = stream.next().await;
        assert_eq!(snapshot["type"], "snapshot", "{snapshot}");
        (stream, snapshot)
    }

    /// `caller` calls `callee` (audio) for so many seconds; the answer, whatever it is.
    pub async fn invite_for(&self, caller: &str, callee: &str, seconds: u64) -> Reply {
        self.http.post("/v1/calls", &bearer(caller), invite_body(callee, seconds)).await
    }

    /// A call as the backend sees it now.
    pub async fn call(&self, call: &Value) -> Value {
        self.http.get(&path(call, ""), service_bearer()).await.expect(200)
    }
}

/// The body of an invite (audio) that rings for so many seconds.
pub fn invite_body(callee: &str, seconds: u64) -> Value {
    json!({"callee": callee, "media": "audio", "ring_seconds": seconds})
}

/// The path of a call, or of a verb of it.
pub fn path(call: &Value, verb: &str) -> String {
    let id = call.as_str().expect("a call id");
    if verb.is_empty() { format!("/v1/calls/{id}") } else { format!("/v1/calls/{id}/{verb}") }
}

/// What a push says: APNs' custom keys or FCM's data.
pub fn push_data(received: &Received) -> &Value {
    if received.body["message"].is_object() { &received.body["message"]["data"] } else { &received.body }
}

fn hex(user: &str, id: &str, kind: &str) -> String {
    data_encoding::HEXLOWER.encode(format!("{user}/{id}/{kind}").as_bytes())
}

/// An open event stream.
pub struct Sse {
    chunks: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    buffer: String,
    /// The last id seen.
    pub last_id: Option<String>,
    /// Whether it was said at the end that it is to come back.
    pub told_to_come_back: bool,
    /// After how long a page comes back by itself, in milliseconds.
    pub comes_back_after: Option<u64>,
}

impl Sse {
    pub async fn open(http: &Http, token: &str, query: &str) -> Self {
        let request = http.request(reqwest::Method::GET, &format!("/v1/events{query}"));
        Self::of(request.bearer_auth(token)).await
    }

    /// The stream that a request opens.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        Self::try_of(request).await.expect("an answer")
    }

    /// As [`of`](Self::of), where the gateway may be gone.
    pub async fn try_of(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let response = request.header("accept", "text/event-stream").send().await?;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let chunks = Box::pin(response.bytes_stream());
        Ok(Self { chunks, buffer: String::new(), last_id: None, told_to_come_back: false, comes_back_after: None })
    }

    /// The next message; panics if none comes soon or the stream ends.
    pub async fn next(&mut self) -> Value {
        self.next_or_end().await.expect("the stream goes on")
    }

    /// The next message, or `None` at the end of the stream.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        tokio::time::timeout(SOON, self.read()).await.expect("a message in time")
    }

    /// Reads until an event of this type of this call comes.
    pub async fn until(&mut self, kind: &str, call: &Value) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind && event["call_id"] == *call {
                return event;
            }
        }
    }

    /// As [`next_or_end`](Self::next_or_end), however long it takes.
    pub async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(id) = field("id:") {
                    self.last_id = Some(id.to_owned());
                }
                if let Some(time) = field("retry:") {
                    self.comes_back_after = Some(time.parse().expect("milliseconds"));
                    self.told_to_come_back |= field("data:").is_none();
                }
                if let Some(data) = field("data:") {
                    return Some(serde_json::from_str(data).expect("JSON"));
                }
            } else {
                let chunk = self.chunks.next().await?.ok()?;
                self.buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
            }
        }
    }
}
