//! Who may call whom: the question to the app's backend, users' contacts, and what goes out to others for it.

mod contacts;
mod hook;
mod hostile;
mod outgoing;
mod raw;

use reqwest::Method;
use serde_json::json;

use crate::support::people::push_data;
use crate::support::receiver::{Answer, Receiver};
use crate::support::{Http, Stage};

const SECRET: &str = "whsec_dGhlLXNlY3JldC1vZi10aGUtcG9saWN5LW9mLXRlc3Rz";

/// The section of a policy that is asked at a URL.
fn section(url: &str, more: &str) -> String {
    format!("[policy]\nurl = \"{url}\"\nsecrets = [\"{SECRET}\"]\n{more}\n")
}

fn allowed() -> Answer {
    Answer::Text(200, json!({"allow": true}).to_string())
}

fn refused(reason: &str) -> Answer {
    Answer::Text(200, json!({"allow": false, "reason": reason}).to_string())
}

/// A stage whose policy is asked at this receiver.
async fn stage(receiver: &Receiver, more: &str) -> Stage {
    Stage::with(&section(&receiver.url, more)).await
}

/// Everything that is measured.
async fn metrics(stage: &Stage) -> String {
    let ops = Http::new(format!("http://{}", stage.gateway.ops));
    Http::send(ops.request(Method::GET, "/metrics")).await.text
}

/// Whether no phone was pushed to; that Google was asked for a token does not count.
fn nothing_rang(stage: &Stage) -> bool {
    stage.pushes().all().iter().all(|received| push_data(received)["type"] != "ring")
}
