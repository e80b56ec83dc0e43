//! Webhooks to the app's backend: what they say, and that they arrive.

mod crashes;
mod delivery;
mod failing;
mod usage;
mod waiting;

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::receiver::Receiver;
use crate::support::{Stage, bearer};

/// A secret of Standard Webhooks.
const SECRET: &str = "whsec_dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHM=";
/// Another one.
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHRlc3RzISE=";

/// The lines of an endpoint that is told of everything.
fn endpoint(receiver: &Receiver) -> String {
    format!("[[webhooks]]\nurl = \"{}\"\nsecrets = [\"{SECRET}\"]\n", receiver.url)
}

/// The lines of one that is told of this event alone.
fn endpoint_for(receiver: &Receiver, event: &str) -> String {
    format!("{}events = [\"{event}\"]\n", endpoint(receiver))
}

/// Alice calls bob, who declines; the call's id.
async fn declined<G>(stage: &Stage<G>) -> Value {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let decline = json!({"device_id": "phone"});
    stage.http.post(&path(&call, "decline"), &bearer("bob"), decline).await.expect(200);
    call
}
