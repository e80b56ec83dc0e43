//! Traces: everything that is done for a call is in one trace, at whichever gateway it was done, and what goes wrong with traces harms nothing.

mod away;
mod whole;

use bellwire::domain::TraceParent;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{Http, Stage, bearer};

/// Where callers say that their invites belong.
const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// The same trace, which is not kept.
const NOT_KEPT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";

/// The lines of an endpoint that is told of ended calls.
fn endpoint(receiver: &Receiver) -> String {
    format!("[[webhooks]]\nurl = \"{}\"\nsecrets = [\"{SECRET}\"]\nevents = [\"call.ended\"]\n", receiver.url)
}

/// A POST of a user or device with this `traceparent`; the answer's body.
async fn post(stage: &Stage, path: &str, token: &str, body: &Value, place: &str) -> Value {
    let request = stage.http.request(Method::POST, path).bearer_auth(token).header("content-type", "application/json");
    let reply = Http::send(request.header("traceparent", place).body(body.to_string())).await;
    assert!(reply.status < 300, "{}", reply.text);
    reply.json
}

/// Alice calls bob from this place in a trace.
async fn invite(stage: &Stage, place: &str) -> Value {
    post(stage, "/v1/calls", &bearer("alice"), &json!({"callee": "bob", "media": "audio"}), place).await
}

/// What the webhook of a call's end says of its place.
async fn told(receiver: &Receiver) -> Option<TraceParent> {
    let told = receiver.wait_for(1, |told| told.kind() == "call.ended").await.remove(0);
    told.headers.get("traceparent").map(|place| TraceParent::parse(place.to_str().expect("text")).expect("a place"))
}
