//! A stand-in for LiveKit on the wire of its Twirp interface: rooms as far as a recording needs them, and egress, with the webhooks that it
//! sends. It is no copy of LiveKit: what it answers was read off `livekit-server` 1.13.5, and what it can do wrong is what tests ask for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::s3::S3;
use crate::support::SOON;

const API_KEY: &str = "devkey";
pub const API_SECRET: &str = "the-secret-of-livekit-in-these-tests";
const START: &str = "StartRoomCompositeEgress";

/// The server, which ends with this value.
pub struct LiveKit {
    url: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    state: Mutex<Inner>,
    changed: watch::Sender<()>,
    client: reqwest::Client,
}

#[derive(Default)]
struct Inner {
    /// By room: who is there, and whether they publish.
    rooms: HashMap<String, Vec<(String, bool)>>,
    egresses: Vec<Egress>,
    requests: Vec<Request>,
    faults: HashMap<String, VecDeque<Fault>>,
    /// Where webhooks go, in turn.
    gateways: Vec<String>,
    webhooks_sent: usize,
    mute: bool,
    /// Whether an egress stays as it is until a test says otherwise.
    still: bool,
    /// Whether it says that it knows of no egress.
    denies: bool,
    storage: Option<S3>,
}

#[derive(Clone)]
pub struct Egress {
    pub id: String,
    pub room: String,
    pub status: &'static str,
    pub request: Value,
    pub error: &'static str,
    bytes: usize,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub body: Value,
}

/// What goes wrong with a request.
pub enum Fault {
    /// It is answered with this and not done.
    Answer(u16, &'static str, &'static str),
    /// It is done, and the answer is lost.
    LoseAnswer,
}

impl LiveKit {
    pub async fn start(storage: Option<S3>) -> Self {
        bellwire::crypto::install().expect("the JWT provider");
        let state = Mutex::new(Inner { storage, ..Inner::default() });
        let client = crate::support::plain_client();
        let shared = Arc::new(Shared { state, changed: watch::channel(()).0, client });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/twirp/{service}/{method}", post(answer)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url: format!("ws://{address}"), shared, server }
    }

    /// The lines of `[livekit]` for this server.
    pub fn section(&self) -> String {
        format!("[livekit]\nurl = \"{}\"\napi_key = \"{API_KEY}\"\napi_secret = \"{API_SECRET}\"\n", self.url)
    }

    /// Webhooks go to this gateway, and to the others so named, in turn.
    pub fn tells(&self, gateway: &str) {
        self.state().gateways.push(gateway.to_owned());
    }

    /// From now on webhooks are lost, or not.
    pub fn mute(&self, mute: bool) {
        self.state().mute = mute;
    }

    /// From now on an egress stays as it is until a test moves it.
    pub fn hold_still(&self) {
        self.state().still = true;
    }

    pub fn fault(&self, method: &str, fault: Fault) {
        self.state().faults.entry(method.to_owned()).or_default().push_back(fault);
    }

    /// What was asked by a method.
    pub fn requests(&self, method: &str) -> Vec<Request> {
        self.state().requests.iter().filter(|request| request.method == method).cloned().collect()
    }

    pub fn starts(&self) -> Vec<Request> {
        self.requests(START)
    }

    pub fn egresses(&self) -> Vec<Egress> {
        self.state().egresses.clone()
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            while !is_so(self) {
                changed.changed().await.expect("the server goes on");
            }
        };
        tokio::time::timeout(2 * SOON, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// A party comes into a room, and publishes there at once or not.
    pub async fn joins(&self, room: &str, identity: &str, publishes: bool) {
        self.state().rooms.entry(room.to_owned()).or_default().push((identity.to_owned(), publishes));
        let participant = json!({"sid": format!("PA_{identity}"), "identity": identity, "state": "ACTIVE"});
        let body = json!({"event": "participant_joined", "room": {"name": room}, "participant": participant});
        self.shared.send(body).await;
    }

    pub fn publishes(&self, room: &str, identity: &str) {
        for (who, publishes) in self.state().rooms.get_mut(room).expect("the room") {
            *publishes |= who == identity;
        }
    }

    /// An egress goes on to this, and it is told unless webhooks are lost.
    pub async fn moves(&self, egress: &str, status: &'static str, error: &'static str) {
        self.shared.move_to(egress, status, error).await;
    }

    /// From now on it says that it knows of no egress, or not, though they run.
    pub fn denies(&self, denies: bool) {
        self.state().denies = denies;
    }

    /// Forgets what there was.
    pub fn forgets_egresses(&self) {
        self.state().egresses.clear();
    }

    /// Somebody else records a room.
    pub fn is_recorded_by_another(&self, room: &str) {
        let request = json!({"room_name": room, "file_outputs": [{"filepath": "another.mp4"}]});
        self.state().add(&request);
    }

    fn state(&self) -> MutexGuard<'_, Inner> {
        self.shared.state()
    }
}

