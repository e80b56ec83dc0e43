//! A LiveKit on the wire that does as it is told: rooms and people in them, webhooks, and bad days.
//!
//! It speaks Twirp's JSON as `livekit-server` 1.13.5 was seen to, checks tokens and grants as strictly, and keeps what it was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bellwire::clock::Clock;
use bellwire::crypto::{Compact, VerifyingKey};
use data_encoding::BASE64;
use jsonwebtoken::{EncodingKey, Header};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::livekit::{API_KEY, API_SECRET, section};
use super::{SOON, Stage};

/// What a method does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and no Twirp error.
    Status(u16),
    /// Does its work once it is healed, and answers then.
    Hang,
}

/// A room and who is in it, by identity.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Which of all rooms that were made.
    number: u32,
    pub participants: BTreeMap<String, Value>,
    /// In seconds since 1970.
    pub made_at: u64,
    /// The limits that it was made with.
    pub made_with: Value,
}

/// What it was asked to do: the method, and the body.
pub type Asked = (String, Value);

#[derive(Default)]
struct World {
    rooms: BTreeMap<String, Room>,
    faults: HashMap<String, Fault>,
    asked: Vec<Asked>,
    sessions: u32,
    rooms_made: u32,
}

struct Inner {
    world: Mutex<World>,
    changed: Notify,
    healed: watch::Sender<u64>,
    clock: Clock,
}

/// The fake, which stops listening with this value.
pub struct FakeLiveKit {
    inner: Arc<Inner>,
    address: std::net::SocketAddr,
    serving: Mutex<Option<AbortHandle>>,
}

impl Drop for FakeLiveKit {
    fn drop(&mut self) {
        self.stop();
    }
}

impl FakeLiveKit {
    pub async fn start(clock: &Clock) -> Self {
        bellwire::crypto::install().expect("the JWT provider");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let inner = Inner {
            world: Mutex::default(),
            changed: Notify::new(),
            healed: watch::Sender::new(0),
            clock: clock.clone(),
        };
        let fake = Self { inner: Arc::new(inner), address, serving: Mutex::default() };
        fake.serve(listener);
        fake
    }

    fn serve(&self, listener: tokio::net::TcpListener) {
        let router = Router::new().route("/twirp/livekit.RoomService/{method}", post(answer));
        let router = router.with_state(Arc::clone(&self.inner));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        *self.serving.lock().expect("no panic") = Some(serving.abort_handle());
    }

    /// From now on nobody listens.
    pub fn stop(&self) {
        if let Some(serving) = self.serving.lock().expect("no panic").take() {
            serving.abort();
        }
    }

    /// The lines of `[livekit]` for it.
    pub fn section(&self) -> String {
        section(&format!("ws://{}", self.address))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().expect("no panic")
    }

    /// From now on a method has a fault.
    pub fn break_method(&self, method: &str, fault: Fault) {
        self.world().faults.insert(method.to_owned(), fault);
    }

    /// No method has a fault any more; those that hang go on.
    pub fn heal(&self) {
        self.world().faults.clear();
        self.inner.healed.send_modify(|times| *times += 1);
    }

    /// Somebody comes into a room, and replaces who is there by that name; their session. No webhook tells.
    pub fn join(&self, room: &str, identity: &str) -> String {
        self.join_as(room, identity, "STANDARD")
    }

    /// Somebody is in a room whose media has not come up, as where a network lets no packet through; their session.
    pub fn join_without_media(&self, room: &str, identity: &str) -> String {
        let sid = self.join(room, identity);
        let mut world = self.world();
        let participant = world.rooms.get_mut(room).and_then(|room| room.participants.get_mut(identity));
        participant.expect("they joined")["state"] = json!("JOINED");
        sid
    }

    /// As [`join`](Self::join), for one of another kind.
    pub fn join_as(&self, room: &str, identity: &str, kind: &str) -> String {
        let mut world = self.world();
        world.sessions += 1;
        let sid = format!("PA_{}", world.sessions);
        let participant = json!({"sid": sid, "identity": identity, "state": "ACTIVE", "kind": kind, "name": ""});
        world.room(room).participants.insert(identity.to_owned(), participant);
        sid
    }

