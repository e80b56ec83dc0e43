//! The history in PostgreSQL: rows of calls and bans, a database that is away, and who may read.

mod away;
mod connecting;
mod erasing;
mod policy;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use bellwire::clock::Clock;
use bellwire::config::History;
use bellwire::lifecycle::{Stopper, stop_signal};
use bellwire::outbound::{Postgres, Webhooks};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::people::path;
use crate::support::{Http, SOON, Stage, bearer};

/// Alice calls bob, who declines; the call's id.
async fn declined<G>(stage: &Stage<G>) -> Value {
    let call = stage.invite("alice", "bob").await["call"]["id"].take();
    let decline = json!({"device_id": "phone"});
    stage.http.post(&path(&call, "decline"), &bearer("bob"), decline).await.expect(200);
    call
}

/// The query for the row of a call.
fn row_of(call: &Value) -> String {
    format!("SELECT * FROM bellwire.calls WHERE id = '{}'", call.as_str().expect("a call id"))
}

/// The database as `/readyz` tells of it: whether it works, and in words. The gateway is ready in any case.
async fn readiness(http: &Http) -> (bool, String) {
    let ready = http.get("/readyz", "").await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    let parts = ready.json["parts"].as_array().expect("parts");
    let part = parts.iter().find(|part| part["name"] == "postgres").expect("the database");
    (part["ok"] == true, part["detail"].as_str().expect("words").to_owned())
}

/// Waits until `/readyz` says that the database works, or that it does not after it was looked at; its words.
async fn expect_readiness(http: &Http, works: bool) -> String {
    let reached = async {
        loop {
            let (ok, words) = readiness(http).await;
            if ok == works && words != "not reached yet" {
                return words;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON * 3, reached).await.expect("the database is seen to work, or not to")
}

/// What delivers to the database of a `[history]`, without a gateway. It goes on while the other value lives.
fn deliverer(section: &History) -> (Webhooks, Arc<Postgres>, Stopper) {
    bellwire::crypto::install().expect("the JWT provider");
    let postgres = Arc::new(Postgres::new(section.postgres.as_ref().expect("a URL"), section));
    let (stopper, stop) = stop_signal();
    let webhooks = Webhooks::new(&[], Clock::system(), stop).expect("a client").with_history(Some(&postgres));
    (webhooks, postgres, stopper)
}