impl Drop for LiveKit {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().expect("a lock")
    }

    async fn move_to(&self, id: &str, status: &'static str, error: &'static str) {
        let info = {
            let mut state = self.state();
            let state = &mut *state;
            let egress = state.egresses.iter_mut().find(|egress| egress.id == id).expect("the egress");
            (egress.status, egress.error) = (status, error);
            if status == "EGRESS_COMPLETE" {
                egress.bytes = state.storage.as_ref().map_or(0, |storage| storage.upload(&egress.request));
            }
            egress.clone()
        };
        self.changed.send_replace(());
        let event = match status {
            "EGRESS_STARTING" => "egress_started",
            "EGRESS_ACTIVE" | "EGRESS_ENDING" => "egress_updated",
            _ => "egress_ended",
        };
        self.send(json!({"event": event, "egressInfo": info.told()})).await;
    }

    /// What LiveKit's worker does by itself once it was started.
    async fn begins(&self, id: &str) {
        self.move_to(id, "EGRESS_STARTING", "").await;
        if !self.state().still {
            self.move_to(id, "EGRESS_ACTIVE", "").await;
        }
    }

    /// The same once it was stopped, or its room was closed.
    async fn ends(&self, id: &str) {
        if !self.state().still {
            self.move_to(id, "EGRESS_ENDING", "").await;
            self.move_to(id, "EGRESS_COMPLETE", "").await;
        }
    }

    async fn send(&self, mut body: Value) {
        let gateway = {
            let mut state = self.state();
            state.webhooks_sent += 1;
            body["id"] = format!("EV_{}", state.webhooks_sent).into();
            let gateways = state.gateways.len().max(1);
            let chosen = state.gateways.get(state.webhooks_sent % gateways).cloned();
            chosen.filter(|_| !state.mute)
        };
        let Some(gateway) = gateway else { return };
        let body = body.to_string();
        let hash = data_encoding::BASE64.encode(digest(&SHA256, body.as_bytes()).as_ref());
        // Far in the future, since tests move the clock.
        let claims = json!({"iss": API_KEY, "exp": 4_000_000_000_u64, "sha256": hash});
        let key = EncodingKey::from_secret(API_SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token");
        let request = self.client.post(format!("{gateway}/v1/livekit/webhook")).header("authorization", token);
        let request = request.header("content-type", "application/webhook+json").body(body);
        // A gateway that is gone hears nothing.
        let _ = request.send().await;
    }
}

impl Inner {
    fn add(&mut self, request: &Value) -> String {
        let id = format!("EG_{}", self.egresses.len() + 1);
        let room = request["room_name"].as_str().expect("a room").to_owned();
        let (status, request) = ("EGRESS_STARTING", request.clone());
        self.egresses.push(Egress { id: id.clone(), room, status, request, error: "", bytes: 0 });
        id
    }
}

impl Egress {
    fn key(&self) -> &str {
        self.request["file_outputs"][0]["filepath"].as_str().expect("a file")
    }

    /// As LiveKit does with keys.
    fn masked(&self) -> Value {
        let mut request = self.request.clone();
        request["file_outputs"][0]["s3"] = json!({"access_key": "{access_key}", "secret": "{secret}"});
        request
    }

    /// As Twirp answers: snake case, with zero values, long numbers as texts.
    fn answered(&self) -> Value {
        let over = self.status == "EGRESS_COMPLETE";
        let file = json!({"filename": self.key(), "started_at": "1712345678000000000", "ended_at": "1712345687500000000",
            "duration": "9500000000", "size": self.bytes.to_string(), "location": "https://rec.http://127.0.0.1/wrong"});
        json!({
            "egress_id": self.id, "room_id": "RM_1", "room_name": self.room, "status": self.status,
            "started_at": "1712345678000000000", "ended_at": if over { "1712345687500000000" } else { "0" },
            "updated_at": "1712345678000000000", "room_composite": self.masked(), "error": self.error, "error_code": 0,
            "details": "", "stream_results": [], "file_results": if over { json!([file]) } else { json!([]) },
            "backup_storage_used": false,
        })
    }