    /// Somebody is gone.
    pub fn leave(&self, room: &str, identity: &str) {
        self.world().rooms.get_mut(room).and_then(|room| room.participants.remove(identity)).expect("they were there");
    }

    /// A room that was made this long ago.
    pub fn put_room(&self, name: &str, age: Duration) {
        let made_at = (self.inner.clock.now() - age).as_secs();
        self.world().room(name).made_at = made_at;
    }

    /// Everything is gone, as after a restart.
    pub fn forget_rooms(&self) {
        self.world().rooms.clear();
    }

    pub fn rooms(&self) -> Vec<String> {
        self.world().rooms.keys().cloned().collect()
    }

    pub fn room(&self, name: &str) -> Option<Room> {
        self.world().rooms.get(name).cloned()
    }

    /// What it was asked so far, but for lists of all rooms.
    pub fn asked(&self) -> Vec<Asked> {
        self.world().asked.iter().filter(|(method, _)| method != "ListRooms").cloned().collect()
    }

    /// How often a method was called so far.
    pub fn times(&self, method: &str) -> usize {
        self.world().asked.iter().filter(|(asked, _)| asked == method).count()
    }

    /// Waits until this is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let wait = async {
            loop {
                let changed = self.inner.changed.notified();
                if is_so(self) {
                    return;
                }
                // Also what no call tells.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        };
        let asked = || format!("{:?}, rooms {:?}", self.asked(), self.rooms());
        tokio::time::timeout(2 * SOON, wait).await.unwrap_or_else(|_| panic!("never {what}: {}", asked()));
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(headers["content-type"], "application/json");
    let mut healed = inner.healed.subscribe();
    let fault = {
        let mut world = inner.world.lock().expect("no panic");
        world.asked.push((method.clone(), body.clone()));
        world.faults.get(&method).copied()
    };
    inner.changed.notify_waiters();
    match fault {
        Some(Fault::Status(status)) => {
            return (StatusCode::from_u16(status).expect("a status"), "<html>a bad day</html>").into_response();
        }
        // A task of its own: the work is done although whoever asked has given up.
        Some(Fault::Hang) => _ = healed.changed().await,
        None => {}
    }
    let answer = match refusal(&inner, &method, &headers, &body) {
        Some(why) => error(401, "unauthenticated", why),
        None => inner.world.lock().expect("no panic").work(&method, &body, inner.clock.now().as_secs()),
    };
    inner.changed.notify_waiters();
    answer
}

/// Why the token is not good for this.
fn refusal(inner: &Inner, method: &str, headers: &HeaderMap, body: &Value) -> Option<&'static str> {
    let token = headers["authorization"].to_str().expect("text").strip_prefix("Bearer ")?;
    let token = Compact::read(token).expect("a token");
    let claims: Value = token.claims().expect("claims");
    let now = inner.clock.now().as_secs();
    let grants = &claims["video"];
    let granted = match method {
        "CreateRoom" | "DeleteRoom" => grants == &json!({"roomCreate": true}),
        "ListRooms" => grants == &json!({"roomList": true}),
        _ => grants == &json!({"roomAdmin": true, "room": body["room"]}),
    };
    if token.verify(&VerifyingKey::hs256(API_SECRET.as_bytes())).is_err() || claims["iss"] != API_KEY {
        return Some("invalid token");
    }
    let lasts = claims["exp"].as_u64().unwrap_or_default().saturating_sub(now);
    if !(1..=120).contains(&lasts) {
        return Some("a token for a minute or two is enough");
    }
    (!granted).then_some("permissions denied")
}

fn error(status: u16, code: &str, msg: &str) -> Response {
    (StatusCode::from_u16(status).expect("a status"), Json(json!({"code": code, "msg": msg}))).into_response()
}

