//! FCM v1's one method: who may call it, for which project, and what it says of the device.
//!
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>

use data_encoding::HEXLOWER;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::message::{self, Target};
use super::refusal::{MALFORMED, NOT_FOUND, PERMISSION_DENIED, Refusal, UNAUTHENTICATED, UNREGISTERED};
use crate::simulator::Shared;
use crate::simulator::body::{Body, Gist};
use crate::simulator::exchange::{Incoming, Judged};
use crate::simulator::log::Provider;

pub(super) fn judge(shared: &Shared, request: &Incoming) -> Judged {
    let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let answer = match check(shared, request, &body) {
        Ok(()) => {
            let project = &shared.keys.credentials.fcm_project_id;
            super::json(200, None, &json!({"name": format!("projects/{project}/messages/{}", id(shared, &body))}))
        }
        Err(refusal) => refusal.answer(),
    };
    let target = message::targets(&body).next().map(|(_, text)| text.to_owned());
    let message = &body["message"];
    let app = message["android"]["restricted_package_name"].as_str().map(str::to_owned);
    let gist = Gist::of(&message["data"]);
    // The tree goes; it is larger than what it was read from, and seldom looked at again.
    Judged { provider: Provider::Fcm, answer, target, gist, app, body: Body::of_json(request.body.clone()) }
}

fn check(shared: &Shared, request: &Incoming, body: &Value) -> Result<(), Refusal> {
    let path = request.path.strip_prefix("/v1/projects/").and_then(|rest| rest.split_once('/'));
    let project = path.filter(|(_, method)| *method == "messages:send").map(|(project, _)| project);
    let Some(project) = project.filter(|_| request.method == Method::POST) else {
        return Err(Refusal::new(NOT_FOUND, "there is nothing here"));
    };
    if !bearer(&request.headers).is_some_and(|token| shared.access_tokens.is_valid(token, request.at)) {
        return Err(Refusal::new(UNAUTHENTICATED, "the access token is missing, unknown or has expired"));
    }
    if project != shared.keys.credentials.fcm_project_id {
        return Err(Refusal::new(PERMISSION_DENIED, "the service account is of another project"));
    }
    let content_type = request.headers.get("content-type").map(http::HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/json") || !body.is_object() {
        return Err(Refusal::new(MALFORMED, "the body must be a JSON object and say so"));
    }
    match message::check(body)? {
        Target::Device(device) => check_device(shared, device),
        Target::Many => Ok(()),
    }
}

fn check_device(shared: &Shared, device: &str) -> Result<(), Refusal> {
    // The characters that tokens and installation ids have; what they are within is Google's secret.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
    if device.is_empty() || !device.bytes().all(is_allowed) {
        return Err(Refusal::bad_token());
    }
    match shared.devices.find(device).unregistered {
        Some(_) => Err(Refusal::new(UNREGISTERED, "the device is not registered")),
        None => Ok(()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get("authorization")?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A message that is only to be validated is given no id of its own.
fn id(shared: &Shared, body: &Value) -> String {
    if body["validate_only"] == true || body["validateOnly"] == true {
        return "fake_message_id".to_owned();
    }
    let mut random = [0; 8];
    shared.clock.random(&mut random);
    format!("0:{}%{}", shared.clock.now().as_millis(), HEXLOWER.encode(&random))
}
