//! The closed loop of a leg on the wire: pushed to again, stopped, told of what was missed, and answered when it comes late.

mod again;
mod browsers;
mod budget;
mod late;
mod missed;
mod stops;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use bellwire::simulator::Received;
use serde_json::{Value, json};

use crate::support::people::{path, push_data};
use crate::support::{SOON, Stage, bearer};

impl<G> Stage<G> {
    /// What the providers were given for a token: pushes of a type about a call, in order.
    fn pushes_of(&self, kind: &str, token: &str, call: &Value) -> Vec<Arc<Received>> {
        let mut pushes = self.pushes().all();
        pushes.retain(|push| {
            let data = push_data(push);
            push.target.as_deref() == Some(token) && data["type"] == kind && data["call_id"] == *call
        });
        pushes
    }

    /// Waits until that many were given.
    async fn nth_push(&self, n: usize, kind: &str, token: &str, call: &Value) -> Arc<Received> {
        let enough = |_: &Received| self.pushes_of(kind, token, call).len() >= n;
        let found = self.pushes().wait_for(SOON, enough).await;
        found.unwrap_or_else(|| panic!("no {n} pushes ({kind}) to {token} of {call}: {:?}", self.pushes().all()));
        self.pushes_of(kind, token, call).swap_remove(n - 1)
    }

    async fn cancel(&self, caller: &str, call: &Value) {
        self.http.post(&path(call, "cancel"), &bearer(caller), json!({})).await.expect(200);
    }

    /// Another call is carried through to its last push, so that whatever was due before is done.
    async fn pass(&self) {
        let phone = self.pixel("passer", "pixel").await;
        let call = self.invite("by", "passer").await["call"]["id"].take();
        self.push("ring", &phone.ring_token, &call).await;
        self.cancel("by", &call).await;
        self.http.delete("/v1/devices/pixel", &bearer("passer")).await;
    }
}

/// Waits until something that takes a moment is so.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, so).await.unwrap_or_else(|_| panic!("not {what} in time"));
}