    /// As webhooks tell: camel case, without zero values.
    fn told(&self) -> Value {
        let mut info = json!({"egressId": self.id, "roomName": self.room, "roomComposite":
            {"roomName": self.room, "fileOutputs": [{"filepath": self.key()}]}});
        if self.status != "EGRESS_STARTING" {
            info["status"] = self.status.into();
        }
        if !self.error.is_empty() {
            info["error"] = self.error.into();
        }
        if self.status == "EGRESS_COMPLETE" {
            info["fileResults"] = json!([{"filename": self.key(), "duration": "9500000000", "size": self.bytes.to_string(),
                "startedAt": "1712345678000000000", "endedAt": "1712345687500000000"}]);
        }
        info
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let grants = grants(&headers);
    let fault = {
        let mut state = shared.state();
        state.requests.push(Request { method: method.clone(), body: body.clone() });
        state.faults.get_mut(&method).and_then(VecDeque::pop_front)
    };
    shared.changed.send_replace(());
    if let Some(Fault::Answer(status, code, message)) = fault {
        return error(status, code, message);
    }
    if service == "livekit.Egress" && grants["roomRecord"] != true {
        return error(401, "unauthenticated", "permissions denied");
    }
    let answered = match method.as_str() {
        "ListParticipants" => participants(&shared, &grants, &body),
        "DeleteRoom" => delete_room(&shared, &body),
        START => start(&shared, &body),
        "StopEgress" => stop(&shared, &body),
        "ListEgress" => list(&shared, &body),
        _ => axum::Json(json!({})).into_response(),
    };
    if matches!(fault, Some(Fault::LoseAnswer)) {
        // Longer than anybody waits.
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    answered
}

fn grants(headers: &HeaderMap) -> Value {
    let token = headers[header::AUTHORIZATION].to_str().expect("text").trim_start_matches("Bearer ");
    let mut validation = Validation::default();
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(API_SECRET.as_bytes());
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).expect("a token of this key").claims;
    claims["video"].clone()
}

fn error(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, axum::Json(json!({"code": code, "msg": message}))).into_response()
}

fn participants(shared: &Shared, grants: &Value, body: &Value) -> Response {
    assert_eq!((&grants["roomAdmin"], &grants["room"]), (&json!(true), &body["room"]));
    let state = shared.state();
    let there = state.rooms.get(body["room"].as_str().expect("a room"));
    let there = there.into_iter().flatten().map(|(identity, publishes)| {
        let tracks = if *publishes { json!([{"sid": "TR_1", "type": "AUDIO"}]) } else { json!([]) };
        json!({"identity": identity, "state": "ACTIVE", "kind": "STANDARD", "tracks": tracks})
    });
    axum::Json(json!({"participants": there.collect::<Vec<_>>()})).into_response()
}

fn delete_room(shared: &Arc<Shared>, body: &Value) -> Response {
    let room = body["room"].as_str().expect("a room");
    let running: Vec<String> = {
        let mut state = shared.state();
        state.rooms.remove(room);
        let runs = |egress: &&Egress| egress.room == room && egress.status == "EGRESS_ACTIVE";
        state.egresses.iter().filter(runs).map(|egress| egress.id.clone()).collect()
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        for id in running {
            shared.ends(&id).await;
        }
    });
    axum::Json(json!({})).into_response()
}

fn start(shared: &Arc<Shared>, body: &Value) -> Response {
    let info = {
        let mut state = shared.state();
        let id = state.add(body);
        state.egresses.iter().find(|egress| egress.id == id).expect("it").clone()
    };
    let (shared, id) = (Arc::clone(shared), info.id.clone());
    tokio::spawn(async move { shared.begins(&id).await });
    axum::Json(info.answered()).into_response()
}

fn stop(shared: &Arc<Shared>, body: &Value) -> Response {
    let found = shared.state().egresses.iter().find(|egress| body["egress_id"] == egress.id).cloned();
    let Some(egress) = found else { return error(404, "not_found", "egress does not exist") };
    if !matches!(egress.status, "EGRESS_STARTING" | "EGRESS_ACTIVE") {
        return error(412, "failed_precondition", "egress with status EGRESS_COMPLETE cannot be stopped");
    }
    let (shared, id) = (Arc::clone(shared), egress.id.clone());
    tokio::spawn(async move { shared.ends(&id).await });
    axum::Json(Egress { status: "EGRESS_ENDING", ..egress }.answered()).into_response()
}

fn list(shared: &Shared, body: &Value) -> Response {
    let state = shared.state();
    let by_id = body["egress_id"].as_str();
    let wanted =
        |egress: &&Egress| !state.denies && by_id.map_or(body["room_name"] == egress.room, |id| egress.id == id);
    let items: Vec<Value> = state.egresses.iter().filter(wanted).map(Egress::answered).collect();
    if by_id.is_some() && items.is_empty() {
        return error(404, "not_found", "egress does not exist");
    }
    axum::Json(json!({"items": items, "next_page_token": null})).into_response()
}
