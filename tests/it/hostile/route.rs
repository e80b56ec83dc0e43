//! The routes, from the description that the gateway gives of itself, each with a request that would be good.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::world::World;
use crate::support::people::path;
use crate::support::{APP, Http, bearer, service_bearer};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anybody,
    User,
    Service,
    /// A party of the call, a ticket or a service: who exactly, the engine decides.
    OfCall,
}

/// A route and a request to it that would be good.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    /// As the description names it.
    pub template: String,
    /// With ids in it.
    pub path: String,
    pub who: Who,
    /// A token that may do this.
    pub token: String,
    /// A good body, where the route takes one.
    pub body: Option<Value>,
    /// The schema of the body.
    pub schema: Value,
}

impl Route {
    /// A request to this route, without token and body.
    pub fn request(&self, http: &Http) -> RequestBuilder {
        self.request_to(http, &self.path)
    }

    /// A request by this method to another path.
    pub fn request_to(&self, http: &Http, path: &str) -> RequestBuilder {
        let request = http.request(self.method.clone(), path);
        if self.template == "/v1/events" { request.header("accept", "text/event-stream") } else { request }
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Whether its path has an id in it.
    pub fn has_id(&self) -> bool {
        self.template.contains('{')
    }
}

/// Every route that the gateway has.
pub async fn all(world: &World) -> Vec<Route> {
    let document = world.stage.http.get("/openapi.json", "").await.expect(200);
    let mut routes = Vec::new();
    for (template, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            // LiveKit proves itself in its own way: tests/it/livekit/webhooks.rs.
            if template == "/v1/livekit/webhook" {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let (path, who, token, body) = good(world, &method, template);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let name = schema.as_str().and_then(|schema| schema.rsplit('/').next());
            assert_eq!(name.is_some(), body.is_some(), "the body of {method} {template}");
            let schema = name.map_or(Value::Null, |name| document["components"]["schemas"][name].clone());
            routes.push(Route { method, template: template.clone(), path, who, token, body, schema });
        }
    }
    assert!(routes.len() >= 20, "{routes:?}");
    routes
}

/// Those that take a body.
pub async fn with_body(world: &World) -> Vec<Route> {
    all(world).await.into_iter().filter(|route| route.body.is_some()).collect()
}

/// The table: what a good request to a route is. A route that is not here fails every test of this folder.
fn good(world: &World, method: &Method, template: &str) -> (String, Who, String, Option<Value>) {
    let call = |verb: &str| path(&world.call, verb);
    let (alice, bob, service) = (bearer("alice"), bearer("bob"), service_bearer().to_owned());
    let iphone = json!({"device_id": "iphone-1"});
    let device = json!({
        "platform": "ios", "app": APP, "environment": "production", "voip_token": "abcd", "alert_token": "ef01",
        "ios_push_mode": "voip", "name": "Bob's iPhone", "locale": "tr-TR", "app_version": "3.1.0",
    });
    let invite = json!({
        "callee": "dave", "media": "video", "ring_seconds": 45, "device_id": "alice-phone", "metadata": {"thread": 1},
    });
    let (path, who, token, body) = match (method.as_str(), template) {
        ("GET", "/livez" | "/readyz" | "/openapi.json" | "/docs") => {
            (template.to_owned(), Who::Anybody, String::new(), None)
        }
        ("GET", "/v1/devices" | "/v1/calls" | "/v1/blocks") => (template.to_owned(), Who::User, bob, None),
        ("GET", "/v1/events") => (template.to_owned(), Who::OfCall, bob, None),
        ("PUT", "/v1/devices/{device_id}") => ("/v1/devices/iphone-1".into(), Who::User, bob, Some(device)),
        ("DELETE", "/v1/devices/{device_id}") => ("/v1/devices/iphone-1".into(), Who::User, bob, None),
        ("POST", "/v1/calls") => (template.to_owned(), Who::User, bearer("carol"), Some(invite)),
        ("GET", "/v1/calls/{id}") => (call(""), Who::OfCall, bob, None),
        ("GET", "/v1/calls/{id}/explain") => (call("explain"), Who::Service, service, None),
        ("POST", "/v1/calls/{id}/alerting") => {
            let body = json!({"device_id": "iphone-1", "rung": false, "reason": "do_not_disturb"});
            (call("alerting"), Who::OfCall, bob, Some(body))
        }
        ("POST", "/v1/calls/{id}/answer") => (call("answer"), Who::OfCall, bob, Some(iphone)),
        ("POST", "/v1/calls/{id}/decline") => {
            (call("decline"), Who::OfCall, bob, Some(json!({"device_id": "iphone-1", "reason": "busy"})))
        }
        ("POST", "/v1/calls/{id}/cancel") => (call("cancel"), Who::OfCall, alice, Some(json!({}))),
        ("POST", "/v1/calls/{id}/hangup") => (call("hangup"), Who::OfCall, alice, Some(json!({}))),
        ("POST", "/v1/calls/{id}/token") => {
            (call("token"), Who::OfCall, alice, Some(json!({"device_id": "alice-phone"})))
        }
        ("POST", "/v1/calls/{id}/recording") => (call("recording"), Who::OfCall, alice, Some(json!({}))),
        ("GET" | "DELETE", "/v1/calls/{id}/recording") => (call("recording"), Who::OfCall, alice, None),
        ("PUT", "/v1/blocks/{user}") => ("/v1/blocks/carol".into(), Who::User, bob, Some(json!({}))),
        ("GET" | "DELETE", "/v1/blocks/{user}") => ("/v1/blocks/mallory".into(), Who::User, bob, None),
        ("GET", "/v1/bans" | "/v1/usage") => (template.to_owned(), Who::Service, service, None),
        ("PUT", "/v1/bans/{user}") => {
            let body = json!({"reason": "spam", "until": "2099-01-31T12:00:00Z"});
            ("/v1/bans/erin".into(), Who::Service, service, Some(body))
        }
        ("GET" | "DELETE", "/v1/bans/{user}") => ("/v1/bans/mallory".into(), Who::Service, service, None),
        ("DELETE", "/v1/users/{user}") => ("/v1/users/frank".into(), Who::Service, service, None),
        ("PUT", "/v1/users/{user}/contacts") => {
            ("/v1/users/frank/contacts".into(), Who::Service, service, Some(json!({"contacts": ["alice"]})))
        }
        ("GET", "/v1/users/{user}/contacts") => ("/v1/users/dave/contacts".into(), Who::Service, service, None),
        ("PUT", "/v1/users/{user}/contacts/{peer}") => {
            ("/v1/users/frank/contacts/erin".into(), Who::Service, service, Some(json!({})))
        }
        ("GET" | "DELETE", "/v1/users/{user}/contacts/{peer}") => {
            ("/v1/users/dave/contacts/mallory".into(), Who::Service, service, None)
        }
        _ => panic!("a new route, {method} {template}: say here what a good request to it is"),
    };
    (path, who, token, body)
}
