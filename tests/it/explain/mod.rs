//! Why a phone rang or did not: the explanation on the wire, the commands that ask for it, and calls that are tests.

mod access;
mod commands;
mod devices;
mod push_test;
mod refusals;
mod test_calls;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::people::path;
use crate::support::{APP, SOON, Stage, bearer, service_bearer};

impl<G> Stage<G> {
    /// The explanation of a call.
    async fn explain(&self, call: &Value) -> Value {
        self.http.get(&path(call, "explain"), service_bearer()).await.expect(200)
    }

    /// What is said of one device, once that has this cause.
    async fn explained(&self, call: &Value, device: &str, cause: &str) -> Value {
        let document = self.explained_once(call, device, |found| found["cause"] == cause).await;
        of(&document, device).clone()
    }

    /// The explanation once this is so of what it says of a device.
    async fn explained_once(&self, call: &Value, device: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = async {
            loop {
                last = self.explain(call).await;
                if is_so(of(&last, device)) {
                    return last.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.unwrap_or_else(|_| panic!("{device} is not so in time: {:#}", of(&last, device)))
    }

    /// alice calls; the call's id.
    async fn call_to(&self, callee: &str) -> Value {
        self.invite("alice", callee).await["call"]["id"].take()
    }

    async fn give_up(&self, call: &Value) {
        self.http.post(&path(call, "cancel"), &bearer("alice"), json!({})).await.expect(200);
    }

    /// Waits until a provider has taken the ring.
    async fn taken(&self, call: &Value, device: &str) {
        self.explained(call, device, "waiting_for_word").await;
    }

    async fn browser(&self, user: &str, id: &str) {
        let body = json!({"platform": "web", "app": APP});
        self.http.put(&format!("/v1/devices/{id}"), &bearer(user), body).await.expect(200);
    }
}

/// What an explanation says of a device.
fn of<'a>(document: &'a Value, device: &str) -> &'a Value {
    let devices = document["devices"].as_array().expect("devices");
    devices.iter().find(|found| found["device_id"] == device).unwrap_or_else(|| panic!("no {device} in {document:#}"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