impl World {
    /// A room, which is made if there is none.
    fn room(&mut self, name: &str) -> &mut Room {
        self.rooms.entry(name.to_owned()).or_insert_with(|| {
            self.rooms_made += 1;
            Room { number: self.rooms_made, ..Room::default() }
        })
    }

    fn work(&mut self, method: &str, body: &Value, now: u64) -> Response {
        let name = body["room"].as_str().or(body["name"].as_str()).unwrap_or_default().to_owned();
        let answer = match method {
            "CreateRoom" => {
                let room = self.room(&name);
                if room.made_with.is_null() {
                    (room.made_at, room.made_with) = (now, body.clone());
                }
                wire(&name, room)
            }
            "DeleteRoom" => match self.rooms.remove(&name) {
                Some(_) => json!({}),
                None => return error(404, "not_found", "requested room does not exist"),
            },
            "ListRooms" => json!({"rooms": self.rooms.iter().map(|(name, room)| wire(name, room)).collect::<Vec<_>>()}),
            "ListParticipants" => {
                let there = self.rooms.get(&name).map(|room| room.participants.values().collect::<Vec<_>>());
                json!({"participants": there.unwrap_or_default()})
            }
            "RemoveParticipant" => {
                let identity = body["identity"].as_str().unwrap_or_default();
                match self.rooms.get_mut(&name).and_then(|room| room.participants.remove(identity)) {
                    Some(_) => json!({}),
                    None => return error(404, "not_found", "participant does not exist"),
                }
            }
            _ => return error(404, "bad_route", "no handler for path"),
        };
        Json(answer).into_response()
    }
}

fn wire(name: &str, room: &Room) -> Value {
    json!({
        "sid": format!("RM_{}", room.number), "name": name, "num_participants": room.participants.len(), "creation_time": room.made_at.to_string(),
        "enabled_codecs": [{"mime": "audio/opus", "fmtp_line": ""}], "active_recording": false,
    })
}

/// A token as LiveKit sends with a webhook of this body; `change` has the last word on its claims.
pub fn webhook_token(clock: &Clock, key: &str, secret: &str, body: &[u8], change: impl FnOnce(&mut Value)) -> String {
    bellwire::crypto::install().expect("the JWT provider");
    let hash = BASE64.encode(digest(&SHA256, body).as_ref());
    let now = clock.now().as_secs();
    let mut claims = json!({"iss": key, "nbf": now, "exp": now + 300, "sha256": hash});
    change(&mut claims);
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

/// What LiveKit tells when somebody comes or goes.
pub fn participant_event(id: &str, event: &str, room: &str, identity: &str, session: &str, reason: &str) -> Value {
    let mut participant = json!({"sid": session, "identity": identity, "state": "ACTIVE"});
    if !reason.is_empty() {
        participant["disconnectReason"] = json!(reason);
    }
    json!({"event": event, "id": id, "createdAt": "1712345678", "room": {"sid": "RM_1", "name": room}, "participant": participant})
}

impl<G> Stage<G> {
    /// Sends a webhook as LiveKit does; it must be believed.
    pub async fn livekit_tells(&self, event: &Value) {
        let body = event.to_string().into_bytes();
        let token = webhook_token(&self.clock, API_KEY, API_SECRET, &body, |_| ());
        let reply = self.webhook(&token, &body).await;
        assert_eq!((reply.status, reply.text.as_str()), (200, ""));
    }

    /// Somebody comes into a room, as LiveKit tells it; their session.
    pub async fn comes(&self, livekit: &FakeLiveKit, room: &str, identity: &str) -> String {
        let session = livekit.join(room, identity);
        let id = format!("EV_{session}_joined");
        self.livekit_tells(&participant_event(&id, "participant_joined", room, identity, &session, "")).await;
        session
    }

    /// Somebody goes out of a room, as LiveKit tells it.
    pub async fn goes(&self, livekit: &FakeLiveKit, room: &str, identity: &str, session: &str, reason: &str) {
        livekit.leave(room, identity);
        let id = format!("EV_{session}_left");
        self.livekit_tells(&participant_event(&id, "participant_left", room, identity, session, reason)).await;
    }
}
