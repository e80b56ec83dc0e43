//! A fresh call for each cell of the table, in the state in which its route is for somebody, and the request.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::callers::Kind;
use crate::support::livekit_fake::participant_event;
use crate::support::people::path;
use crate::support::{APP, Stage, bearer, service_bearer};

/// The device that rings, and that answers where the call is answered.
pub const IPHONE: &str = "iphone-1";
/// The callee's other one.
pub const PIXEL: &str = "pixel-1";

/// What the gateway must have beside the defaults: recordings that parties may ask for, and nobody gets.
pub const CONFIG: &str = r#"
    [livekit]
    rooms = false
    [recording]
    policy = "party"
    [recording.s3]
    bucket = "calls"
    region = "us-east-1"
    access_key = "nobody-has-this-key"
    secret = "nobody-has-this-secret"
"#;

/// Alice's call to Bob, and all that people have who are concerned with it.
pub struct Scene {
    pub stage: Arc<Stage>,
    pub alice: String,
    pub bob: String,
    /// A user with a phone and nothing to do with the call.
    pub erin: String,
    pub call: Value,
    /// Of Bob's iPhone.
    pub ticket: String,
    /// Of Bob's other phone.
    pub pixel_ticket: String,
    /// Of Bob's iPhone, in a call before, which has ended.
    pub ticket_of_other_call: String,
    /// Alice's token for the room.
    pub room_token: String,
    number: usize,
}

impl Scene {
    /// A scene whose people have this number in their names. The state is the page's word for it.
    pub async fn new(stage: &Arc<Stage>, number: usize, state: &str) -> Self {
        let [alice, bob, erin] = ["alice", "bob", "erin"].map(|name| format!("{name}-{number}"));
        let (iphone, pixel) = (stage.iphone(&bob, IPHONE).await, stage.pixel(&bob, PIXEL).await);
        stage.pixel(&erin, IPHONE).await;
        stage.http.put(&format!("/v1/blocks/{}", mallory(number)), &bearer(&bob), json!({})).await.expect(204);
        stage.http.put(&format!("/v1/bans/{}", mallory(number)), service_bearer(), json!({})).await.expect(200);
        let contact = format!("/v1/users/{}/contacts/{}", mallory(number), trudy(number));
        stage.http.put(&contact, service_bearer(), json!({})).await.expect(204);

        let before = stage.invite(&erin, &bob).await["call"]["id"].take();
        let ticket_of_other_call = stage.ticket(&iphone, &before).await;
        stage.http.post(&path(&before, "cancel"), &bearer(&erin), json!({})).await.expect(200);

        let mut invited = stage.invite(&alice, &bob).await;
        let call = invited["call"]["id"].take();
        let (ticket, pixel_ticket) = (stage.ticket(&iphone, &call).await, stage.ticket(&pixel, &call).await);
        if matches!(state, "answered" | "recorded" | "ended") {
            stage.http.post(&path(&call, "answer"), &ticket, json!({})).await.expect(200);
        }
        if state == "recorded" {
            stage.http.post(&path(&call, "recording"), service_bearer(), json!({})).await.expect(202);
        }
        let room_token = invited["livekit"]["token"].as_str().expect("a token").to_owned();
        let stage = Arc::clone(stage);
        Self { stage, alice, bob, erin, call, ticket, pixel_ticket, ticket_of_other_call, room_token, number }
    }

    /// What an attempt that is refused must not change: the call's state and its events.
    pub async fn state(&self) -> Value {
        let mut call = self.stage.call(&self.call).await;
        json!([call["state"].take(), call["seq"].take(), call["recording"].take()])
    }

    /// A request that would be good, to this route by this kind of caller.
    pub fn request(&self, route: &str, kind: Kind) -> reqwest::RequestBuilder {
        let (method, template) = route.split_once(' ').expect("a method and a path");
        let target = template.replace("{id}", self.call.as_str().expect("an id"));
        let user = if method == "PUT" { format!("victim-{}", self.number) } else { mallory(self.number) };
        let target = target.replace("{user}", &user).replace("{peer}", &trudy(self.number));
        let target = target.replace("{device_id}", kind.device());
        let mut request = self.stage.http.request(Method::from_bytes(method.as_bytes()).expect("a method"), &target);
        let body = self.body(route, kind).map(|body| body.to_string()).unwrap_or_default();
        let is_webhook = template == "/v1/livekit/webhook";
        if let Some(token) = kind.token(self, body.as_bytes()) {
            // LiveKit sends its token bare.
            let scheme = if is_webhook && kind == Kind::LiveKit { "" } else { "Bearer " };
            request = request.header("authorization", format!("{scheme}{token}"));
        }
        if template == "/v1/events" {
            request = request.header("accept", "text/event-stream");
        }
        if !body.is_empty() {
            request = request
                .header("content-type", if is_webhook { "application/webhook+json" } else { "application/json" });
        }
        request.body(body)
    }

    fn body(&self, route: &str, kind: Kind) -> Option<Value> {
        let device = json!({"device_id": kind.device()});
        Some(match route {
            "PUT /v1/devices/{device_id}" => {
                json!({"platform": "android", "app": APP, "fcm_token": format!("new-{}", self.number)})
            }
            "POST /v1/calls" => {
                let mut body = json!({"callee": format!("zoe-{}", self.number), "media": "audio"});
                if kind == Kind::Service {
                    body["caller"] = json!({"id": self.alice});
                }
                body
            }
            // Whoever answers, or comes back, says on which device.
            "POST /v1/calls/{id}/alerting"
            | "POST /v1/calls/{id}/answer"
            | "POST /v1/calls/{id}/decline"
            | "POST /v1/calls/{id}/token" => device,
            "POST /v1/livekit/webhook" => {
                participant_event("EV_1", "participant_left", "a-room", &self.bob, "PA_1", "SIGNAL_CLOSE")
            }
            _ if route.starts_with("GET ") || route.starts_with("DELETE ") => return None,
            "POST /v1/calls/{id}/cancel"
            | "POST /v1/calls/{id}/hangup"
            | "POST /v1/calls/{id}/recording"
            | "PUT /v1/blocks/{user}"
            | "PUT /v1/bans/{user}"
            | "PUT /v1/users/{user}/contacts/{peer}" => json!({}),
            "PUT /v1/users/{user}/contacts" => json!({"contacts": [trudy(self.number)]}),
            _ => panic!("a new route, {route}: say here what a good request to it is"),
        })
    }
}

/// A contact of theirs.
fn trudy(number: usize) -> String {
    format!("trudy-{number}")
}

/// A user whom Bob has blocked, and who is banned.
fn mallory(number: usize) -> String {
    format!("mallory-{number}")
}
